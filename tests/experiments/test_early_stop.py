"""An effect found early is shown smaller, and several comparisons are shown together."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from lab.simulation.looks import try_early_stops

from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.early_stop import shrink_early_effect
from feed.experiments.statistics.effects import estimate_effect
from feed.experiments.statistics.multiplicity import adjust_holm
from feed.experiments.statistics.sequential import critical_value, estimate_sequence

LOOKS = [day / 14 for day in range(7, 15)]
CRITICAL = [critical_value(round(10_000 * look), 10_000, 0.05) for look in LOOKS]


def test_the_chance_of_stopping_is_that_of_simulated_paths() -> None:
    """One look has a closed form: the conditional likelihood is that of a truncated normal."""
    score, bound = 3.2, 3.0
    drifts = np.linspace(0.0, score + 8.0, 4001)
    upper = np.array([0.5 * math.erfc((bound - d) / math.sqrt(2.0)) for d in drifts])
    weights = np.exp(-((score - drifts) ** 2) / 2.0) / upper
    expected = float(weights @ drifts / weights.sum()) / score
    assert shrink_early_effect(score, 1.0, [1.0], [bound]) == pytest.approx(expected, rel=1e-3)


def test_a_gain_that_was_barely_found_shrinks_more_than_a_clear_one() -> None:
    factors = [shrink_early_effect(score, 0.5, LOOKS, CRITICAL) for score in (3.2, 4.0, 6.0, 9.0)]
    assert all(before < after for before, after in itertools.pairwise(factors))
    assert factors[0] < 0.75
    assert factors[-1] > 0.99


def test_the_corrected_gain_is_less_often_over_the_truth() -> None:
    tallies = try_early_stops(seed=4, runs=120, share=1.0)
    naive = tallies["as it looks: over the truth"].rate
    corrected = tallies["corrected: over the truth"].rate
    assert naive is not None
    assert corrected is not None
    assert naive > 0.6
    assert corrected < 0.55


@pytest.mark.parametrize("seed", range(6))
def test_an_interval_for_all_that_leaves_out_zero_has_a_corrected_p_under_alpha(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effects = [
        estimate_effect(*(Moments.from_arrays(rng.poisson(m, 400)) for m in (3.0, 3.0 + lift)))
        for lift in (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.6)
    ]
    found = [estimate_sequence(effect, 800, comparisons=8) for effect in effects]
    corrected = adjust_holm([estimate.p_value for estimate in found])
    for estimate, effect, p in zip(found, effects, corrected, strict=True):
        assert estimate.interval is not None
        assert p is not None
        assert estimate.p_value == estimate_sequence(effect, 800).p_value
        excludes = not estimate.interval.covers(0.0)
        assert excludes == ((estimate.p_value or 0.0) < 0.05 / 8)
        assert not excludes or p < 0.05
