"""Moments: adding up, agreeing with numpy, surviving constants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lab.simulation.fixed import winsorise

from feed.experiments.statistics.aggregates import NO_READERS, PAIRS, Moments

VALUES = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False, width=32)


def table_of(rng: np.random.Generator, readers: int) -> np.ndarray:
    views = rng.poisson(9, readers) + 1
    before = rng.poisson(6, readers) + 1
    return np.stack([rng.binomial(views, 0.2), views, rng.binomial(before, 0.2), before]).astype(
        float
    )


@given(arrays(np.float64, (4, 7), elements=VALUES), st.integers(0, 7))
def test_two_groups_add_up_to_the_whole(table: np.ndarray, cut: int) -> None:
    whole = Moments.from_arrays(*table)
    parts = Moments.from_arrays(*table[:, :cut]) + Moments.from_arrays(*table[:, cut:])
    assert parts.n == whole.n
    scale = max(1.0, float(np.abs(table).max()))
    np.testing.assert_allclose(parts.means, whole.means, atol=1e-9 * scale)
    np.testing.assert_allclose(parts.products, whole.products, atol=1e-9 * scale**2)


def test_covariances_are_those_of_numpy() -> None:
    table = table_of(np.random.default_rng(1), 500)
    moments = Moments.from_arrays(*table)
    expected = np.cov(table)
    for row, column in PAIRS:
        assert moments.covariance(row, column) == pytest.approx(expected[row, column], rel=1e-10)
        assert moments.covariance(column, row) == moments.covariance(row, column)


def test_sums_from_sql_give_the_same_moments_as_arrays() -> None:
    table = table_of(np.random.default_rng(2), 500)
    products = [float(table[row] @ table[column]) for row, column in PAIRS]
    moments = Moments.from_sums(500, table.sum(axis=1).tolist(), products)
    np.testing.assert_allclose(moments.products, Moments.from_arrays(*table).products, rtol=1e-9)


def test_a_constant_has_no_variance_whatever_the_rounding() -> None:
    constant = np.full(977, 0.1)
    assert Moments.from_arrays(constant).covariance(0, 0) == 0
    sums = [97.7, 977, 0, 977]
    products = [977 * 0.1 * 0.1, 97.7, 0, 97.7, 977, 0, 977, 0, 0, 977]
    assert Moments.from_sums(977, sums, products).covariance(0, 0) == 0


def test_a_numerator_proportional_to_its_denominator_has_no_ratio_variance() -> None:
    views = np.random.default_rng(3).poisson(9, 300) + 1.0
    assert Moments.from_arrays(views * 0.3, views).linear_covariance(0, 0) == 0


@pytest.mark.parametrize("readers", [0, 1])
def test_no_and_one_reader_have_zero_covariance(readers: int) -> None:
    moments = Moments.from_arrays(np.ones(readers))
    assert moments.n == readers
    assert moments.linear_covariance(0, 0) == 0
    assert moments + NO_READERS == moments


def test_a_ratio_over_zero_does_not_exist() -> None:
    assert Moments.from_arrays([1.0, 2.0], [0.0, 0.0]).ratio is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Moments.from_arrays([1.0, bad])


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one value a reader"):
        Moments.from_arrays([1.0, 2.0], [1.0])


def test_winsorising_cuts_the_top_and_leaves_the_rest() -> None:
    values = np.r_[np.zeros(50), np.arange(1.0, 101.0), 1e6]
    cut = winsorise(values)
    assert cut.max() <= 101
    np.testing.assert_array_equal(cut[:149], values[:149])
    np.testing.assert_array_equal(winsorise(np.zeros(3)), np.zeros(3))
