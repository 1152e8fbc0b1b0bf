"""The load on an installation under test: events that must not be lost, and feed requests."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from feed.client import ApiError, FeedClient, article_to_json, event_to_json
from feed.domain import Article, Event, EventKind

KINDS = (EventKind.CLICK, EventKind.IMPRESSION, EventKind.READ, EventKind.LIKE, EventKind.DISLIKE)
SHARES = (50, 35, 5, 6, 4)
IMPATIENT_SHARE = 0.1
"""Batches that are sent once and given up: nobody promised to keep them unless they got a 202."""


def sample_articles(count: int, now: float) -> list[Article]:
    """Return small articles, the first one the newest."""
    return [
        Article(
            article_id=f"article-{n:04d}",
            title=f"Headline {n}",
            body=f"What happened, told for the {n}th time.",
            section=f"section-{n % 6}",
            source=f"source-{n % 5}",
            language="en",
            published_at=now - 60.0 * n,
        )
        for n in range(count)
    ]


def send_articles(client: FeedClient, articles: Sequence[Article]) -> list[str]:
    """Send articles in batches; return their ids."""
    for start in range(0, len(articles), 100):
        batch = [article_to_json(a) for a in articles[start : start + 100]]
        client.call("POST", "/v1/articles", body={"articles": batch})
    return [a.article_id for a in articles]


def event_batches(
    count: int, batch: int, article_ids: Sequence[str], readers: int, seed: int, name: str = "e"
) -> Iterator[list[Event]]:
    """Yield batches of events with ids `<name><n>`, as many readers and articles mixed."""
    rng = random.Random(seed)  # noqa: S311 - load, not secrets
    now = time.time()
    for start in range(0, count, batch):
        yield [
            Event(
                event_id=f"{name}{n}",
                user_id=f"reader-{rng.randrange(readers):05d}",
                article_id=rng.choice(article_ids),
                kind=(kind := rng.choices(KINDS, SHARES)[0]),
                occurred_at=round(now - rng.uniform(0, 3600), 3),
                received_at=now,
                dwell_s=20.0 if kind is EventKind.READ else None,
            )
            for n in range(start, min(start + batch, count))
        ]


@dataclass(slots=True)
class Answer:
    """One answer: when it came (monotonic), its status (0: no answer), and how long it took."""

    at: float
    status: int
    seconds: float
    rung: str = ""
    detail: str = ""
    model_version: str = ""
    has_retry_after: bool = False


class EventLoad:
    """Sends every batch until it is acknowledged (a few are given up), from several threads.

    Args:
        url: the service.
        batches: what to send.
        threads: how many send at once.
        rate: events a second at most; 0: as fast as they go.
        api_key: with which they are sent.
    """

    def __init__(
        self,
        url: str,
        batches: Iterator[list[Event]],
        threads: int = 4,
        rate: float = 0.0,
        api_key: str = "",
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._rate = rate
        self._begun = 0.0
        self._waiting: queue.SimpleQueue[tuple[int, list[Event]]] = queue.SimpleQueue()
        self.total = 0
        for number, events in enumerate(batches):
            self._waiting.put((number, events))
            self.total += len(events)
        self.acknowledged: set[str] = set()
        self.given_up: set[str] = set()
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Begin to send."""
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def is_done(self) -> bool:
        """Return whether every batch has been sent."""
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait until every batch has been sent."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Stop sending: what has not been acknowledged is given up."""
        self._stop.set()
        self.join()

    def _run(self) -> None:
        client = FeedClient(self._url, self._api_key, timeout_s=20.0, retries=0)
        while not self._stop.is_set():
            try:
                number, events = self._waiting.get_nowait()
            except queue.Empty:
                break
            due_at = self._begun + number * len(events) / self._rate if self._rate else 0.0
            self._stop.wait(max(0.0, due_at - time.monotonic()))
            patient = number % round(1 / IMPATIENT_SHARE) != 0
            body = {"events": [event_to_json(e) for e in events]}
            ids = {e.event_id for e in events}
            while not self._send(client, body, ids) and patient and not self._stop.is_set():
                time.sleep(0.1)
        client.close()

    def _send(self, client: FeedClient, body: dict[str, Any], ids: set[str]) -> bool:
        answer = send_events(client, body)
        with self._lock:
            self.answers.append(answer)
            if answer.status == 202:
                self.acknowledged |= ids
                self.given_up -= ids
            else:
                self.given_up |= ids - self.acknowledged
        return answer.status == 202


