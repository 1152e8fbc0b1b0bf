"""Effects against tea-tasting, scipy and the definition of Fieller's interval."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats
import tea_tasting as tt
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from tea_tasting.aggr import Aggregates

from feed.experiments.statistics.aggregates import NO_READERS, VARIABLES, Moments
from feed.experiments.statistics.effects import (
    ArmMean,
    Effect,
    compare_means,
    estimate_adjusted_effect,
    estimate_effect,
    welch_freedom,
)
from feed.experiments.statistics.sequential import estimate_sequence


def readers_of(rng: np.random.Generator, readers: int, lift: float) -> np.ndarray:
    taste = rng.gamma(4.0, 0.05, readers)
    views, before = rng.poisson(12, readers) + 1, rng.poisson(8, readers) + 1
    clicks = rng.binomial(views, np.minimum(taste * (1 + lift), 1))
    return np.stack([clicks, views, rng.binomial(before, np.minimum(taste, 1)), before]).astype(
        float
    )


def aggregates_of(table: np.ndarray) -> Aggregates:
    covariances = np.cov(table)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    return Aggregates(
        count_=table.shape[1],
        mean_=dict(zip(VARIABLES, table.mean(axis=1).tolist(), strict=True)),
        var_=dict(zip(VARIABLES, np.diag(covariances).tolist(), strict=True)),
        cov_={(VARIABLES[i], VARIABLES[j]): float(covariances[i, j]) for i, j in pairs},
    )


@pytest.fixture(scope="module")
def arms() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return readers_of(rng, 900, 0.0), readers_of(rng, 700, 0.08)


def assert_same(found: Effect, expected: NamedTuple) -> None:
    assert found.interval is not None
    pairs = [
        (found.control.mean, expected.control),
        (found.treatment.mean, expected.treatment),
        (found.difference, expected.effect_size),
        (found.interval.low, expected.effect_size_ci_lower),
        (found.interval.high, expected.effect_size_ci_upper),
        (found.relative, expected.rel_effect_size),
        (found.p_value, expected.pvalue),
    ]
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-12)


def test_difference_of_means_is_welch_as_in_scipy(arms: tuple[np.ndarray, np.ndarray]) -> None:
    control, treatment = arms[0][0], arms[1][0]
    found = estimate_effect(Moments.from_arrays(control), Moments.from_arrays(treatment))
    expected = scipy.stats.ttest_ind(treatment, control, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)
    assert found.degrees_of_freedom == pytest.approx(expected.df, rel=1e-8)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-8)


def test_ratio_of_means_agrees_with_tea_tasting(arms: tuple[np.ndarray, np.ndarray]) -> None:
    found = estimate_effect(*(Moments.from_arrays(*arm) for arm in arms))
    metric = tt.RatioOfMeans("numerator", "denominator")
    assert_same(found, metric.analyze_aggregates(*(aggregates_of(arm) for arm in arms)))


def test_adjusted_mean_agrees_with_tea_tasting(arms: tuple[np.ndarray, np.ndarray]) -> None:
    found = estimate_adjusted_effect(
        *(Moments.from_arrays(arm[0], None, arm[2]) for arm in arms)
    ).effect
    metric = tt.Mean("numerator", "covariate")
    assert_same(found, metric.analyze_aggregates(*(aggregates_of(arm) for arm in arms)))


def test_adjusted_ratio_agrees_with_tea_tasting(arms: tuple[np.ndarray, np.ndarray]) -> None:
    found = estimate_adjusted_effect(*(Moments.from_arrays(*arm) for arm in arms))
    metric = tt.RatioOfMeans(*VARIABLES)
    assert_same(found.effect, metric.analyze_aggregates(*(aggregates_of(arm) for arm in arms)))
    assert found.variance_reduction is not None
    assert 0 < found.variance_reduction < 1


def test_variance_saved_is_the_squared_correlation() -> None:
    rng = np.random.default_rng(6)
    before = rng.normal(size=40_000)
    after = 0.8 * before + 0.6 * rng.normal(size=40_000)
    halves = (slice(0, 20_000), slice(20_000, None))
    moments = [Moments.from_arrays(after[h], None, before[h]) for h in halves]
    found = estimate_adjusted_effect(*moments)
    assert found.variance_reduction == pytest.approx(0.64, abs=0.01)
    assert found.slope == pytest.approx(0.8, abs=0.01)


def test_the_relative_interval_holds_exactly_the_ratios_that_are_not_rejected() -> None:
    control, treatment = ArmMean(80, 2.0, 0.04), ArmMean(90, 2.6, 0.05)
    found = compare_means(control, treatment, 0.95)
    critical = scipy.stats.t.ppf(0.975, welch_freedom(control, treatment))

    def beyond(ratio: float) -> float:
        gap = 2.6 - ratio * 2.0
        return gap**2 - critical**2 * (0.05 + ratio**2 * 0.04)

    expected = (brentq(beyond, 0.1, 1.3) - 1, brentq(beyond, 1.3, 5.0) - 1)
    assert found.relative_interval == pytest.approx(expected, rel=1e-8)


@given(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(1e-4, 0.01), st.floats(1e-4, 0.01))
def test_absolute_and_relative_intervals_agree_about_zero(
    below: float, above: float, var_below: float, var_above: float
) -> None:
    found = compare_means(ArmMean(50, below, var_below), ArmMean(60, above, var_above), 0.95)
    assert found.interval is not None
    assert found.relative_interval is not None
    assert found.p_value is not None
    assert found.interval.covers(0) == found.relative_interval.covers(0)
    assert found.interval.covers(0) == (found.p_value >= 0.05)


def test_no_relative_interval_when_control_is_not_clear_of_zero() -> None:
    found = compare_means(ArmMean(50, 0.1, 0.04), ArmMean(50, 0.5, 0.04), 0.95)
    assert found.interval is not None
    assert found.relative_interval is None


BROKEN = {
    "no reader": (NO_READERS, NO_READERS),
    "an empty treatment": (Moments.from_arrays([1.0, 2.0]), NO_READERS),
    "one reader each": (Moments.from_arrays([1.0]), Moments.from_arrays([3.0])),
    "all zeros": (Moments.from_arrays(np.zeros(9)), Moments.from_arrays(np.zeros(9))),
    "constants": (Moments.from_arrays(np.full(9, 0.1)), Moments.from_arrays(np.full(7, 0.3))),
    "zero denominators": (
        Moments.from_arrays(np.zeros(9), np.zeros(9)),
        Moments.from_arrays(np.ones(9), np.ones(9)),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_input_that_cannot_be_estimated_says_so(case: str) -> None:
    control, treatment = BROKEN[case]
    adjusted = estimate_adjusted_effect(control, treatment)
    for found in (estimate_effect(control, treatment), adjusted.effect):
        assert found.interval is None
        assert found.p_value is None
        assert found.reason
    assert adjusted.variance_reduction is None


@given(
    st.lists(st.floats(0, 1e6), max_size=6),
    st.lists(st.floats(0, 1e6), max_size=6),
)
def test_no_number_is_ever_nan_or_infinite(control: list[float], treatment: list[float]) -> None:
    moments = [Moments.from_arrays(arm, None, arm[::-1]) for arm in (control, treatment)]
    for found in (estimate_effect(*moments), estimate_adjusted_effect(*moments).effect):
        for value in flatten(dataclasses.astuple(found)):
            assert math.isfinite(value)


def flatten(value: object) -> list[float]:
    if isinstance(value, tuple):
        return [number for part in value for number in flatten(part)]
    return [value] if isinstance(value, int | float) else []


def test_one_reader_with_a_million_clicks_makes_the_estimate_unsure_not_wrong() -> None:
    rng = np.random.default_rng(7)
    control, treatment = rng.poisson(3.0, 500), rng.poisson(3.0, 500)
    treatment[0] = 1_000_000
    found = estimate_effect(Moments.from_arrays(control), Moments.from_arrays(treatment))
    assert found.p_value is not None
    assert found.p_value > 0.05


def test_without_a_varying_covariate_nothing_is_adjusted() -> None:
    moments = [Moments.from_arrays([1.0, 2, 3, 5]), Moments.from_arrays([2.0, 2, 4, 7])]
    found = estimate_adjusted_effect(*moments)
    assert found.effect == estimate_effect(*moments)
    assert found.slope == 0
    assert found.variance_reduction == 0


def test_no_interval_goes_below_the_least_effect_that_can_be() -> None:
    control, treatment = ArmMean(200, 1.0, 0.04), ArmMean(200, 0.1, 0.03)
    free = compare_means(control, treatment, 0.95)
    found = compare_means(control, treatment, 0.95, least=-1.0)
    assert free.relative_interval is not None
    assert free.relative_interval.low < -1.0
    assert found.relative_interval == (-1.0, free.relative_interval.high)
    assert found.interval == free.interval
    sequence = estimate_sequence(found, 400)
    assert sequence.relative_interval is not None
    assert sequence.relative_interval.low == -1.0
