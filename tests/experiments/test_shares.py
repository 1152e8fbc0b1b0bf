"""Intervals of shares of slots and of clicks over expected ones, against known cases."""

import numpy as np
import pytest
import scipy.stats

from feed.experiments.statistics.shares import ShareSums, expectation_interval, share_interval


def sums_of(clicked: np.ndarray, examined: np.ndarray) -> ShareSums:
    x, y = clicked.astype(float), examined.astype(float)
    return ShareSums(x.size, *map(float, (x.sum(), y.sum(), x @ x, x @ y, y @ y)))


def test_one_slot_a_reader_is_wilsons_interval() -> None:
    clicked = np.repeat([1, 0], [3_000, 97_000])
    found = share_interval(sums_of(clicked, np.ones(100_000)))
    expected = scipy.stats.binomtest(3_000, 100_000).proportion_ci(method="wilson")
    assert found == pytest.approx((expected.low, expected.high), rel=1e-4)


def test_slots_of_one_reader_that_are_alike_count_once() -> None:
    clicked = np.repeat([1, 0], [300, 700])
    single = share_interval(sums_of(clicked, np.ones(1_000)))
    tenfold = share_interval(sums_of(10 * clicked, np.full(1_000, 10)))
    assert single is not None
    assert tenfold == pytest.approx(single, rel=2e-3)


@pytest.mark.parametrize("clicked", [0, 1])
def test_all_or_nothing_still_has_a_width_within_bounds(clicked: int) -> None:
    found = share_interval(sums_of(np.full(50, 4 * clicked), np.full(50, 4)))
    assert found is not None
    assert 0 <= found.low < found.high <= 1
    assert found.covers(clicked)
    assert found.high - found.low > 0.03


def test_one_reader_or_no_slot_has_no_interval() -> None:
    assert share_interval(sums_of(np.array([1]), np.array([3]))) is None
    assert share_interval(ShareSums(5, 0, 0, 0, 0, 0)) is None


def test_independent_clicks_against_expected_ones_are_garwoods_interval() -> None:
    clicked = np.repeat([1, 0], [40, 99_960])
    found = expectation_interval(sums_of(clicked, np.full(100_000, 0.0005)))
    chi2 = scipy.stats.chi2
    low, high = chi2.ppf(0.025, 80) / 2 / 50, chi2.ppf(0.975, 82) / 2 / 50
    assert found == pytest.approx((low, high), rel=1e-3)


def test_the_interval_of_clustered_clicks_covers_the_truth() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        expected = generator.gamma(1.0, 0.2, 500)
        taste = generator.gamma(0.5, 2.0, 500)
        found = expectation_interval(sums_of(generator.poisson(1.3 * expected * taste), expected))
        assert found is not None
        covered += found.covers(1.3)
    assert 0.92 <= covered / 400 <= 0.985


def test_no_click_has_an_upper_bound_and_one_reader_no_interval() -> None:
    found = expectation_interval(sums_of(np.zeros(50), np.full(50, 0.2)))
    assert found is not None
    assert found.low == 0
    assert found.high == pytest.approx(-np.log(0.025) / 10, rel=1e-6)
    assert expectation_interval(sums_of(np.array([1]), np.array([3]))) is None
