"""Previews: the requests of the last hours ranked as now and as after a change, side by side."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from feed.config import Settings
from feed.domain import ArchiveError, ConflictError, Mode, ServedFeed
from feed.schemas import FeedQuery
from feed.service.archive_process import ask_archive
from feed.service.ranked import FeedRequest, rank, usable_of
from feed.service.snapshot import LiveSnapshot
from feed.service.telemetry import Stopwatch
from feed.storage.recent_requests import RecordedRequest, read_newest
from feed.storage.records import ReaderState
from feed.storage.redis_store import RedisStore

REQUESTS = 100
"""Requests of one preview at most."""
HOURS = 24.0
"""Older requests are not looked for."""
FIRST = 10
"""Slots of each feed that are compared."""
MOST_S = 20.0
"""A preview that takes longer says what it has, seconds."""
KEPT_S = 60.0
"""The recorded requests are read again after so long, seconds."""
READING_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What stands in the first slots of many feeds.

    Attributes:
        slots: How many slots.
        articles: How many different articles.
        trending: Share of the slots with the trending label.
        ai_generated: Share of the slots with an AI-generated article.
        mean_age_hours: Mean time since publication; None without a slot.
        sections: Share of the slots by section, the largest first.
    """

    slots: int
    articles: int
    trending: float
    ai_generated: float
    mean_age_hours: float | None
    sections: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a change does to the first slots of recorded requests.

    Attributes:
        requests: How many were ranked again.
        hours: How long ago the oldest of them was served.
        changed: Share of the requests whose first slots differ in an article or in the order.
        replaced: Share of the articles in these slots that were not among them before.
        before: What stands there now.
        after: What would stand there.
    """

    requests: int
    hours: float
    changed: float
    replaced: float
    before: Mix
    after: Mix

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def compare(
    pairs: Sequence[tuple[ServedFeed, ServedFeed]],
    snapshot: LiveSnapshot,
    now: float,
    oldest_at: float,
) -> Preview:
    """Return what a change does, from each request's feed before and after it.

    Args:
        pairs: Before and after, one a request.
        snapshot: Knows the articles.
        now: Epoch seconds.
        oldest_at: When the oldest request was served, epoch seconds.
    """
    firsts = [[feed.slots.article_ids[:FIRST] for feed in pair] for pair in pairs]
    changed = sum(before != after for before, after in firsts)
    new = sum(len({*after} - {*before}) for before, after in firsts)
    slots = sum(len(after) for _, after in firsts)
    return Preview(
        requests=len(pairs),
        hours=max(now - oldest_at, 0.0) / 3600,
        changed=changed / max(len(pairs), 1),
        replaced=new / max(slots, 1),
        before=_mix([pair[0] for pair in pairs], snapshot, now),
        after=_mix([pair[1] for pair in pairs], snapshot, now),
    )


def _mix(feeds: Sequence[ServedFeed], snapshot: LiveSnapshot, now: float) -> Mix:
    pool = snapshot.view.pool
    ids = [article for feed in feeds for article in feed.slots.article_ids[:FIRST]]
    trending = [flag for feed in feeds for flag in feed.slots.trending[:FIRST]]
    rows = pool.ids.rows(ids)
    codes = Counter(pool.section[rows].tolist())
    names = [*pool.sections.ids, "no section"]  # code -1 is the last
    ages = np.maximum(now - pool.published_at[rows], 0.0) / 3600
    return Mix(
        slots=len(ids),
        articles=len({*ids}),
        trending=sum(trending) / max(len(ids), 1),
        ai_generated=float(pool.ai_generated[rows].sum()) / max(len(ids), 1),
        mean_age_hours=float(ages.mean()) if ids else None,
        sections={names[code]: count / len(ids) for code, count in codes.most_common()},
    )


class RecordedRequests:
    """The newest requests of the installation, read again after a minute.

    Args:
        settings: Where the archive is.
        store: Where the streams are.
        clock: Epoch seconds.
    """

    def __init__(self, settings: Settings, store: RedisStore, clock: Callable[[], float]) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._kept: tuple[float, list[RecordedRequest]] | None = None

    def newest(self) -> list[RecordedRequest]:
        """Return at most `REQUESTS` requests, the newest first.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        now = self._clock()
        if self._kept is None or not 0 <= now - self._kept[0] < KEPT_S:
            self._kept = now, self._read(now)
        return self._kept[1]

    def reader_of(self, query: FeedQuery) -> ReaderState:
        """Return what may be used of the present state of a request's reader.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        if query.mode is Mode.PERSONALIZED:
            return usable_of(self._store.read_for_feed(query.user_id)[0], query.mode)
        return usable_of(self._store.read_choices(query.user_id), query.mode)

    def _read(self, now: float) -> list[RecordedRequest]:
        found = {one.request_id: one for one in read_newest(self._store)}
        if len(found) < REQUESTS:
            found = {one.request_id: one for one in self._archived(now)} | found
        newest = sorted(found.values(), key=lambda one: -one.served_at)
        return [one for one in newest if one.served_at >= now - HOURS * 3600][:REQUESTS]

    def _archived(self, now: float) -> list[RecordedRequest]:
        question = {
            "data_dir": str(self._settings.data_dir),
            "since": now - HOURS * 3600,
            "most": REQUESTS,
        }
        try:
            rows = ask_archive("feed.storage.recent_requests", question, limit_s=READING_S)
        except ArchiveError:  # it may be on the worker's machine; the streams hold something
            return []
        return [RecordedRequest(**row) for row in rows]


class PreviewDesk:
    """Makes one preview at a time, off the path of requests: it rests as long as it works.

    Args:
        turn: Held while one request is ranked, so that a reader waits for no more than one.
        requests: The recorded requests.
        clock: Epoch seconds.
        rest: Called with seconds after each request.
    """

    def __init__(
        self,
        turn: threading.Lock,
        requests: RecordedRequests,
        clock: Callable[[], float],
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._turn, self._requests, self._clock, self._rest = turn, requests, clock, rest
        self._making = threading.Lock()

    def preview(self, before: LiveSnapshot, after: LiveSnapshot) -> Preview:
        """Return what the first slots of recorded requests are through each of two snapshots.

        Args:
            before: The present snapshot.
            after: The same with other settings, limits, boosts or pins.

        Raises:
            ConflictError: another preview is being made.
            StoreUnavailableError: the store does not answer.
        """
        pairs, oldest_at = self.rank_again(before, after)
        return compare(pairs, before, self._clock(), oldest_at)

    def rank_again(
        self,
        before: LiveSnapshot,
        after: LiveSnapshot,
        *,
        most: int = REQUESTS,
        hours: float = HOURS,
    ) -> tuple[list[tuple[ServedFeed, ServedFeed]], float]:
        """Return the feeds of recorded requests through each of two snapshots, kept nowhere.

        Args:
            before: The present snapshot.
            after: Another one.
            most: Requests, the newest first.
            hours: How long ago they were served at most.

        Returns:
            The pairs, and when the oldest of the requests was served, epoch seconds.

        Raises:
            ConflictError: another preview is being made.
            StoreUnavailableError: the store does not answer.
        """
        if not self._making.acquire(blocking=False):
            raise ConflictError("another preview is being made: try again in a few seconds")
        try:
            since = self._clock() - hours * 3600
            chosen = [one for one in self._requests.newest() if one.served_at >= since]
            return self._make(before, after, chosen[:most])
        finally:
            self._making.release()

    def _make(
        self, before: LiveSnapshot, after: LiveSnapshot, chosen: Sequence[RecordedRequest]
    ) -> tuple[list[tuple[ServedFeed, ServedFeed]], float]:
        started, pairs, oldest_at = time.perf_counter(), [], self._clock()
        for seed, recorded in enumerate(chosen):
            begun = time.perf_counter()
            query = as_query(recorded)
            if query is None:
                continue
            request = FeedRequest(query, self._clock(), self._requests.reader_of(query))
            pairs.append((self._rank(request, before, seed), self._rank(request, after, seed)))
            oldest_at = recorded.served_at
            now = time.perf_counter()
            if now - started > MOST_S:
                break
            self._rest(now - begun)
        return pairs, oldest_at

    def _rank(self, request: FeedRequest, snapshot: LiveSnapshot, seed: int) -> ServedFeed:
        config, rng = snapshot.ranking.config, np.random.default_rng(seed)
        with self._turn:
            return rank(request, snapshot, config, rng, Stopwatch())


def as_query(recorded: RecordedRequest) -> FeedQuery | None:
    """Return a recorded request as it was asked; None if it breaks a rule that came later."""
    try:
        query = FeedQuery.model_validate(
            {
                "user_id": recorded.user_id,
                "section": recorded.section,
                "language": recorded.language or None,
                "mode": recorded.mode,
                "page_article_id": recorded.page_article_id or None,
                "device": recorded.device,
                "platform": recorded.platform,
            }
        )
        return query.model_copy(update={"attributes": dict(recorded.attributes)})
    except ValidationError:
        return None
