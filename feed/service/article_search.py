"""Finds articles for the desk among those that a snapshot knows; the store is not asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from feed.arrays import Flags, Rows
from feed.features.pool import SCHEDULE_TOLERANCE_S
from feed.features.request_context import asked_section
from feed.service.snapshot import LiveSnapshot
from feed.service.title_index import fold

MOST_WORDS = 8
LONGEST_TEXT = 200


class ArticleStanding(StrEnum):
    """A state in which an article may be; it may be in several."""

    LIVE = "live"
    RETRACTED = "retracted"
    EXPIRED = "expired"
    SCHEDULED = "not yet out"
    TWIN = "behind a twin"
    BOOSTED = "boosted"
    BURIED = "buried"
    PINNED = "pinned"
    SPONSORED = "sponsored"
    AI_GENERATED = "made with AI"
    NO_VECTOR = "without a vector"


class ArticleOrder(StrEnum):
    """The order of what was found."""

    NEWEST = "newest"
    MOST_READ = "most read now"
    TRENDING = "trending"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleSearch:
    """What is looked for; an empty field lets everything pass.

    Attributes:
        text: words of the title, or of the id.
        section: name of a section.
        source: name of a source.
        state: which state they are in.
        order: in which order.
    """

    text: str = ""
    section: str = ""
    source: str = ""
    state: ArticleStanding | None = None
    order: ArticleOrder = ArticleOrder.NEWEST


@dataclass(frozen=True, slots=True)
class FoundArticles:
    """One page of what was found: pool rows, best first, and how many there are in all."""

    rows: list[int]
    total: int


def find_articles(
    search: ArticleSearch, snapshot: LiveSnapshot, now: float, start: int, count: int
) -> FoundArticles:
    """Return a page of the articles that a search finds.

    Args:
        search: what is looked for.
        snapshot: where.
        now: epoch seconds.
        start: how many are left out before the page.
        count: how many the page has at most.
    """
    pool = snapshot.view.pool
    wanted = pool.first_seen_at[: pool.size] > 0
    if search.section:
        every = np.arange(pool.size)
        wanted &= pool.stand_in(every, [asked_section(pool.sections, search.section)])
    if search.source:
        wanted &= pool.source[: pool.size] == pool.sources.row(search.source)
    if search.state is not None:
        wanted &= _TESTS[search.state](snapshot, np.arange(pool.size), now)
    rows = _ordered(search.order, snapshot, now)
    rows = rows[wanted[rows]]
    words = fold(search.text[:LONGEST_TEXT]).split()[:MOST_WORDS]
    found = snapshot.titles.matching(words, rows.tolist())
    return FoundArticles(found[start : start + count], len(found))


def standings_of(rows: Rows, snapshot: LiveSnapshot, now: float) -> list[list[ArticleStanding]]:
    """Return every state that each of some articles is in."""
    flags = {standing: test(snapshot, rows, now) for standing, test in _TESTS.items()}
    return [[standing for standing in flags if flags[standing][i]] for i in range(len(rows))]


def _ordered(order: ArticleOrder, snapshot: LiveSnapshot, now: float) -> Rows:
    rows = snapshot.index.dated
    if snapshot.index.pool is not snapshot.view.pool:
        rows = np.argsort(-snapshot.view.pool.fresh_at, kind="stable")
    if order is ArticleOrder.NEWEST:
        return rows
    clicks = snapshot.signals.counters.clicks(rows, now)[:, 0]
    if order is ArticleOrder.TRENDING:
        clicks = snapshot.trending.score(rows) + clicks / (1e6 * (1.0 + clicks.max(initial=0.0)))
    ordered: Rows = rows[np.argsort(-clicks, kind="stable")]
    return ordered


def _is_out(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    flags: Flags = snapshot.view.pool.published_at[rows] <= now + SCHEDULE_TOLERANCE_S
    return flags


def _is_expired(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    flags: Flags = snapshot.view.pool.expires_at[rows] <= now
    return flags


def _is_live(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    is_out, is_expired = _is_out(snapshot, rows, now), _is_expired(snapshot, rows, now)
    return snapshot.view.pool.live[rows] & is_out & ~is_expired


def _is_retracted(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    return ~snapshot.view.pool.live[rows] & ~_is_twin(snapshot, rows, now)


def _is_twin(snapshot: LiveSnapshot, rows: Rows, _now: float) -> Flags:
    folded = snapshot.view.pool.folded
    return np.zeros(len(rows), np.bool_) if folded is None else folded[rows]


def _is_pinned(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    ids = [pin.article_id for pin in snapshot.pins if pin.ends_at > now]
    return np.isin(rows, snapshot.view.pool.ids.rows(ids))


def _is_boosted(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    flags: Flags = snapshot.boosts.factor(rows, now) > 1.0
    return flags


def _is_buried(snapshot: LiveSnapshot, rows: Rows, now: float) -> Flags:
    flags: Flags = snapshot.boosts.factor(rows, now) < 1.0
    return flags


def _is_sponsored(snapshot: LiveSnapshot, rows: Rows, _now: float) -> Flags:
    return snapshot.view.pool.sponsored[rows]


def _is_made_with_ai(snapshot: LiveSnapshot, rows: Rows, _now: float) -> Flags:
    return snapshot.view.pool.ai_generated[rows]


def _has_no_vector(snapshot: LiveSnapshot, rows: Rows, _now: float) -> Flags:
    vectors = snapshot.view.pool.embedding[rows]
    return np.asarray(~vectors.any(axis=1), np.bool_)


_TESTS: dict[ArticleStanding, Callable[[LiveSnapshot, Rows, float], Flags]] = {
    ArticleStanding.LIVE: _is_live,
    ArticleStanding.RETRACTED: _is_retracted,
    ArticleStanding.EXPIRED: _is_expired,
    ArticleStanding.SCHEDULED: lambda snapshot, rows, now: ~_is_out(snapshot, rows, now),
    ArticleStanding.TWIN: _is_twin,
    ArticleStanding.BOOSTED: _is_boosted,
    ArticleStanding.BURIED: _is_buried,
    ArticleStanding.PINNED: _is_pinned,
    ArticleStanding.SPONSORED: _is_sponsored,
    ArticleStanding.AI_GENERATED: _is_made_with_ai,
    ArticleStanding.NO_VECTOR: _has_no_vector,
}
