"""Doubly robust estimates with smaller weights, on bandits whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from feed.experiments.off_policy.estimators import SHRUNK, LoggedBandit, evaluate_policy
from feed.experiments.off_policy.shrinkage import (
    choose_by_slope,
    clustered_error,
    shrink_by_slope,
    shrink_optimistically,
    switch_off,
)

ACTIONS = 20
RATES = np.linspace(0.05, 0.4, ACTIONS)
ROWS = 1_500
RUNS = 60


def policy(sharpness: float) -> np.ndarray:
    preference = np.exp(sharpness * RATES)
    found: np.ndarray = preference / preference.sum()
    return found


def draw(rng: np.random.Generator, logging: np.ndarray, target: np.ndarray) -> LoggedBandit:
    """A log with a reward model that is a tenth too low everywhere."""
    actions = rng.choice(ACTIONS, ROWS, p=logging)
    model = 0.9 * RATES
    return LoggedBandit(
        rewards=(rng.random(ROWS) < RATES[actions]).astype(float),
        propensities=logging[actions],
        targets=target[actions],
        readers=np.arange(ROWS),
        predicted=model[actions],
        predicted_target=np.full(ROWS, float(target @ model)),
    )


def errors(logging: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    truth = float(target @ RATES)
    found: dict[str, list[float]] = {}
    for _ in range(RUNS):
        log = draw(rng, logging, target)
        report = evaluate_policy(log, rng, most_error=math.inf)
        for estimate in report.estimates:
            found.setdefault(estimate.name, []).append((estimate.value or 0.0) - truth)
    return {name: np.array(values) for name, values in found.items()}


def test_with_heavy_weights_the_squared_error_is_smaller_than_that_of_ips_and_dr() -> None:
    """The logging policy prefers what the other one avoids: weights reach into the thousands."""
    found = {
        name: float((error**2).mean())
        for name, error in errors(policy(-12.0), policy(12.0)).items()
    }
    for name in SHRUNK:
        assert found[name] < 0.5 * found["ips"]
        assert found[name] < 0.5 * found["doubly_robust"]


def test_with_light_weights_the_bias_is_small() -> None:
    """The model alone is a tenth too low; SLOPE leaves most of that bias out."""
    found = errors(policy(0.0), policy(3.0))
    chance = found["doubly_robust"].std() / math.sqrt(RUNS)
    assert abs(found["doubly_robust"].mean()) < 4 * chance
    for name in SHRUNK:
        assert abs(found[name].mean()) < abs(found["direct"].mean())
        assert found[name].std() <= found["doubly_robust"].std() * 1.2


def test_an_infinite_threshold_is_doubly_robust_itself() -> None:
    weights = np.array([0.0, 0.5, 3.0, 200.0])
    for shrink in SHRUNK.values():
        np.testing.assert_array_equal(shrink(weights, math.inf), weights)


def test_shrinkage_and_switch_worked_by_hand() -> None:
    weights = np.array([0.0, 1.0, 4.0, 12.0])
    np.testing.assert_allclose(
        shrink_optimistically(weights, 4.0), [0.0, 16 / 17, 2.0, 12 * 16 / 160]
    )
    np.testing.assert_allclose(switch_off(weights, 4.0), [0.0, 1.0, 4.0, 0.0])


@pytest.mark.parametrize(
    ("values", "widths", "chosen"),
    [
        ([1.0], [0.5], 0),
        ([1.0, 1.1, 1.2], [0.5, 0.3, 0.1], 2),
        ([1.0, 1.1, 3.0], [0.5, 0.3, 0.1], 1),  # the last one is biased beyond chance
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], 0),
        ([1.0, 1.8247], [0.5, 0.1], 1),  # .1 + (sqrt(6) - 1) * .5 = .82474: just near enough
        ([1.0, 1.8248], [0.5, 0.1], 0),
    ],
)
def test_slope_keeps_the_last_candidate_that_agrees_with_all_before(
    values: list[float], widths: list[float], chosen: int
) -> None:
    assert choose_by_slope(values, widths) == chosen


def test_a_model_that_is_right_needs_no_weights_and_a_wrong_one_all_of_them() -> None:
    rng = np.random.default_rng(2)
    readers = np.arange(20_000)
    weights = rng.exponential(1.0, readers.size)
    noise = rng.normal(0.0, 0.1, readers.size)
    right = shrink_by_slope(switch_off, weights, noise, np.full(readers.size, 0.5), readers)
    assert right.threshold < 0.5, "of weights that average 1"
    wrong = shrink_by_slope(switch_off, weights, noise + 0.3, np.full(readers.size, 0.2), readers)
    assert wrong.threshold > 4.0
    assert wrong.rows.mean() == pytest.approx(0.5, abs=0.02)


def test_the_error_of_a_mean_counts_readers_not_rows() -> None:
    values = np.repeat([0.0, 1.0, 1.0, 0.0], 25)
    rows = clustered_error(values, np.arange(100))
    assert clustered_error(values, np.repeat(np.arange(4), 25)) == pytest.approx(5 * rows)
    assert clustered_error(np.zeros(0), np.zeros(0, dtype=np.int64)) == 0
