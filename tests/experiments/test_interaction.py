"""Segments: heterogeneity as in statsmodels, Simpson's reversal, a shifted mix."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.meta_analysis import combine_effects

from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.effects import ArmMean, Effect, compare_means, estimate_effect
from feed.experiments.statistics.interaction import check_heterogeneity, check_simpson


def effect_of(n_control: int, control: float, n_treatment: int, treatment: float) -> Effect:
    return compare_means(
        ArmMean(n_control, control, 1.0 / n_control),
        ArmMean(n_treatment, treatment, 1.0 / n_treatment),
        0.95,
    )


def test_heterogeneity_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    effects = [
        estimate_effect(
            Moments.from_arrays(rng.normal(5, 1, 80)),
            Moments.from_arrays(rng.normal(5 + lift, 1, 90)),
        )
        for lift in (0.0, 0.1, 0.5, 0.9)
    ]
    found = check_heterogeneity(effects)
    expected = combine_effects(
        np.array([effect.difference for effect in effects]),
        np.array([effect.standard_error**2 for effect in effects]),
    )
    assert found.q == pytest.approx(expected.q, rel=1e-8)
    assert found.i_squared == pytest.approx(expected.i2, rel=1e-8)
    assert found.common == pytest.approx(expected.mean_effect_fe, rel=1e-8)
    assert found.p_value == pytest.approx(scipy.stats.chi2.sf(expected.q, 3), rel=1e-8)
    assert found.p_value < 0.001


def test_equal_effects_are_not_heterogeneous() -> None:
    found = check_heterogeneity([effect_of(100, 1.0, 100, 1.2)] * 3)
    assert found.p_value == pytest.approx(1.0)
    assert found.i_squared == 0


def test_fewer_than_two_segments_give_no_estimate() -> None:
    empty = estimate_effect(NO_READERS, NO_READERS)
    found = check_heterogeneity([effect_of(100, 1.0, 100, 1.2), empty])
    assert (found.segments, found.q, found.p_value) == (1, None, None)


def test_a_total_that_contradicts_every_segment_is_found_with_its_shifted_mix() -> None:
    segments = {"new": effect_of(900, 1.0, 100, 1.1), "known": effect_of(100, 3.0, 900, 3.1)}
    total = effect_of(1_000, 3.05, 1_000, 1.2)
    found = check_simpson(total, segments)
    assert found.reversed
    assert found.stratified == pytest.approx(0.1)
    assert found.mix_p_value is not None
    assert found.mix_p_value < 1e-9


def test_a_total_that_agrees_with_its_segments_is_left_alone() -> None:
    segments = {"new": effect_of(500, 1.0, 510, 1.1), "known": effect_of(480, 3.0, 500, 3.1)}
    found = check_simpson(effect_of(980, 2.0, 1_010, 2.1), segments)
    assert not found.reversed
    assert found.mix_p_value is not None
    assert found.mix_p_value > 0.5


def test_segments_without_readers_give_no_estimate() -> None:
    empty = estimate_effect(NO_READERS, NO_READERS)
    found = check_simpson(empty, {"new": empty, "known": empty})
    assert not found.reversed
    assert (found.total, found.stratified, found.mix_p_value) == (None, None, None)
    one_sided = estimate_effect(Moments.from_arrays([1.0, 2.0]), NO_READERS)
    assert check_simpson(one_sided, {"a": one_sided, "b": one_sided}).mix_p_value is None
