"""How surprising an article's present readers are: the arithmetic behind the trending label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from feed.arrays import Floats
from feed.config import HOUR_S
from feed.features.counters import HALF_LIVES_S

SLOW = 2
"""Column of the counters that holds the slow clicks (half-life 6 h)."""
AGE_EDGES_S = np.array([1, 3, 6, 12, 24, 48], dtype=np.float64) * HOUR_S
"""Articles between two of these ages share one prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendingRules:
    """When the label goes on and off. `scripts/lab/run bench/trending` measures what they lead to.

    Attributes:
        p_on: tail probability under which the label goes on.
        p_off: tail probability above which it goes off.
        lift_on: least ratio of readers to expected readers to go on.
        lift_off: ratio under which it goes off.
        min_readers: least distinct readers in about one window to go on; half of it to stay on.
        max_labels: labels on at once, strongest first, those already on favoured.
        max_entries: articles listed in a state, labelled or rising.
        prior_readers: least readers in one window that a new article is expected to have.
        dispersion: squared relative spread of an article's usual rate that is never believed
            away, however long its history (clicks come in clusters; Poisson is too narrow).
        settle_s: seconds for which readers who came by an open door (`NetworkBound`) must keep an
            article above the rule before its label goes on: the first readers of a flood, one of
            each network, look like a rush until the next ones follow.
        season_limit: the site's rhythm scales expectations by at most this factor, either way.
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
    """How surprising the present rate of some articles is; arrays of shape [k].

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
) -> Surprise:
    """Compare each article's recent readers with what its past, the site and its age foretell.

    With `tau = half_life / ln 2`, a Poisson stream of rate r gives a decayed sum of mean
    `r * tau * (1 - x)` and variance `r * tau * (1 - x^2) / 2`, where `x = 2^(-age/half_life)`
    (Campbell's theorem); so `2 / (1 + x)` times the sum has the mean and variance of a Poisson
    count. `slow - fast` weights the past by a kernel that leaves the present out: it gives the
    usual rate, with a Gamma prior from articles of like age. Past and prior make the rate
    Gamma(a, b), and the recent count negative binomial: `P(N >= n) = I_q(n, a)` with
    `q = exposure / (b + exposure)` and I the regularised incomplete beta function.

    Args:
        fast: decayed distinct readers, half-life `half_life_s`, shape [k].
        slow: the same with `slow_half_life_s`, shape [k].
        age_s: seconds since the article could first be read, shape [k].
        site: the site's fast and slow sums.
        half_life_s: half-life of `fast`, seconds.
        rules: thresholds and priors.
        slow_half_life_s: half-life of `slow`, seconds.

    Returns:
        One value per article; `score` grows with evidence, lift and readers, in [0, 1]. Where the
        lift is 1 or less nothing is tested: the p-value is 1.
    """
    tau, tau_slow = half_life_s / np.log(2), slow_half_life_s / np.log(2)
    age = np.maximum(age_s, 1.0)
    left = np.exp2(-age / half_life_s)
    span = tau * (1 - left)
    past_span = np.maximum(tau_slow * (1 - np.exp2(-age / slow_half_life_s)) - span, 0.0)
    past = np.maximum(slow - fast, 0.0)
    prior = _prior_rate(fast, span, age, rules.prior_readers / tau)
    shape, per_second = 1 + 2 * past, 1 / prior + 2 * past_span
    rate = shape / per_second
    shape = np.minimum(shape, 1 / rules.dispersion)
    span = span * _season(fast, slow, site, tau, tau_slow, rules.season_limit)
    to_count = 2 / (1 + left)
    exposure = to_count * span
    expected = rate * span
    lift = (fast + 1) / (expected + 1)
    count, chance = np.maximum(to_count * fast, 1e-9), exposure / (shape / rate + exposure)
    more = lift > 1
    p_value = np.ones(len(fast))
    p_value[more] = special.betainc(count[more], shape[more], chance[more])
    evidence = np.minimum(-np.log10(np.maximum(p_value, 1e-12)) / 12, 1.0)
    score = evidence * np.maximum(1 - 1 / lift, 0) * np.minimum(fast / rules.min_readers, 1.0)
    return Surprise(fast, expected, lift, p_value, score)


def _prior_rate(fast: Floats, span: Floats, age: Floats, floor: float) -> Floats:
    """Readers per second of the *other* articles of like age: a burst is not its own prior."""
    bucket = np.searchsorted(AGE_EDGES_S, age)
    readers = np.bincount(bucket, fast, minlength=AGE_EDGES_S.size + 1)
    spans = np.bincount(bucket, span, minlength=AGE_EDGES_S.size + 1)
    others = np.maximum(spans[bucket] - span, 0.0)
    rate = np.maximum(readers[bucket] - fast, 0.0) / np.maximum(others, 1.0)
    return np.maximum(rate, floor)


def _season(
    fast: Floats,
    slow: Floats,
    site: tuple[float, float],
    tau: float,
    tau_slow: float,
    limit: float,
) -> Floats:
    """Return how busy the rest of the site is now against its past few hours."""
    now_rate = (np.maximum(site[0] - fast, 0.0) + 1) / tau
    past = np.maximum(site[1] - site[0] - (slow - fast), 0.0)
    past_rate = (past + (tau_slow - tau) / tau) / (tau_slow - tau)
    return np.clip(now_rate / past_rate, 1 / limit, limit)
