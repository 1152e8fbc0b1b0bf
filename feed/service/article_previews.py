"""Who would see an article: recorded requests, ranked without and with an action of an editor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feed.catalogue.pinning import feeds_of
from feed.domain import AiGenerated, Article, Pin, ServedFeed
from feed.editorial.boosts import Boost
from feed.features.pool import ArticlePool
from feed.ranking.boosted_rows import build_boosted_rows
from feed.ranking.live_index import build_index
from feed.service.pinned import audiences_of
from feed.service.previews import BATCH, PreviewDesk
from feed.service.request_replay import START, ReplayPlace
from feed.service.snapshot import LiveSnapshot

REQUESTS = 50
HOURS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where an article stands in many feeds; that of all is the sum of those of some.

    Attributes:
        feeds: how many feeds.
        first_10: feeds in whose first 10 slots it stands.
        first_20: the same of the first 20.
        found: feeds in which it stands at all.
        places: sum of its places in those, from 1.
    """

    feeds: int = 0
    first_10: int = 0
    first_20: int = 0
    found: int = 0
    places: int = 0

    def __add__(self, other: Reach) -> Reach:
        """Return the reach in the feeds of both."""
        return Reach(
            feeds=self.feeds + other.feeds,
            first_10=self.first_10 + other.first_10,
            first_20=self.first_20 + other.first_20,
            found=self.found + other.found,
            places=self.places + other.places,
        )

    def share(self, count: int) -> float:
        """Return a count as a share of the feeds; 0 without a feed."""
        return count / max(self.feeds, 1)

    @property
    def mean_place(self) -> float | None:
        """Its mean place where it stands, from 1; None if it stands nowhere."""
        return self.places / self.found if self.found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticlePreview:
    """Who would see an article now, and after an action.

    Attributes:
        place: how far the requests of the last hour, at most 50, have been ranked again.
        before: where it stands now.
        after: where it would stand.
    """

    place: ReplayPlace = START
    before: Reach = Reach()
    after: Reach = Reach()


def preview_article(
    previews: PreviewDesk,
    article_id: str,
    before: LiveSnapshot,
    after: LiveSnapshot,
    so_far: ArticlePreview | None = None,
    count: int = BATCH,
) -> ArticlePreview:
    """Return who would see an article through each of two snapshots; no exposure is recorded.

    Args:
        previews: ranks.
        article_id: of the article.
        before: the present snapshot.
        after: with the action.
        so_far: what earlier batches found.
        count: requests of this batch.

    Raises:
        ConflictError: another preview is being made.
        StoreUnavailableError: the store does not answer.
    """
    known = so_far or ArticlePreview()
    ranked = previews.rank_again(
        before, after, most=REQUESTS, hours=HOURS, place=known.place, count=count
    )
    pool = before.view.pool
    row = pool.leader_of(pool.ids.row(article_id))
    names = {article_id, pool.ids.ids[row]} if row >= 0 else {article_id}
    return ArticlePreview(
        place=ranked.place,
        before=known.before + _reach([pair[0] for pair in ranked.pairs], names),
        after=known.after + _reach([pair[1] for pair in ranked.pairs], names),
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


def with_article(snapshot: LiveSnapshot, article: Article, now: float) -> LiveSnapshot:
    """Return a snapshot as it would be if an article had these labels, expiry and retraction.

    Its twins stay as they are: another one may in truth take the place of one that goes.
    """
    row = snapshot.view.pool.ids.row(article.article_id)
    if not 0 <= row < snapshot.view.pool.size:
        return snapshot
    pool = _with_row(snapshot.view.pool, row, article)
    view = replace(snapshot.view, pool=pool)
    trending = snapshot.trending
    if article.sponsored:  # what is sponsored never trends
        trending = trending.without(article.article_id, pool.ids)
    return replace(
        snapshot,
        view=view,
        others={name: replace(other, pool=pool) for name, other in snapshot.others.items()},
        index=build_index(pool, snapshot.signals.counters, now),
        trending=trending,
    )


def _with_row(pool: ArticlePool, row: int, article: Article) -> ArticlePool:
    leads = pool.leader_of(row) == row
    values = {
        "live": not article.retracted and leads,
        "sponsored": article.sponsored,
        "ai_generated": article.ai_generated is not AiGenerated.NONE,
        "expires_at": math.inf if article.expires_at is None else article.expires_at,
    }
    if pool.folded is not None:
        values["folded"] = not article.retracted and not leads
    columns: dict[str, Any] = {}
    for name, value in values.items():
        column = np.array(getattr(pool, name))
        column[row] = value
        columns[name] = column
    return replace(pool, **columns)


def _reach(feeds: Sequence[ServedFeed], names: set[str]) -> Reach:
    found = [
        next((at for at, one in enumerate(feed.slots.article_ids, 1) if one in names), None)
        for feed in feeds
    ]
    places = [place for place in found if place is not None]
    return Reach(
        feeds=len(feeds),
        first_10=sum(place <= 10 for place in places),
        first_20=sum(place <= 20 for place in places),
        found=len(places),
        places=sum(places),
    )
