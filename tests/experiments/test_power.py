"""Planned sizes against statsmodels and tea-tasting, days in whole weeks."""

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower

from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.power import (
    adjusted_variance,
    minimum_detectable_effect,
    plan_days,
    plan_noninferiority,
    plan_readers,
    power_reached,
)
from feed.experiments.statistics.sequential import critical_value

RNG = np.random.default_rng(4)
BEFORE = RNG.gamma(2.0, 2.0, 5_000)
AFTER = RNG.poisson(BEFORE).astype(float)
BASELINE = Moments.from_arrays(AFTER)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_planned_readers_are_those_of_statsmodels(share: float) -> None:
    plan = plan_readers(BASELINE, 0.05, treatment_share=share, equal_variance=True)
    size = 0.05 * AFTER.mean() / AFTER.std(ddof=1)
    control = NormalIndPower().solve_power(
        size, alpha=0.05, power=0.8, ratio=share / (1 - share), alternative="two-sided"
    )
    assert plan.control == int(np.ceil(control))
    assert plan.treatment == int(np.ceil(control * share / (1 - share)))


def test_planned_readers_are_close_to_tea_tastings_with_its_t_distribution() -> None:
    metric = tt.Mean("reads", rel_effect_size=0.05, power=0.8)
    expected = metric.solve_power(pa.table({"reads": AFTER}), "n_obs")[0].n_obs
    plan = plan_readers(BASELINE, 0.05, equal_variance=True)
    assert plan.control is not None
    assert plan.treatment is not None
    assert plan.control + plan.treatment == pytest.approx(expected, rel=0.002)


def test_a_gain_is_planned_with_the_variance_that_it_brings() -> None:
    plan = plan_readers(BASELINE, 0.2, power=0.9)
    assert plan.control is not None
    assert plan.difference is not None
    variance = AFTER.var(ddof=1) * (1 + 1.2**2) / plan.control
    assert power_reached(np.sqrt(variance), plan.difference) == pytest.approx(0.9, abs=1e-3)
    loss = plan_readers(BASELINE, -0.2, power=0.9)
    assert loss.control == plan_readers(BASELINE, 0.2, power=0.9, equal_variance=True).control


def test_power_and_smallest_effect_are_inverses() -> None:
    difference = minimum_detectable_effect(0.3, power=0.9)
    assert difference is not None
    assert power_reached(0.3, difference) == pytest.approx(0.9, abs=1e-9)
    assert power_reached(0.3, 0.0) == pytest.approx(0.05, abs=1e-9)
    expected = NormalIndPower().power(0.1, 500, 0.05, ratio=1.0)
    assert power_reached(np.sqrt(2 / 500), 0.1) == pytest.approx(expected, abs=1e-9)


def test_a_covariate_saves_readers_and_a_sequence_costs_some() -> None:
    plain = plan_readers(BASELINE, 0.05)
    adjusted = plan_readers(Moments.from_arrays(AFTER, None, BEFORE), 0.05)
    sequence = plan_readers(BASELINE, 0.05, sequential=True)
    assert plain.control
    assert adjusted.control
    assert sequence.control
    saved = 1 - np.corrcoef(AFTER, BEFORE)[0, 1] ** 2
    assert adjusted.control / plain.control == pytest.approx(saved, rel=0.01)
    assert sequence.control / plain.control == pytest.approx(1.91, abs=0.02)


@pytest.mark.parametrize(
    "baseline", [NO_READERS, Moments.from_arrays([3.0]), Moments.from_arrays(np.zeros(50))]
)
def test_no_plan_from_a_baseline_without_mean_and_variance(baseline: Moments) -> None:
    plan = plan_readers(baseline, 0.1)
    assert plan.control is None
    assert plan.reason == "the baseline has no positive mean and variance to plan from"
    assert adjusted_variance(baseline) == 0


def test_days_are_whole_weeks_and_go_on_as_in_the_last_week() -> None:
    seen = [100.0 * day for day in range(1, 15)]
    assert plan_days(150, seen) == 7
    assert plan_days(1_000, seen) == 14
    assert plan_days(2_000, seen) == 21
    assert plan_days(2_101, seen) == 28


def test_readers_that_never_come_give_no_date() -> None:
    assert plan_days(10, []) is None
    assert plan_days(500, [100.0] * 20) is None


def test_without_a_standard_error_nothing_is_reached() -> None:
    assert power_reached(0.0, 1.0) is None
    assert minimum_detectable_effect(0.0) is None


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_several_comparisons_are_planned_at_their_part_of_the_error(share: float) -> None:
    plan = plan_readers(BASELINE, 0.05, treatment_share=share, equal_variance=True, comparisons=4)
    control = NormalIndPower().solve_power(
        0.05 * AFTER.mean() / AFTER.std(ddof=1),
        alpha=0.05 / 4,
        power=0.8,
        ratio=share / (1 - share),
        alternative="two-sided",
    )
    assert plan.control == int(np.ceil(control))


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_readers_of_a_guardrail_with_an_absolute_margin_are_those_of_statsmodels(
    share: float,
) -> None:
    plan = plan_noninferiority(BASELINE, 0.3, relative=False, treatment_share=share)
    control = NormalIndPower().solve_power(
        0.3 / AFTER.std(ddof=1),
        alpha=0.05,
        power=0.8,
        ratio=share / (1 - share),
        alternative="larger",
    )
    assert plan.control == int(np.ceil(control))
    assert plan.treatment == int(np.ceil(control * share / (1 - share)))


def test_a_relative_margin_is_cheaper_where_more_is_better() -> None:
    """Control enters the contrast times 1 - margin, or 1 + margin where less is better."""
    more, less = (
        plan_noninferiority(BASELINE, 0.2, lower_is_better=lower).control or 0
        for lower in (False, True)
    )
    assert less / more == pytest.approx((1 + 1.2**2) / (1 + 0.8**2), rel=0.01)
    total = 2 * NormalIndPower().solve_power(
        0.2 * AFTER.mean() / AFTER.std(ddof=1), alpha=0.05, power=0.8, alternative="larger"
    )
    assert more == pytest.approx(total * (1 + 0.8**2) / 4, rel=0.01)


def test_few_groups_and_a_sequence_cost_readers() -> None:
    plain, grouped, sequence = (
        plan_noninferiority(BASELINE, 0.1, **changes).control or 0
        for changes in ({}, {"freedom": 38.0}, {"sequential": True})
    )
    assert 1.0 < grouped / plain < 1.1
    width = critical_value(1, 1, 0.1)
    assert sequence / plain == pytest.approx(
        ((width + norm.ppf(0.8)) / (norm.ppf(0.95) + norm.ppf(0.8))) ** 2, rel=0.01
    )


def test_a_margin_of_nothing_has_no_plan() -> None:
    assert "can never be ruled out" in plan_noninferiority(BASELINE, 0.0).reason
    assert plan_noninferiority(NO_READERS, 0.1).reason
