"""Who would see an article: recorded requests, ranked without and with an action of an editor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feed.catalogue.pinning import feeds_of
from feed.domain import Pin, ServedFeed
from feed.editorial.boosts import Boost
from feed.ranking.boosted_rows import build_boosted_rows
from feed.service.pinned import audiences_of
from feed.service.previews import PreviewDesk
from feed.service.snapshot import LiveSnapshot

REQUESTS = 50
HOURS = 1.0
TOPS = (10, 20)
"""How many of the first slots count as seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where an article stands in many feeds.

    Attributes:
        first_10: share of the feeds in whose first 10 slots it stands.
        first_20: the same of the first 20.
        mean_place: mean place, from 1, in those feeds in which it stands; None if in none.
    """

    first_10: float
    first_20: float
    mean_place: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticlePreview:
    """Who would see an article now, and after an action.

    Attributes:
        requests: how many requests of the last hour were ranked again, at most 50.
        before: where it stands now.
        after: where it would stand.
    """

    requests: int
    before: Reach
    after: Reach


def preview_article(
    previews: PreviewDesk, article_id: str, before: LiveSnapshot, after: LiveSnapshot
) -> ArticlePreview:
    """Return who would see an article through each of two snapshots; no exposure is recorded.

    Raises:
        ConflictError: another preview is being made.
        StoreUnavailableError: the store does not answer.
    """
    pairs, _ = previews.rank_again(before, after, most=REQUESTS, hours=HOURS)
    pool = before.view.pool
    row = pool.leader_of(pool.ids.row(article_id))
    names = {article_id, pool.ids.ids[row]} if row >= 0 else {article_id}
    return ArticlePreview(
        requests=len(pairs),
        before=_reach([pair[0] for pair in pairs], names),
        after=_reach([pair[1] for pair in pairs], names),
    )


def with_boost(snapshot: LiveSnapshot, boost: Boost) -> LiveSnapshot:
    """Return a snapshot as it would be with one more boost."""
    boosts = {**snapshot.editorial.boosts, boost.article_id: boost}
    rows = build_boosted_rows(boosts.values(), snapshot.view.pool)
    return replace(snapshot, boosts=rows)


def with_pin(snapshot: LiveSnapshot, pin: Pin) -> LiveSnapshot:
    """Return a snapshot as it would be with one more pin."""
    pins = (*(p for p in snapshot.pins if feeds_of(p) != feeds_of(pin)), pin)
    return replace(snapshot, pins=pins, audiences=audiences_of(pins))


def _reach(feeds: Sequence[ServedFeed], names: set[str]) -> Reach:
    places = [
        next((at for at, one in enumerate(feed.slots.article_ids) if one in names), None)
        for feed in feeds
    ]
    found = [place for place in places if place is not None]
    shares = [sum(place < top for place in found) / max(len(feeds), 1) for top in TOPS]
    mean = sum(found) / len(found) + 1 if found else None
    return Reach(first_10=shares[0], first_20=shares[1], mean_place=mean)
