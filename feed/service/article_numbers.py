"""What the counters say of articles, and why one trends or not, for the desk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from feed.arrays import Rows
from feed.features.surprise import TrendingRules
from feed.features.trend_tests import TrendTest, TrendTests
from feed.service.snapshot import LiveSnapshot

NOW, HOURS_3, DAY = 0, 1, 3
"""Columns of the counters that the desk shows: half-lives of 30 minutes, 2 hours and 24 hours."""
RULES = TrendingRules()
LEAST_CHANCE = 1e-9
"""Smaller probabilities say nothing more to anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleNumbers:
    """What readers did with one article.

    Attributes:
        readers: distinct readers, each of whom counts half after 30 minutes, 2 hours and a day.
        all_readers: distinct readers since the beginning.
        shown: times it came into readers' view, each half after a day.
        clicked: clicks that answered such a showing, weighted alike.
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
    """Why an article trends or not: the numbers of the worker's test, and what they come to.

    Attributes:
        verdict: the answer in a sentence.
        judged_at: when the worker judged, epoch seconds; None if it has not yet.
        window_minutes: length of the window that the test looks at.
        test: the numbers; None if the article had next to no readers, so that none was made.
    """

    verdict: str
    judged_at: float | None = None
    window_minutes: int = 0
    test: TrendTest | None = None

    @property
    def chance(self) -> str:
        """How probable so many readers are without a trend, in words."""
        return chance_words(self.test.p_value) if self.test else ""


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


def account_for_trend(row: int, snapshot: LiveSnapshot, tests: TrendTests | None) -> TrendAccount:
    """Return why an article trends or not, as the worker judged it.

    Args:
        row: of the article.
        snapshot: the articles, and who carries the label.
        tests: of the last judgement; None before the first.
    """
    pool = snapshot.view.pool
    test = tests.of(pool.ids.ids[row]) if tests else None
    entry = snapshot.trending.entry(row)
    if entry is not None and entry.labelled:
        verdict = (
            f"Its story trends: the readers of its {1 + len(entry.others)} articles count together."
            if entry.others
            else "It trends, and carries the label."
        )
    elif pool.sponsored[row]:
        verdict = "It is sponsored, and what is sponsored never trends."
    elif not pool.live[row]:
        verdict = "It cannot be shown, so it does not trend."
    elif tests is None:
        verdict = "The worker has not judged yet what trends."
    else:
        labels = sum(one.labelled for one in snapshot.trending.entries)
        verdict = _verdict(test, tests.at, labels)
    if tests is None:
        return TrendAccount(verdict=verdict)
    return TrendAccount(
        verdict=verdict, judged_at=tests.at, window_minutes=tests.window_minutes, test=test
    )


def _verdict(test: TrendTest | None, at: float, labels: int) -> str:
    """Return the verdict on an article without the label, which so many others carry."""
    needed = f"at least {RULES.min_readers:g} readers are needed"
    if test is None:
        return f"It does not trend: {needed}, and it had next to none."
    if test.is_met:
        if test.waits_since is not None and at - test.waits_since < RULES.settle_s:
            return (
                f"It meets the rule, and gets the label if it still does after {RULES.settle_s:g}"
                " seconds: its readers come from networks that nobody vouches for."
            )
        if labels < RULES.max_labels:
            return (
                "It met the rule at this test. Look again in a few seconds: its label is changing."
            )
        return (
            f"It meets the rule, but {RULES.max_labels} stronger articles carry the label, and more"
            " do not get it."
        )
    missing = []
    if test.readers < RULES.min_readers:
        missing.append(needed)
    if test.lift < RULES.lift_on:
        missing.append(f"at least {RULES.lift_on:g} times as many as expected are needed")
    if test.p_value >= RULES.p_on:
        missing.append(f"the chance of so many must be under 1 in {1 / RULES.p_on:,.0f}")
    return f"It does not trend: {'; '.join(missing)}."


def chance_words(p_value: float) -> str:
    """Return a small probability in words, such as `1 in 4,000`."""
    if p_value > 2 / 3:
        return "as good as certain"
    if p_value < LEAST_CHANCE:
        return f"less than 1 in {1 / LEAST_CHANCE:,.0f}"
    times = 1 / p_value
    unit = 10 ** max(math.floor(math.log10(times)) - 1, 0)
    return f"about 1 in {round(times / unit) * unit:,}"
