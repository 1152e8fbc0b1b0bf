"""Previews: the requests of the last hours ranked as now and as after a change, side by side."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feed.domain import ServedFeed
from feed.service.ranked import FeedRequest, rank
from feed.service.request_replay import HOURS, REQUESTS, RequestReplay
from feed.service.snapshot import LiveSnapshot
from feed.service.telemetry import Stopwatch

FIRST = 10
"""Slots of each feed that are compared."""


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


class PreviewDesk:
    """Makes one preview at a time, off the path of requests.

    Args:
        turn: Held while one request is ranked, so that a reader waits for no more than one.
        replay: Goes through the recorded requests.
        clock: Epoch seconds.
    """

    def __init__(
        self, turn: threading.Lock, replay: RequestReplay, clock: Callable[[], float]
    ) -> None:
        self._turn, self._replay, self._clock = turn, replay, clock

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
        pairs, oldest_at = [], self._clock()
        with self._replay.alone("another preview is being made"):
            since = self._clock() - hours * 3600
            for seed, served_at, request in self._replay.each(since, most):
                now, then = (self._rank(request, side, seed) for side in (before, after))
                pairs.append((now, then))
                oldest_at = served_at
        return pairs, oldest_at

    def _rank(self, request: FeedRequest, snapshot: LiveSnapshot, seed: int) -> ServedFeed:
        config, rng = snapshot.ranking.config, np.random.default_rng(seed)
        with self._turn:
            return rank(request, snapshot, config, rng, Stopwatch())
