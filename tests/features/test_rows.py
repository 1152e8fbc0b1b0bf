"""Small questions about rows: answered as the plain way would, for any rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feed.features.ids import (
    are_known,
    first_of_each,
    first_places,
    look_up,
    stable_order,
    sum_by_row,
)

lists_of_rows = st.lists(st.integers(0, 30), max_size=60)


@given(st.lists(st.integers(-2, 30), max_size=60), st.integers(1, 32))
def test_rows_are_known_if_each_is_from_zero_to_below_the_size(rows, size):
    assert are_known(np.array(rows, np.int64), size) == all(0 <= row < size for row in rows)


@given(lists_of_rows)
def test_each_row_is_kept_where_it_stood_first(rows):
    kept = first_of_each(np.array(rows, np.int64), 31)
    assert kept.tolist() == list(dict.fromkeys(rows))


@given(lists_of_rows)
def test_places_are_those_of_the_first_of_each(rows):
    assert first_places(np.array(rows, np.int64), 31).tolist() == [rows.index(r) for r in rows]


@given(lists_of_rows, lists_of_rows)
def test_sums_are_looked_up_by_row_and_zero_beyond_the_end(rows, asked):
    weights = np.arange(1.0, len(rows) + 1)
    table = sum_by_row(np.array(rows, np.int64), weights)
    expected = [sum(w for r, w in zip(rows, weights, strict=True) if r == a) for a in asked]
    assert table.dtype == np.float64
    np.testing.assert_allclose(look_up(table, np.array(asked, np.int64)), expected)


def test_a_table_has_at_least_the_size_asked_for():
    assert sum_by_row(np.array([1]), np.array([2.0]), size=4).tolist() == [0.0, 2.0, 0.0, 0.0]


@given(lists_of_rows, st.sampled_from([1, 2**57, 2**58]))
def test_a_stable_order_leaves_equal_keys_as_they_stood(rows, step):
    keys = np.array(rows, np.int64) * step
    assert stable_order(keys).tolist() == sorted(range(len(rows)), key=lambda i: rows[i])
