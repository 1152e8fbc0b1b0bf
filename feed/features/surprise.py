"""How unlikely a story's present number of readers is: the test behind the trending label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from feed.arrays import Flags, Floats, Rows
from feed.config import HOUR_S
from feed.features.counters import HALF_LIVES_S

SLOW = 2
"""Column of the counters that holds the slow clicks (half-life 6 h)."""
AGE_EDGES_S = np.array([1, 3, 6, 12, 24, 48], dtype=np.float64) * HOUR_S
"""Articles between two of these ages share one prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendingRules:
    """When the label goes on and off; `scripts/lab/run bench/trending` measures the effect.

    Attributes:
        p_on: tail probability under which the label goes on.
        p_off: tail probability above which it goes off.
        lift_on: smallest ratio of readers to expected readers at which the label goes on.
        lift_off: ratio under which it goes off.
        min_readers: smallest number of distinct readers in about one window at which the label
            goes on; it stays on at half of that.
        max_labels: largest number of labels at once; the strongest are kept, and those already
            on are preferred.
        max_entries: largest number of articles in a state, labelled or rising.
        prior_readers: smallest number of readers that a new article is expected to have in one
            window.
        dispersion: smallest squared relative uncertainty of an article's usual rate, however long
            its history (clicks come in clusters, so a Poisson distribution is too narrow).
        settle_s: seconds for which an article whose label depends on readers from untrusted
            callers (`NetworkBound`) must satisfy the rule before its label goes on: the first
            readers of a flood, one from each network, look like a rush until the next ones follow.
        season_limit: the site's rhythm scales expectations by at most this factor, up or down.
    """

    p_on: float = 1e-5
    p_off: float = 1e-2
    lift_on: float = 2.0
    lift_off: float = 1.3
    min_readers: float = 10.0
    max_labels: int = 10
    max_entries: int = 200
    prior_readers: float = 1.0
    dispersion: float = 0.03
    settle_s: float = 30.0
    season_limit: float = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Surprise:
    """How unlikely the present rates of some stories are; arrays of shape [s].

    `readers` (decayed sum of distinct readers), `expected`, `lift`, `p_value`, `score`.
    """

    readers: Floats
    expected: Floats
    lift: Floats
    p_value: Floats
    score: Floats


def measure_surprise(
    fast: Floats,
    slow: Floats,
    age_s: Floats,
    site: tuple[float, float],
    half_life_s: float,
    rules: TrendingRules,
    slow_half_life_s: float = HALF_LIVES_S[SLOW],
    stories: Rows | None = None,
) -> Surprise:
    """Compare each story's recent readers with what its past, the site and its age predict.

    Three steps. The usual rate of an article is Gamma distributed, from its own past and from
    articles of like age (`_usual_rate`). The rate times the seconds that the recent readers stand
    for, scaled by how busy the site is now, gives the expected readers. Were the rate known, the
    recent readers would be Poisson distributed; with a Gamma rate they are negative binomial:
    `P(N >= n) = I_q(n, a)` with the Gamma's shape a, `q = seconds / (a / rate + seconds)` and I
    the regularised incomplete beta function.

    The recent readers are a decayed sum and no count. A Poisson stream of rate r gives a decayed
    sum of mean `r * tau * (1 - x)` and variance `r * tau * (1 - x^2) / 2`, where
    `tau = half_life / ln 2` and `x = 2^(-age/half_life)` (Campbell's theorem). So `2 / (1 + x)`
    times the sum has the mean and variance of a Poisson count.

    The readers of a story's articles add up, and so does what each of them leads to expect. So a
    story does not trend because it has many articles. What makes the articles of a story popular
    is common to them, so the deviations of their usual rates add up, too, and not the variances.

    Args:
        fast: decayed distinct readers, half-life `half_life_s`, shape [k]. What is below 0 counts
            in the sum of a story, and as 0 for an article by itself.
        slow: the same with `slow_half_life_s`, shape [k].
        age_s: seconds since the article could first be read, shape [k].
        site: the site's fast and slow sums.
        half_life_s: half-life of `fast`, seconds.
        rules: thresholds and priors.
        slow_half_life_s: half-life of `slow`, seconds.
        stories: number of the story of each article, from 0 without a gap, int64 [k]; None if each
            article is a story of its own, in their order.

    Returns:
        One value per story; `score` grows with evidence, lift and readers, in [0, 1]. Where the
        lift is 1 or less nothing is tested: the p-value is 1.
    """
    tau, tau_slow = half_life_s / np.log(2), slow_half_life_s / np.log(2)
    age = np.maximum(age_s, 1.0)
    x, x_slow = np.exp2(-age / half_life_s), np.exp2(-age / slow_half_life_s)
    recent_s = tau * (1 - x)
    past_s = np.maximum(tau_slow * (1 - x_slow) - recent_s, 0.0)
    if stories is None:
        stories = np.arange(len(fast))
    came, came_slow = _sum_by(stories, fast), _sum_by(stories, slow)
    fast, slow = np.maximum(fast, 0.0), np.maximum(slow, 0.0)
    prior = _prior_rate(fast, recent_s, age, rules.prior_readers / tau, stories)
    shape, rate = _usual_rate(slow - fast, past_s, prior, rules.dispersion)
    season = _season(came, came_slow, site, tau, tau_slow, rules.season_limit)
    seconds = recent_s * season[stories]
    usual = _add_up(_Usual(shape, rate, seconds, 2 / (1 + x)), stories)
    expected = usual.rate * usual.seconds
    lift = (came + 1) / (expected + 1)
    p_value = np.ones(len(came))
    high = lift > 1
    p_value[high] = _tail(came, usual, high)
    evidence = np.minimum(-np.log10(np.maximum(p_value, 1e-12)) / 12, 1.0)
    score = evidence * np.maximum(1 - 1 / lift, 0) * np.minimum(came / rules.min_readers, 1.0)
    return Surprise(came, expected, lift, p_value, score)


