"""Readers before the balancer: feeds, events, and clicks that the next feed must know."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from feed.client import FeedClient
from feed.domain import Rung
from lab.faults.load import (
    Answer,
    EventLoad,
    FeedProbe,
    ask_feed,
    event_batches,
    longest_gap_s,
    send_events,
    statuses,
)
from lab.faults.outcome import Outcome

READERS = 200
RATE = 60.0
BATCH = 10
LONGEST_S = 600
ASKED_AFTER_CLICK = 2
"""The balancer takes turns, so that two requests see both web hosts."""


@dataclass(slots=True)
class ClickProbe:
    """Clicks the first article of a new reader's feed, then looks whether it comes again.

    A feed of the last level (`snapshot`) is made without the store and is not asked about.
    """

    url: str
    api_key: str
    name: str
    acknowledged: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    events: list[Answer] = field(default_factory=list)
    known: int = 0
    unknown: list[str] = field(default_factory=list)
    without_store: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read and click."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the present reader."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        number = 0
        with FeedClient(self.url, self.api_key, timeout_s=20.0, retries=0) as client:
            while not self._stop.is_set():
                number += 1
                self._read_and_click(client, f"{self.name}-clicker-{number}")
                self._stop.wait(0.05)

    def _read_and_click(self, client: FeedClient, reader: str) -> None:
        answer, page = ask_feed(client, reader)
        self.answers.append(answer)
        if not page.get("items"):
            return
        article = page["items"][0]["article"]["article_id"]
        event_id = f"{reader}-click"
        click = {"event_id": event_id, "user_id": reader, "article_id": article, "kind": "click"}
        sent = send_events(client, {"events": [click]})
        self.events.append(sent)
        if sent.status != 202:
            self.given_up.add(event_id)
            return
        self.acknowledged.add(event_id)
        for _ in range(ASKED_AFTER_CLICK):
            answer, page = ask_feed(client, reader)
            self.answers.append(answer)
            if not page or answer.rung == Rung.SNAPSHOT:
                self.without_store += 1
            elif article in [item["article"]["article_id"] for item in page["items"]]:
                self.unknown.append(f"{reader} at {answer.rung}")
            else:
                self.known += 1


@dataclass(slots=True)
class Traffic:
    """Everything that readers do at once, for the length of one fault."""

    url: str
    api_key: str
    name: str
    article_ids: list[str]
    events: EventLoad = field(init=False)
    feeds: FeedProbe = field(init=False)
    clicks: ClickProbe = field(init=False)
    begun: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Traffic:
        batches = event_batches(
            round(RATE * LONGEST_S), BATCH, self.article_ids, READERS, 7, f"{self.name}-e"
        )
        self.events = EventLoad(self.url, batches, 2, RATE, self.api_key)
        self.feeds = FeedProbe(self.url, 1, READERS, pause_s=0.05, api_key=self.api_key)
        self.clicks = ClickProbe(self.url, self.api_key, self.name)
        for part in (self.events, self.feeds, self.clicks):
            part.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for part in (self.clicks, self.feeds, self.events):
            part.stop()

    def judge(self, outcome: Outcome) -> None:
        """Enter how readers were answered."""
        feeds = [*self.feeds.answers, *self.clicks.answers]
        events = [*self.events.answers, *self.clicks.events]
        outcome.longest_gap_s = longest_gap_s(feeds)
        outcome.remarks.append(f"feeds {statuses(feeds)}, batches of events {statuses(events)}")
        for what, answers in (("feeds", feeds), ("events", events)):
            good = 200 if what == "feeds" else 202
            wrong = [
                a
                for a in answers
                if a.status != good and (a.status != 503 or not a.has_retry_after)
            ]
            outcome.expect(not wrong, f"{what} failed: {sorted({a.detail for a in wrong})[:3]}")
        refused = sorted({_short(a.detail) for a in [*feeds, *events] if a.status == 503})
        if refused:
            outcome.remarks.append(f"503: {'; '.join(refused)}")
        empty = sum(a.detail == "empty" for a in feeds)
        outcome.expect(empty == 0, f"{empty} feeds were empty")
        c = self.clicks
        outcome.expect(not c.unknown, f"{len(c.unknown)} clicks unknown at once: {c.unknown[:2]}")
        outcome.remarks.append(
            f"the next feed knew the click {c.known} times, {c.without_store} were made without "
            "the store"
        )


def _short(detail: str) -> str:
    return detail.removeprefix("503: ").split(": ")[0][:60]
