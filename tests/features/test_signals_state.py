import numpy as np

from feed.features.ids import IdMap
from feed.features.state import LiveSignals
from tests.support.counted import count_click

T0 = 1_700_000_000.0
NOW = T0 + 40_000
TRAVELLED = 1e-6
"""Pairs of clicks travel as float32."""


def payloads(count: int = 120, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    events = []
    for i in range(count):
        at = T0 + 300.0 * i
        article = f"a{rng.integers(9)}"
        context = {"page_article_id": f"a{rng.integers(9)}"} if rng.random() < 0.5 else {}
        kind = ["impression", "click", "read", "like"][rng.integers(4)]
        event = {"kind": kind, "article_id": article, "occurred_at": at, "context": context}
        if kind == "click":
            event |= {
                "first": bool(rng.random() < 0.8),
                "request_id": "r" if rng.random() < 0.5 else None,
                "previous": [[f"a{rng.integers(9)}", at - 60.0 * k] for k in range(1, 4)],
            }
        if kind == "read":
            event["dwell_s"] = float(rng.integers(1, 100))
        if kind == "like":
            event["likes"] = 1
        events.append(event)
    return events


def figures(signals: LiveSignals, names: list[str]) -> list[np.ndarray]:
    rows = signals.ids.rows(names)
    recent, at = rows[:3], np.array([NOW - 10.0, NOW - 600.0, NOW - 9000.0])
    return [
        *signals.counters.blocks(rows, NOW).values(),
        *signals.counters.site_blocks(NOW).values(),
        signals.counters.all_totals(rows),
        *signals.counters.last_times(rows),
        signals.covisitation.votes(recent, at, NOW).scores(rows),
        signals.page_lists.scores(int(rows[1]), rows, NOW),
    ]


def assert_same(one: LiveSignals, other: LiveSignals, rtol: float = 1e-9) -> None:
    names = [f"a{i}" for i in range(9)]
    for a, b in zip(figures(one, names), figures(other, names), strict=True):
        np.testing.assert_allclose(b, a, rtol=rtol, atol=1e-12)


def feed(signals: LiveSignals, events: list[dict]) -> LiveSignals:
    for event in events:
        signals.apply_event(event)
    return signals


def test_a_checkpoint_restores_everything_under_other_row_numbers():
    signals = feed(LiveSignals(), payloads())
    other = LiveSignals.load(signals.dump(), IdMap(["zz", "a8", "a0"]))
    assert_same(signals, other, TRAVELLED)


def test_a_delta_brings_another_process_up_to_date_even_twice():
    events = payloads()
    signals = feed(LiveSignals(), events[:60])
    follower = LiveSignals.load(signals.dump())
    signals.delta()
    feed(signals, events[60:])
    delta = signals.delta()
    follower.apply(delta)
    follower.apply(delta)
    assert_same(signals, follower, TRAVELLED)


def test_a_snapshot_is_not_touched_by_later_events():
    events = payloads()
    signals = feed(LiveSignals(), events[:60])
    kept = signals.snapshot()
    reference = LiveSignals.load(signals.dump())
    feed(signals, events[60:])
    assert_same(reference, kept, TRAVELLED)


def test_late_events_count_as_if_they_had_come_in_time():
    events = payloads()
    assert_same(feed(LiveSignals(), events), feed(LiveSignals(), events[::-1]))


def test_only_a_first_click_counts():
    signals = LiveSignals()
    click = {"kind": "click", "article_id": "a", "occurred_at": T0, "previous": []}
    signals.apply_event(click | {"first": True})
    for _ in range(1000):
        signals.apply_event(click | {"first": False})
    assert signals.counters.readers(np.array([0])).tolist() == [1.0]


def test_covisitation_prefers_what_readers_of_the_last_click_read_next():
    signals = LiveSignals(IdMap(["a", "b", "c"]))
    for reader in range(20):
        at = T0 + reader
        count_click(signals, 0, at, np.zeros(0, np.int64), np.zeros(0))
        follow = 1 if reader % 4 else 2
        count_click(signals, follow, at + 30, np.array([0]), np.array([at]))
    rows = np.array([0, 1, 2])
    votes = signals.covisitation.votes(np.array([0]), np.array([T0 + 99]), T0 + 100)
    scores = votes.scores(rows)
    assert scores[1] > scores[2] > scores[0]
    assert votes.totals.argmax() == 1


def test_neighbours_are_bounded_and_keep_the_weightiest():
    signals = LiveSignals(IdMap(f"a{i}" for i in range(400)))
    none = np.zeros(0, np.int64), np.zeros(0)
    count_click(signals, 0, T0, *none)
    for other in range(1, 400):
        times = 5 if other <= 20 else 1
        for k in range(times):
            count_click(signals, other, T0 + other + k, np.array([0]), np.array([T0 + other]))
    rows = signals.covisitation.votes(np.array([0]), np.array([T0]), T0 + 500).rows
    assert len(rows) <= 100
    assert set(range(1, 21)) <= set(rows.tolist())