def _usual_rate(
    past: Floats, past_s: Floats, prior: Floats, dispersion: float
) -> tuple[Floats, Floats]:
    """Return the shape and the mean (readers a second) of each article's usual rate, a Gamma.

    The past is the slow sum less the fast one, which leaves the present out, and stands for
    `past_s` seconds. The prior has shape 1 and mean `prior`. The shape never exceeds
    `1 / dispersion`, however much past there is.
    """
    shape = 1 + 2 * np.maximum(past, 0.0)
    mean = shape / (1 / prior + 2 * past_s)
    return np.minimum(shape, 1 / dispersion), mean


@dataclass(frozen=True, slots=True, eq=False)
class _Usual:
    """What is usual, one value per article or story.

    `shape` and mean `rate` (readers a second) of the Gamma that the usual rate has; `seconds` that
    the recent readers stand for; `to_count` is what makes their decayed sum like a count.
    """

    shape: Floats
    rate: Floats
    seconds: Floats
    to_count: Floats


def _add_up(usual: _Usual, stories: Rows) -> _Usual:
    """Return what is usual for stories from what is usual for their articles."""
    counts = np.bincount(stories)
    if len(counts) == len(stories):
        order = np.argsort(stories)
        values = (usual.shape, usual.rate, usual.seconds, usual.to_count)
        return _Usual(*(value[order] for value in values))
    first = np.empty(len(counts), np.int64)
    first[stories] = np.arange(len(stories))
    alone = counts == 1
    expected = usual.rate * usual.seconds
    mean = _sum_by(stories, expected)
    deviation = _sum_by(stories, expected / np.sqrt(usual.shape))
    variance_of_sum = _sum_by(stories, expected / usual.to_count)
    return _Usual(
        shape=np.where(alone, usual.shape[first], (mean / deviation) ** 2),
        rate=np.where(alone, usual.rate[first], mean),
        seconds=np.where(alone, usual.seconds[first], 1.0),
        to_count=np.where(alone, usual.to_count[first], mean / variance_of_sum),
    )


def _tail(readers: Floats, usual: _Usual, of: Flags) -> Floats:
    """Return P(at least that many readers) of the stories `of`."""
    seconds = usual.to_count * usual.seconds
    q = seconds / (usual.shape / usual.rate + seconds)
    count = np.maximum(usual.to_count * readers, 1e-9)
    tail = special.betainc(count[of], usual.shape[of], q[of])
    return np.asarray(tail, np.float64)


def _sum_by(stories: Rows, values: Floats) -> Floats:
    """Return sums of articles' values by story, at least 0, f64 [s]."""
    sums: Floats = np.maximum(np.bincount(stories, values), 0.0)
    return sums


def _prior_rate(fast: Floats, span: Floats, age: Floats, floor: float, stories: Rows) -> Floats:
    """Return the readers a second of *other* stories' articles of like age.

    A burst is not its own prior, and neither is that of another article of the story.
    """
    bucket = np.searchsorted(AGE_EDGES_S, age)
    readers = np.bincount(bucket, fast, minlength=AGE_EDGES_S.size + 1)
    spans = np.bincount(bucket, span, minlength=AGE_EDGES_S.size + 1)
    own = stories * (AGE_EDGES_S.size + 1) + bucket
    others = np.maximum(spans[bucket] - np.bincount(own, span)[own], 0.0)
    rest = np.maximum(readers[bucket] - np.bincount(own, fast)[own], 0.0)
    rate: Floats = np.maximum(rest / np.maximum(others, 1.0), floor)
    return rate


def _season(
    fast: Floats,
    slow: Floats,
    site: tuple[float, float],
    tau: float,
    tau_slow: float,
    limit: float,
) -> Floats:
    """Return how busy the rest of the site is now, as a multiple of its past few hours."""
    now_rate = (np.maximum(site[0] - fast, 0.0) + 1) / tau
    past = np.maximum(site[1] - site[0] - (slow - fast), 0.0)
    past_rate = (past + (tau_slow - tau) / tau) / (tau_slow - tau)
    return np.clip(now_rate / past_rate, 1 / limit, limit)
