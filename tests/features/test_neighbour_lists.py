"""Pairs in flat arrays: what is put in comes out, summed, bounded, and whole in the deltas."""

import io

import numpy as np
import orjson
import pytest

from feed.features.covisitation import ARTICLES_PER_DELTA
from feed.features.ids import IdMap
from feed.features.neighbour_lists import NeighbourLists, strongest
from feed.features.pairs import PairTable
from feed.features.state import LiveSignals

T0 = 1_700_000_000.0


def lists_of(held, rows):
    sizes, others, weights = held.gather(np.array(rows))
    ends = np.cumsum(sizes)[:-1]
    return [
        dict(zip(o.tolist(), w.tolist(), strict=True))
        for o, w in zip(np.split(others, ends), np.split(weights, ends), strict=True)
    ]


def put(held, wanted):
    sizes = np.array([len(one) for one in wanted.values()])
    others = np.array([o for one in wanted.values() for o in one], np.int32)
    weights = np.array([w for one in wanted.values() for w in one.values()])
    held.replace(np.array(list(wanted)), sizes, others, weights)


def test_lists_are_replaced_as_a_whole_and_copies_keep_what_they_had():
    rng, held, wanted = np.random.default_rng(3), NeighbourLists(), {}
    for _ in range(60):  # often enough for the arrays to grow, and to move together
        rows = rng.choice(40, 12, replace=False).tolist()
        change = {
            row: {int(o): float(o + 1) for o in rng.choice(500, rng.integers(0, 60), replace=False)}
            for row in rows
        }
        copy, before = held.copy(), dict(wanted)
        put(held, change)
        wanted |= change
        assert lists_of(held, range(40)) == [wanted.get(row, {}) for row in range(40)]
        assert lists_of(copy, range(40)) == [before.get(row, {}) for row in range(40)]
    assert held.total == sum(map(len, wanted.values()))
    assert lists_of(held, [-1, 4000]) == [{}, {}]


def test_each_list_keeps_its_heaviest():
    rng = np.random.default_rng(5)
    sizes = np.array([0, 3, 10, 11, 25, 90, 10])
    weights = rng.permutation(int(sizes.sum())).astype(np.float64)
    kept = strongest(sizes, weights, 10)
    for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        mine, held = weights[start : start + size], kept[start : start + size]
        assert sorted(mine[held]) == sorted(mine)[-10:]


