"""Previews: the requests of the last hours ranked as now and as after a change, side by side."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from feed.domain import ServedFeed
from feed.service.ranked import FeedRequest, rank
from feed.service.request_replay import HOURS, REQUESTS, START, ReplayPlace, RequestReplay
from feed.service.snapshot import LiveSnapshot
from feed.service.telemetry import Stopwatch

FIRST = 10
"""Slots of each feed that are compared."""
BATCH = 10
"""Requests that the desk ranks between two looks at how far a preview is."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MixCount:
    """What `Mix` is made of; that of several feeds is the sum of those of each.

    Attributes:
        slots: How many slots.
        trending: Slots with the trending label.
        ai_generated: Slots with an AI-generated article.
        age_hours: Sum of the times since publication.
        sections: Slots by section.
        articles: Short digests of the different articles' ids.
    """

    slots: int = 0
    trending: int = 0
    ai_generated: int = 0
    age_hours: float = 0.0
    sections: Mapping[str, int] = field(default_factory=dict)
    articles: frozenset[str] = frozenset()

    def __add__(self, other: MixCount) -> MixCount:
        """Return the counts of both."""
        return MixCount(
            slots=self.slots + other.slots,
            trending=self.trending + other.trending,
            ai_generated=self.ai_generated + other.ai_generated,
            age_hours=self.age_hours + other.age_hours,
            sections=dict(Counter(self.sections) + Counter(other.sections)),
            articles=self.articles | other.articles,
        )

    def to_mix(self) -> Mix:
        """Return the shares."""
        slots = max(self.slots, 1)
        sections = Counter(self.sections).most_common()
        return Mix(
            slots=self.slots,
            articles=len(self.articles),
            trending=self.trending / slots,
            ai_generated=self.ai_generated / slots,
            mean_age_hours=self.age_hours / slots if self.slots else None,
            sections={name: count / slots for name, count in sections},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewCount:
    """What `Preview` is made of, so that a preview can be made of several batches.

    Attributes:
        requests: How many were ranked again.
        changed: Requests whose first slots differ.
        replaced: Articles in the first slots after the change that were not there before it.
        before: What stands there now.
        after: What would stand there.
    """

    requests: int = 0
    changed: int = 0
    replaced: int = 0
    before: MixCount = field(default_factory=MixCount)
    after: MixCount = field(default_factory=MixCount)

    def __add__(self, other: PreviewCount) -> PreviewCount:
        """Return the counts of both."""
        return PreviewCount(
            requests=self.requests + other.requests,
            changed=self.changed + other.changed,
            replaced=self.replaced + other.replaced,
            before=self.before + other.before,
            after=self.after + other.after,
        )

    def to_preview(self, hours: float) -> Preview:
        """Return the shares; `hours` is how long ago the oldest request was served."""
        return Preview(
            requests=self.requests,
            hours=hours,
            changed=self.changed / max(self.requests, 1),
            replaced=self.replaced / max(self.after.slots, 1),
            before=self.before.to_mix(),
            after=self.after.to_mix(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        sides = {"before": self.before, "after": self.after}
        mixes = {n: asdict(one) | {"articles": sorted(one.articles)} for n, one in sides.items()}
        return asdict(self) | mixes

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PreviewCount:
        """Return the counts that `to_json` gave."""
        sides = {
            name: MixCount(**data[name] | {"articles": frozenset(data[name]["articles"])})
            for name in ("before", "after")
        }
        return cls(**{**data, **sides})


def count_changes(
    pairs: Sequence[tuple[ServedFeed, ServedFeed]], snapshot: LiveSnapshot, now: float
) -> PreviewCount:
    """Return what a change does, from each request's feed before and after it.

    Args:
        pairs: Before and after, one a request.
        snapshot: Knows the articles.
        now: Epoch seconds.
    """
    firsts = [[feed.slots.article_ids[:FIRST] for feed in pair] for pair in pairs]
    return PreviewCount(
        requests=len(pairs),
        changed=sum(before != after for before, after in firsts),
        replaced=sum(len({*after} - {*before}) for before, after in firsts),
        before=_count_mix([pair[0] for pair in pairs], snapshot, now),
        after=_count_mix([pair[1] for pair in pairs], snapshot, now),
    )


def _count_mix(feeds: Sequence[ServedFeed], snapshot: LiveSnapshot, now: float) -> MixCount:
    pool = snapshot.view.pool
    ids = [article for feed in feeds for article in feed.slots.article_ids[:FIRST]]
    rows = pool.ids.rows(ids)
    codes = Counter(pool.section[rows].tolist())
    names = [*pool.sections.ids, "no section"]  # code -1 is the last
    return MixCount(
        slots=len(ids),
        trending=sum(flag for feed in feeds for flag in feed.slots.trending[:FIRST]),
        ai_generated=int(pool.ai_generated[rows].sum()),
        age_hours=float(np.maximum(now - pool.published_at[rows], 0.0).sum()) / 3600,
        sections={names[code]: count for code, count in codes.items()},
        articles=frozenset(blake2b(one.encode(), digest_size=6).hexdigest() for one in ids),
    )


@dataclass(frozen=True, slots=True)
class RankedPairs:
    """Recorded requests through two snapshots: their feeds, and how far the replay came."""

    pairs: list[tuple[ServedFeed, ServedFeed]]
    place: ReplayPlace


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
        now = self._clock()
        ranked = self.rank_again(before, after)
        counted = count_changes(ranked.pairs, before, now)
        return counted.to_preview(hours_since(ranked.place, now))

    def rank_again(
        self,
        before: LiveSnapshot,
        after: LiveSnapshot,
        *,
        most: int = REQUESTS,
        hours: float = HOURS,
        place: ReplayPlace = START,
        count: int = REQUESTS,
    ) -> RankedPairs:
        """Return the feeds of recorded requests through each of two snapshots, kept nowhere.

        Args:
            before: The present snapshot.
            after: Another one; if it is the same, each request is ranked once.
            most: Requests in all, the newest first.
            hours: How long ago they were served at most.
            place: Where to go on.
            count: Requests of this batch.

        Raises:
            ConflictError: another preview is being made.
            StoreUnavailableError: the store does not answer.
        """
        pairs: list[tuple[ServedFeed, ServedFeed]] = []
        with self._replay.alone("another preview is being made"):
            chosen = self._replay.chosen(self._clock() - hours * 3600, most, place)
            total = place.done + len(chosen)
            place = replace(place, total=total)
            for seed, recorded, request in self._replay.each(chosen[:count], place.done):
                now = self._rank(request, before, seed)
                then = now if after is before else self._rank(request, after, seed)
                pairs.append((now, then))
                place = ReplayPlace(
                    done=seed + 1,
                    total=total,
                    served_at=recorded.served_at,
                    request_id=recorded.request_id,
                )
        return RankedPairs(pairs, place)

    def _rank(self, request: FeedRequest, snapshot: LiveSnapshot, seed: int) -> ServedFeed:
        config, rng = snapshot.ranking.config, np.random.default_rng(seed)
        with self._turn:
            return rank(request, snapshot, config, rng, Stopwatch())


def hours_since(place: ReplayPlace, now: float) -> float:
    """Return how long ago the last request before a place was served; 0 at the start."""
    return max(now - place.served_at, 0.0) / 3600
