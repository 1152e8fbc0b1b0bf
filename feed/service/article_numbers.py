"""What the counters say of articles, and why one trends or not, for the desk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from feed.arrays import Rows
from feed.domain import TrendingEntry
from feed.features.counters import HALF_LIVES_S
from feed.features.surprise import SLOW, TrendingRules, measure_surprise
from feed.service.snapshot import LiveSnapshot

NOW, HOURS_3, DAY = 0, 1, 3
"""Columns of the counters that the desk shows: half-lives of 30 minutes, 2 hours and 24 hours."""
WINDOWS = tuple(round(HALF_LIVES_S[column] / math.log(2) / 60) for column in (NOW, HOURS_3, DAY))
"""The lengths of the windows that these decayed counts stand for, minutes: 43, 173 and 2,078."""
RULES = TrendingRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleNumbers:
    """What readers did with one article.

    Attributes:
        readers: distinct readers in the last 43 minutes, 3 hours and 35 hours, about: decayed
            counts.
        all_readers: distinct readers since the beginning.
        shown: times it came into readers' view in the last 35 hours, about.
        clicked: clicks that answered such a showing, in the same time.
        likes: likes of all readers.
        dislikes: dislikes of all readers.
    """

    readers: tuple[float, float, float]
    all_readers: int
    shown: float
    clicked: float
    likes: int
    dislikes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendAccount:
    """Why an article trends or not: the numbers of the test, and the rules it meets or fails.

    Attributes:
        entry: the worker's numbers; None if the article is far from trending.
        readers: readers in the window that the test counted.
        expected: readers that its usual rate, and the site's, foretold.
        lift: their smoothed ratio.
        p_value: how probable so many readers are without a trend.
        uncounted: readers that the bound on networks left out of the test.
        window_minutes: length of the window.
        verdict: the answer in a sentence.
    """

    entry: TrendingEntry | None
    readers: float
    expected: float
    lift: float
    p_value: float
    uncounted: float
    window_minutes: int
    verdict: str


def numbers_of(rows: Rows, snapshot: LiveSnapshot, now: float) -> list[ArticleNumbers]:
    """Return what readers did with some articles."""
    counters = snapshot.signals.counters
    clicks = counters.clicks(rows, now)[:, [NOW, HOURS_3, DAY]]
    shown = counters.impressions(rows, now)[:, DAY]
    clicked = counters.blocks(rows, now)["feed_clicks"][DAY]
    totals = {name: counters.totals(name, rows) for name in ("readers", "likes", "dislikes")}
    return [
        ArticleNumbers(
            readers=(float(clicks[i, 0]), float(clicks[i, 1]), float(clicks[i, 2])),
            all_readers=round(totals["readers"][i]),
            shown=float(shown[i]),
            clicked=float(clicked[i]),
            likes=max(round(totals["likes"][i]), 0),
            dislikes=max(round(totals["dislikes"][i]), 0),
        )
        for i in range(len(rows))
    ]


def account_for_trend(row: int, snapshot: LiveSnapshot, now: float) -> TrendAccount:
    """Return why an article trends or not.

    What the worker lists comes with its own numbers. For any other article the same test is made
    here, with all its readers.
    """
    entry = snapshot.trending.entry(row)
    readers, expected, lift, p_value = _measure(row, snapshot, now)
    counted = readers
    if entry is not None:
        counted, expected, lift, p_value = (
            entry.readers,
            entry.expected,
            entry.lift,
            entry.p_value,
        )
    is_labelled = entry is not None and entry.labelled
    return TrendAccount(
        entry=entry,
        readers=counted,
        expected=expected,
        lift=lift,
        p_value=p_value,
        uncounted=max(readers - counted, 0.0) if entry is not None else 0.0,
        window_minutes=WINDOWS[0] if entry is None else entry.window_minutes,
        verdict=_verdict(snapshot, row, is_labelled, counted, lift, p_value),
    )


def _measure(row: int, snapshot: LiveSnapshot, now: float) -> tuple[float, float, float, float]:
    """Return readers, expected readers, lift and p of an article, all its readers counted."""
    pool, counters = snapshot.view.pool, snapshot.signals.counters
    rows = np.union1d(np.flatnonzero(pool.live & ~pool.sponsored), [row])
    clicks, site = counters.clicks(rows, now), counters.site_clicks(now)
    started = np.maximum(pool.published_at[rows], counters.began_at)
    found = measure_surprise(
        clicks[:, NOW],
        clicks[:, SLOW],
        now - started,
        (float(site[NOW]), float(site[SLOW])),
        HALF_LIVES_S[NOW],
        RULES,
    )
    at = int(np.searchsorted(rows, row))
    columns = (found.readers, found.expected, found.lift, found.p_value)
    return tuple(float(column[at]) for column in columns)  # type: ignore[return-value]


def _verdict(
    snapshot: LiveSnapshot,
    row: int,
    is_labelled: bool,  # noqa: FBT001
    readers: float,
    lift: float,
    p_value: float,
) -> str:
    if is_labelled:
        return "It trends, and carries the label."
    if snapshot.view.pool.sponsored[row]:
        return "It is sponsored, and what is sponsored never trends."
    if not snapshot.view.pool.live[row]:
        return "It cannot be shown, so it does not trend."
    missing = []
    if readers < RULES.min_readers:
        missing.append(f"at least {RULES.min_readers:g} readers are needed")
    if lift < RULES.lift_on:
        missing.append(f"at least {RULES.lift_on:g} times as many as expected are needed")
    if p_value >= RULES.p_on:
        missing.append(f"p must be under {RULES.p_on:g}")
    if missing:
        return f"It does not trend: {'; '.join(missing)}."
    return (
        "It meets the rule, but does not carry the label: either it has met the rule for less than "
        f"{RULES.settle_s:g} seconds, or {RULES.max_labels} stronger articles carry it, or readers "
        "of few networks were left out."
    )
