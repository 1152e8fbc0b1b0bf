from dataclasses import fields, replace

import numpy as np

from feed.models.view import build_view
from feed.ranking import live_index
from feed.ranking.live_index import build_index

NOW = 1_700_000_000.0  # that of conftest
HOUR = 3600.0


def assert_same(one, other):
    for field in fields(one):
        if field.name not in {"pool", "popular"}:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    for mine, theirs in zip(one.popular, other.popular, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_an_index_made_from_an_older_one_is_the_same(world):
    counters = world.signals.counters
    older = build_index(world.pool, counters, NOW - HOUR)
    assert_same(
        build_index(world.pool, counters, NOW, older), build_index(world.pool, counters, NOW)
    )


def test_a_retraction_and_a_new_date_are_seen_although_there_is_an_older_index(world):
    counters = world.signals.counters
    older = build_index(world.pool, counters, NOW)
    newest, last = int(older.newest[0]), int(older.newest[-1])
    live, fresh_at = world.pool.live.copy(), world.pool.fresh_at.copy()
    live[newest], fresh_at[last] = False, NOW
    changed = replace(world.pool, live=live, fresh_at=fresh_at)
    index = build_index(changed, counters, NOW, older)
    assert newest not in index.newest
    assert index.newest[0] == last


def test_a_list_that_is_cut_holds_the_most_read_in_order(world, monkeypatch):
    whole = build_index(world.pool, world.signals.counters, NOW)
    monkeypatch.setattr(live_index, "LISTED", 7)
    cut = build_index(world.pool, world.signals.counters, NOW)
    for column, short in enumerate(cut.popular):
        assert len(short) == 7 < len(whole.popular[column])
        clicks = world.signals.counters.clicks(short, NOW)[:, column]
        assert (np.diff(clicks) <= 0).all()
        others = np.setdiff1d(whole.popular[column], short)
        assert world.signals.counters.clicks(others, NOW)[:, column].max() <= clicks.min()


def test_of_equally_read_articles_the_younger_is_hotter(world):
    clicks = np.array([8.0, 8.0, 3.0])
    ages = np.array([7.0, 0.0, 0.0]) * HOUR
    np.testing.assert_allclose(live_index.heat(clicks, ages), [1.0, 8.0, 3.0])
    index = build_index(world.pool, world.signals.counters, NOW)
    read = world.signals.counters.clicks(index.hot, NOW)[:, 0]
    heat = live_index.heat(read, NOW - world.pool.fresh_at[index.hot])
    assert (np.diff(heat) <= 0).all()
    assert not np.array_equal(index.hot, index.popular[0][: len(index.hot)])


def test_packed_vectors_follow_rows_and_view(world):
    view = world.context().view
    rows = np.array([5, 2, 9])
    packed = view.pack(rows)
    np.testing.assert_array_equal(packed.content, view.content[rows])
    np.testing.assert_array_equal(packed.factors, view.factors[rows])
    assert view.pack(rows.copy()) is packed
    assert view.pack(rows[:2]).rows.tolist() == [5, 2]
    fresh = build_view(view.pool, view.bundle, view)
    assert fresh.pack(rows) is not packed


def test_other_live_articles_change_no_vectors_and_the_order_of_dates_is_kept(world):
    view = world.context().view
    rows = np.array([5, 2, 9])
    packed = view.pack(rows)
    live = np.arange(view.pool.size) % 2 == 0
    other = view.with_live(live, view)
    assert other.pool.live is live
    assert other.pack(rows) is packed
    assert other.pack(rows[:2]).rows.tolist() == [5, 2]
    assert view.pack(rows) is packed
    assert view.with_live(live).pack(rows) is not packed
    old = build_index(view.pool, world.signals.counters, NOW)
    again = build_index(other.pool, world.signals.counters, NOW, old)
    anew = build_index(other.pool, world.signals.counters, NOW)
    assert again.dated is old.dated
    np.testing.assert_array_equal(again.newest, anew.newest)