def test_of_equal_weights_a_list_keeps_the_first():
    sizes = np.array([5, 3, 4])
    weights = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 7.0, 7.0, 7.0, 1.0, 5.0, 1.0, 1.0])
    kept = strongest(sizes, weights, 3)
    assert np.flatnonzero(kept).tolist() == [0, 1, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("limit", [7, 1000])
def test_many_pairs_are_summed_whether_they_wait_or_not(limit):
    rng, ids = np.random.default_rng(1), IdMap(f"a{n}" for n in range(50))
    table, sums = PairTable(ids, 86400.0, limit), np.zeros((50, 50))
    for step in range(40):
        rows, others = rng.integers(0, 50, (2, 700))
        weights, times = rng.random(700), np.full(700, T0 + step)
        table.add(rows, others, weights, times)
        if limit == 1000:  # with a small limit pairs are given up on the way
            np.add.at(sums, (rows, others), weights * 2.0 ** ((step - 39) / 86400.0))
        asked = np.array([3, 8, 3])
        before = table.votes(asked, np.array([1.0, 2.0, 0.5]), T0 + 39)
        settled = table.snapshot().votes(asked, np.array([1.0, 2.0, 0.5]), T0 + 39)
        as_tables = [np.zeros((3, 50)) for _ in range(2)]
        for one, (found, votes, places) in zip(as_tables, (before, settled), strict=True):
            assert np.bincount(places, minlength=3).max() <= limit
            np.add.at(one, (places, found), votes)
        np.testing.assert_allclose(*as_tables, rtol=1e-9)
    if limit == 1000:
        np.testing.assert_allclose(as_tables[0], sums[asked] * [[1], [2], [0.5]], rtol=1e-9)


def click(number, before):
    return {
        "kind": "click",
        "article_id": f"a{number}",
        "occurred_at": T0 + number,
        "first": True,
        "previous": [[f"a{n}", T0 + n] for n in before],
    }


def test_a_delta_is_bounded_and_the_next_ones_bring_the_rest():
    worker, web = LiveSignals(), LiveSignals()
    count = 2 * ARTICLES_PER_DELTA + 1
    worker.apply_events([click(n, range(max(n - 3, 0), n)) for n in range(count)])
    deltas = 0
    while worker.has_changes:
        web.apply(worker.delta())
        deltas += 1
    assert deltas == 3
    named = []
    for signals in (worker, web):
        asked = signals.ids.rows(["a5", f"a{count - 1}"])
        votes = signals.covisitation.votes(asked, np.full(2, T0), T0)
        pairs = zip(votes.rows.tolist(), votes.weights.tolist(), strict=True)
        named.append({signals.ids.ids[row]: weight for row, weight in pairs})
    assert len(named[0]) == 9
    assert named[1] == pytest.approx(named[0], rel=1e-6)  # weights travel as float32


def test_a_checkpoint_of_a_version_that_repeated_ids_is_read():
    signals = LiveSignals()
    signals.apply_events([click(n, range(max(n - 3, 0), n)) for n in range(9)])
    with np.load(io.BytesIO(signals.dump())) as packed:
        arrays = dict(packed)
    for room in ("covisitation", "page_lists"):
        names = orjson.loads(arrays.pop(f"{room}.names").tobytes())
        others = [names[code] for code in arrays.pop(f"{room}.others").tolist()]
        arrays[f"{room}.other_ids"] = np.frombuffer(orjson.dumps(others), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    loaded = LiveSignals.load(buffer.getvalue(), IdMap(["z"]))
    at = np.full(2, T0)
    old, new = (s.covisitation.votes(s.ids.rows(["a4", "a8"]), at, T0) for s in (loaded, signals))
    assert [loaded.ids.ids[r] for r in old.rows] == [signals.ids.ids[r] for r in new.rows]
    np.testing.assert_allclose(old.weights, new.weights, rtol=1e-6)


def shares(signals, at):
    votes = signals.covisitation.votes(signals.ids.rows(["a4", "a8"]), np.full(2, at), at)
    names = [signals.ids.ids[row] for row in votes.rows]
    return dict(zip(names, votes.weights.tolist(), strict=True))


@pytest.mark.parametrize("days", [90, 130, 400])
def test_weights_that_grew_for_long_are_still_those_of_another_process(days):
    """They double with every half-life since the landmark: beyond float32 after 128 of them."""
    worker, web = LiveSignals(), LiveSignals()
    for day in (0, days):
        events = [click(n, range(max(n - 3, 0), n)) for n in range(9)]
        for event in events:
            event["occurred_at"] += day * 86400.0
            event["previous"] = [[name, at + day * 86400.0] for name, at in event["previous"]]
        worker.apply_events(events)
        web.apply(worker.delta())
    at = T0 + days * 86400.0
    assert sum(shares(worker, at).values()) > 0.5
    for other in (web, LiveSignals.load(worker.dump()), LiveSignals.load(web.dump())):
        assert shares(other, at) == pytest.approx(shares(worker, at), rel=1e-6)


def test_a_checkpoint_of_a_version_that_let_weights_grow_further_is_read():
    signals = LiveSignals()
    signals.apply_events([click(n, range(max(n - 3, 0), n)) for n in range(9)])
    with np.load(io.BytesIO(signals.dump())) as packed:
        arrays = dict(packed)
    doublings = 250
    weights = arrays["covisitation.weights"].astype(np.float64)
    arrays["covisitation.weights"] = weights * 2.0**doublings
    arrays["covisitation.landmark"] = arrays["covisitation.landmark"] - doublings * 86400.0
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    loaded = LiveSignals.load(buffer.getvalue())
    for other in (loaded, LiveSignals.load(loaded.dump())):
        assert shares(other, T0) == pytest.approx(shares(signals, T0), rel=1e-6)
    more = click(9, [8])
    for one in (loaded, signals):
        one.apply_event(more)
    assert shares(loaded, T0 + 9) == pytest.approx(shares(signals, T0 + 9), rel=1e-6)