def send_events(client: FeedClient, body: dict[str, Any]) -> Answer:
    """Post events once; every event of a 202 must be accepted or a duplicate."""
    begun = time.monotonic()
    answer = Answer(begun, 202, 0.0)
    try:
        counts = client.call("POST", "/v1/events", body=body)
        if counts["rejected"]:
            rejected = [r for r in counts["results"] if r["status"] == "rejected"]
            raise AssertionError(f"events of known articles were rejected: {rejected[0]}")
    except ApiError as problem:
        answer.status, answer.detail = problem.status, str(problem)
        answer.has_retry_after = problem.retry_after_s is not None
    except ConnectionError as error:
        answer.status, answer.detail = 0, str(error)
    answer.at = time.monotonic()
    answer.seconds = answer.at - begun
    return answer


def ask_feed(client: FeedClient, user_id: str, **query: Any) -> tuple[Answer, dict[str, Any]]:
    """Ask once for a feed; return how it was answered, and the page."""
    begun = time.monotonic()
    answer = Answer(begun, 200, 0.0)
    page: dict[str, Any] = {}
    try:
        page = client.feed(user_id, **query)
        answer.rung = page["mode_served"]
        answer.model_version = page["model_version"]
        if not page["items"]:
            answer.detail = "empty"
    except ApiError as problem:
        answer.status, answer.detail = problem.status, str(problem)
        answer.has_retry_after = problem.retry_after_s is not None
    except ConnectionError as error:
        answer.status, answer.detail = 0, str(error)
    answer.at = time.monotonic()
    answer.seconds = answer.at - begun
    return answer, page


@dataclass(slots=True)
class FeedProbe:
    """Asks for feeds without pause and keeps how each was answered."""

    url: str
    threads: int = 2
    readers: int = 200
    pause_s: float = 0.0
    timeout_s: float = 20.0
    api_key: str = ""
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to ask."""
        self._running = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.threads)
        ]
        for thread in self._running:
            thread.start()

    def stop(self) -> list[Answer]:
        """Stop asking; return the answers in the order in which they came."""
        self._stop.set()
        for thread in self._running:
            thread.join()
        self.answers.sort(key=lambda answer: answer.at)
        return self.answers

    def __enter__(self) -> FeedProbe:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - load, not secrets
        client = FeedClient(self.url, self.api_key, timeout_s=self.timeout_s, retries=0)
        while not self._stop.is_set():
            answer, _ = ask_feed(client, f"reader-{rng.randrange(self.readers):05d}")
            self.answers.append(answer)
            self._stop.wait(self.pause_s if answer.status else max(0.05, self.pause_s))
        client.close()


def statuses(answers: Sequence[Answer]) -> dict[int, int]:
    """Return how many answers had each status; 0 counts broken connections."""
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def longest_gap_s(answers: Sequence[Answer]) -> float:
    """Return the longest time between two successive good answers, seconds."""
    times = sorted(answer.at for answer in answers if answer.status == 200)
    return max((b - a for a, b in pairwise(times)), default=float("inf"))


def quantile_ms(answers: Sequence[Answer], share: float) -> float:
    """Return a quantile of the times of good answers, milliseconds."""
    seconds = sorted(answer.seconds for answer in answers if answer.status == 200)
    return 1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else 0.0
