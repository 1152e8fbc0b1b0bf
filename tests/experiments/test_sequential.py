"""Confidence sequences: the published formula, its inversion, and looking every day."""

import math

import numpy as np
import pytest

from feed.experiments.statistics.effects import ArmMean, compare_means
from feed.experiments.statistics.sequential import (
    critical_value,
    estimate_group_sequence,
    estimate_sequence,
    mixing_scale,
    running_p_values,
)


def test_the_width_is_that_of_the_paper_in_its_own_notation() -> None:
    n, rho, alpha, sigma = 1_700, mixing_scale(5_000, 0.05), 0.05, 2.3
    inner = n * rho**2 + 1
    published = sigma * math.sqrt(2 * inner / (n**2 * rho**2) * math.log(math.sqrt(inner) / alpha))
    assert critical_value(n, 5_000, alpha) * sigma / math.sqrt(n) == pytest.approx(published)


def test_the_sequence_is_narrowest_relative_to_one_look_near_the_planned_size() -> None:
    sizes = np.geomspace(500, 50_000, 200)
    widths = [critical_value(int(n), 5_000, 0.05) for n in sizes]
    best = sizes[int(np.argmin(widths))]
    assert 4_000 < best < 6_000
    assert min(widths) == pytest.approx(1.55 * 1.96, abs=0.02)


@pytest.mark.parametrize("difference", [0.0, 0.05, 0.2, 0.4])
def test_the_p_value_is_under_alpha_exactly_when_the_interval_excludes_zero(
    difference: float,
) -> None:
    effect = compare_means(
        ArmMean(1_000, 2.0, 0.002), ArmMean(1_000, 2.0 + difference, 0.002), 0.95
    )
    found = estimate_sequence(effect, 2_000)
    assert found.interval is not None
    assert found.p_value is not None
    assert found.interval.covers(0) == (found.p_value > 0.05)
    assert found.relative_interval is not None
    assert found.relative_interval.covers(0) == found.interval.covers(0)


def test_the_p_value_is_alpha_when_zero_is_on_the_edge() -> None:
    error = math.sqrt(0.004)
    edge = critical_value(2_000, 2_000, 0.05) * error
    effect = compare_means(ArmMean(1_000, 2.0, 0.002), ArmMean(1_000, 2.0 + edge, 0.002), 0.95)
    assert estimate_sequence(effect, 2_000).p_value == pytest.approx(0.05, rel=1e-9)


def test_looking_a_hundred_times_errs_in_fewer_than_one_in_twenty_runs() -> None:
    rng = np.random.default_rng(11)
    runs, looks, arriving = 1_000, 100, 50
    gaps = rng.normal(0.0, math.sqrt(2 / arriving), (runs, looks))
    estimates = gaps.cumsum(axis=1) / np.arange(1, looks + 1)
    n = 2 * arriving * np.arange(1, looks + 1)
    scores = np.abs(estimates) / np.sqrt(4 / n)
    critical = np.array([critical_value(int(k), int(n[-1]), 0.05) for k in n])
    assert (scores > critical).any(axis=1).mean() < 0.05
    assert (scores > 1.96).any(axis=1).mean() > 0.3


def test_nothing_is_said_before_the_burn_in_nor_without_an_effect() -> None:
    early = compare_means(ArmMean(99, 2.0, 0.01), ArmMean(500, 9.0, 0.01), 0.95)
    found = estimate_sequence(early, 1_000)
    assert found.interval is None
    assert "100" in found.reason
    empty = compare_means(ArmMean(0, None, 0.0), ArmMean(5, 1.0, 0.1), 0.95)
    assert estimate_sequence(empty, 1_000).reason == empty.reason


def test_the_running_p_value_never_rises_and_waits_for_the_first() -> None:
    assert running_p_values([None, 0.5, 0.8, None, 0.1]) == [None, 0.5, 0.5, 0.5, 0.1]


def test_a_sequence_of_groups_is_wider_than_one_of_readers_and_agrees_with_its_p_value() -> None:
    few = compare_means(ArmMean(20, 50.0, 1.0), ArmMean(20, 54.0, 1.0), 0.95)
    found = estimate_group_sequence(few, (1_000, 1_000), 2_000)
    assert found.critical is not None
    assert found.critical > critical_value(2_000, 2_000, 0.05)
    assert found.interval is not None
    edge = found.critical * math.sqrt(2.0)
    at_edge = compare_means(ArmMean(20, 50.0, 1.0), ArmMean(20, 50.0 + edge, 1.0), 0.95)
    assert estimate_group_sequence(at_edge, (1_000, 1_000), 2_000).p_value == pytest.approx(0.05)
    far = compare_means(ArmMean(20, 50.0, 1e-30), ArmMean(20, 500.0, 1e-30), 0.95)
    assert estimate_group_sequence(far, (1_000, 1_000), 2_000).p_value == 0.0


def test_groups_of_too_few_readers_say_nothing() -> None:
    effect = compare_means(ArmMean(20, 50.0, 1.0), ArmMean(20, 54.0, 1.0), 0.95)
    assert "100" in estimate_group_sequence(effect, (99, 400), 2_000).reason
