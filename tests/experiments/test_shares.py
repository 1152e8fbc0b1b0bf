"""Shares of slots: independent slots give Wilson's interval, alike ones that of their readers."""

import numpy as np
import pytest
import scipy.stats

from feed.experiments.statistics.shares import ShareSums, share_interval


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
