import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.features.counters import HALF_LIVES_S, NEVER, Counters
from feed.features.decay import DecayedTable
from feed.features.ids import IdMap

T0 = 1_700_000_000.0


def make_counters(count: int = 4) -> Counters:
    return Counters(IdMap(f"a{i}" for i in range(count)))


def test_a_sum_halves_at_its_half_life():
    table = DecayedTable((1800.0, 7200.0))
    table.add(np.array([0]), np.array([T0]))
    assert table.read(np.array([0]), T0 + 1800.0)[0] == pytest.approx([0.5, 2 ** (-0.25)])


@given(st.permutations(list(range(8))))
@settings(deadline=None)
def test_the_order_of_events_does_not_matter(order):
    times = T0 + np.array([0, 10, 5000, 90_000, 3e6, 9e6, 9e6 + 1, 2e7])
    rows = np.array([0, 1, 0, 2, 1, 0, 0, 2])
    one, other = DecayedTable((1800.0, 86400.0)), DecayedTable((1800.0, 86400.0))
    one.add(rows, times)
    for i in order:
        other.add(rows[i : i + 1], times[i : i + 1])
    now = T0 + 2e7 + 60
    np.testing.assert_allclose(
        other.read(np.arange(3), now), one.read(np.arange(3), now), rtol=1e-9, atol=1e-12
    )


def test_blocks_of_columns_get_what_all_columns_would():
    halves, rng = (1800.0, 7200.0) * 3, np.random.default_rng(3)
    rows, times, weights = rng.integers(0, 5, 40), T0 + 1e5 * rng.random(40), rng.random(40)
    one, other = DecayedTable(halves), DecayedTable(halves)
    spread = np.zeros((40, 6))
    spread[:, 2:6] = weights[:, None]
    one.add(rows, times, spread)
    other.add_to_blocks(rows, times, weights, [slice(4, 6), slice(2, 4)])
    np.testing.assert_array_equal(other.all_stored(), one.all_stored())


def test_years_of_events_leave_finite_sums():
    table = DecayedTable((1800.0,))
    for day in range(800):
        table.add(np.array([0]), np.array([T0 + day * 86400.0]))
    assert table.read(np.array([0]), T0 + 799 * 86400.0)[0, 0] == pytest.approx(1.0)


def test_clicks_impressions_and_click_through_are_kept_apart():
    counters = make_counters()
    rows, times = np.array([0, 1]), np.array([T0, T0])
    counters.add_impressions(rows, times, on_page=True)
    counters.add_clicks(rows[:1], times[:1], from_feed=True, on_page=True)
    counters.add_clicks(rows[:1], times[:1])
    blocks = counters.blocks(np.array([0, 1]), T0)
    assert blocks["clicks"][0].tolist() == [2.0, 0.0]
    assert blocks["feed_clicks"][0].tolist() == [1.0, 0.0]
    assert blocks["page_clicks"][0].tolist() == [1.0, 0.0]
    assert blocks["page_impressions"][0].tolist() == [1.0, 1.0]
    assert counters.site_clicks(T0).tolist() == [2.0] * len(HALF_LIVES_S)


def test_last_times_are_the_latest_whatever_comes_first():
    counters = make_counters()
    for at in (T0 + 5, T0 + 9, T0 + 2):
        counters.add_clicks(np.array([1]), np.array([at]))
    clicked, shown = counters.last_times(np.array([1, 3, 99]))
    assert clicked.tolist() == [T0 + 9, NEVER, NEVER]
    assert shown.tolist() == [NEVER] * 3


def test_unknown_rows_are_zero():
    counters = make_counters()
    counters.add_clicks(np.array([0]), np.array([T0]))
    assert not counters.clicks(np.array([-1, 5000]), T0).any()
    assert not counters.readers(np.array([-1, 5000])).any()


def test_a_snapshot_does_not_see_later_events():
    counters = make_counters()
    counters.add_clicks(np.array([0]), np.array([T0]))
    before = counters.snapshot()
    counters.add_clicks(np.array([0, 1]), np.array([T0, T0]))
    assert before.clicks(np.array([0, 1]), T0)[:, 0].tolist() == [1.0, 0.0]
    assert before.readers(np.array([0, 1])).tolist() == [1.0, 0.0]


def test_reactions_and_dwell_are_totals():
    counters = make_counters()
    counters.add_reactions(np.array([2]), 1, 0)
    counters.add_reactions(np.array([2]), -1, 1)
    counters.add_dwell(np.array([2, 2]), np.array([np.e - 1.0, 0.0]))
    rows = np.array([2])
    assert counters.totals("likes", rows) == 0
    assert counters.totals("dislikes", rows) == 1
    assert counters.totals("dwell_log_sum", rows) == pytest.approx(1.0)
    assert counters.totals("dwell_readers", rows) == 2


def test_reactions_are_whole_and_never_below_zero():
    counters = make_counters()
    counters.add_reactions(np.array([1, 2]), np.array([1, -1]), np.array([0, 1]))
    rows = np.array([1, 2, 3, 999])
    assert counters.reactions(rows).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]
