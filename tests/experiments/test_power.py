"""Planned sizes against statsmodels and tea-tasting, days in whole weeks."""

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from statsmodels.stats.power import NormalIndPower

from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.power import (
    adjusted_variance,
    minimum_detectable_effect,
    plan_days,
    plan_readers,
    power_reached,
)

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
