"""Orders that hold for every reader, made once per snapshot instead of once per request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.config import HOUR_S
from feed.features.counters import HALF_LIVES_S, Counters
from feed.features.pool import SCHEDULE_TOLERANCE_S, ArticlePool

YOUNG_HOURS = 24.0
"""Only articles younger than this are explored."""
FEWEST_CLICKS = 1e-3
"""Decayed clicks under this count as none."""
LISTED = 2_000
"""Articles of one order by clicks or impressions: more than any request looks at."""
EXPLORE_DEPTH = 400
"""Under-exposed articles listed."""
SEARCHED = 5_000
"""Newest live articles that are compared with readers' vectors; older ones can still come from
every other source. Bounds the cost of a request in a huge catalogue: reading the vectors from
memory is what takes the time."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveIndex:
    """The live articles of one snapshot in the orders that candidate sources start from.

    All are pool rows, best first. `newest` holds every live, published article, with `newest_at`
    the times from which their ages count; `live`, over the pool's rows, says which those are.
    `popular` has one order per half-life of the counters (articles without clicks left out),
    `hot` those by clicks of the shortest over 1 + their age in hours, `in_view` the articles most
    in readers' view in the last half hour, `underexposed` the young ones that at most half as many
    as usual were shown. `expiring` have an expiry time. `searched`,
    the first `SEARCHED` of `newest`, are those whose vectors are searched. `dated` is every row of
    `pool`, live or not, newest first. `sections` has the decayed clicks of the longest half-life on
    the live articles of each section, by its code; their number, if nothing was clicked.
    """

    newest: Rows
    newest_at: Floats
    live: Flags
    popular: tuple[Rows, ...]
    hot: Rows
    in_view: Rows
    underexposed: Rows
    expiring: Rows
    searched: Rows
    pool: ArticlePool
    dated: Rows
    sections: Floats


def build_index(
    pool: ArticlePool, counters: Counters, now: float, previous: LiveIndex | None = None
) -> LiveIndex:
    """Return the orders of a snapshot.

    Args:
        pool: the articles.
        counters: decayed clicks and impressions by row.
        now: the snapshot's time, epoch seconds; expiry is checked again at each request.
        previous: an older index; if it is of articles with the same dates, their order is known.
    """
    live = pool.live & (pool.published_at <= now + SCHEDULE_TOLERANCE_S) & (pool.expires_at > now)
    has_same_dates = previous is not None and previous.pool.fresh_at is pool.fresh_at
    dated = previous.dated if previous and has_same_dates else _by_date(pool)
    rows = dated[live[dated]]
    clicks, impressions = counters.clicks(rows, now), counters.impressions(rows, now)
    return LiveIndex(
        newest=rows,
        newest_at=pool.fresh_at[rows],
        live=live,
        popular=tuple(_descending(rows, clicks[:, h]) for h in range(len(HALF_LIVES_S))),
        hot=_descending(rows, heat(clicks[:, 0], now - pool.fresh_at[rows])),
        in_view=_descending(rows, impressions[:, 0]),
        underexposed=_underexposed(rows, pool.fresh_at[rows], impressions[:, -1], now),
        expiring=rows[np.isfinite(pool.expires_at[rows])],
        searched=rows[:SEARCHED],
        pool=pool,
        dated=dated,
        sections=_by_section(pool, rows, clicks[:, -1]),
    )


def heat(clicks: Floats, ages_s: Floats) -> Floats:
    """Return decayed clicks over 1 + the age in hours, f64 [k].

    Of the orders that know nothing of the reader it is the best one that was measured; see
    `offline.methods.CLICKS_BY_AGE`.
    """
    return clicks / (1.0 + np.maximum(ages_s, 0.0) / HOUR_S)


def _by_section(pool: ArticlePool, rows: Rows, clicks: Floats) -> Floats:
    sections = pool.section[rows]
    weights = clicks if clicks.sum() > FEWEST_CLICKS else np.ones(len(rows))
    coded = sections >= 0
    found = np.bincount(sections[coded], weights[coded], minlength=len(pool.sections))
    return found.astype(np.float64)


def _by_date(pool: ArticlePool) -> Rows:
    order: Rows = np.argsort(-pool.fresh_at[: pool.size], kind="stable")
    return order


def _descending(rows: Rows, amounts: Floats) -> Rows:
    some = np.flatnonzero(amounts > FEWEST_CLICKS)
    if len(some) > LISTED:
        some = np.sort(some[np.argpartition(-amounts[some], LISTED)[:LISTED]])
    ordered: Rows = rows[some[_stable_order(-amounts[some])]]
    return ordered


def _stable_order(values: Floats) -> Rows:
    """Return the order that sorts values, equal ones as they stand, int64 [k].

    It is found in a third of the time of a stable sort: in any order of equal ones first, and then
    by the run of equal ones and the place within it, which are plain numbers.
    """
    order = np.argsort(values)
    ordered = values[order]
    begins = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    if begins.all():
        return order
    bits = len(order).bit_length()
    runs: Rows = (np.cumsum(begins) << bits) | order
    runs.sort()
    runs &= (1 << bits) - 1
    return runs


def _underexposed(rows: Rows, fresh_at: Floats, impressions: Floats, now: float) -> Rows:
    """Young articles shown at most half as often as the mean young article, least shown first."""
    young = np.flatnonzero(fresh_at > now - YOUNG_HOURS * HOUR_S)
    if not young.size:
        return rows[:0]
    few = young[impressions[young] <= impressions[young].mean() / 2]
    order = np.argsort(impressions[few], kind="stable")
    listed: Rows = rows[few[order[:EXPLORE_DEPTH]]]
    return listed
