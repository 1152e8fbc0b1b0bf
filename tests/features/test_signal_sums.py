"""What several workers have counted adds up to what one would have counted."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.features.counters import TOTALS
from feed.features.ids import IdMap
from feed.features.signal_sums import SummedCounters, sum_rooms
from feed.features.state import LiveSignals

NOW = 1_780_000_000.0
DAY = 86_400.0
ARTICLES = [f"a{n}" for n in range(8)]

EVENTS = st.lists(
    st.builds(
        lambda reader, kind, article, page, days, dwell, previous: {
            "user_id": reader,
            "kind": kind,
            "article_id": article,
            "occurred_at": NOW - days * DAY,
            "first": kind == "click",
            "dwell_s": dwell,
            "likes": int(kind == "like"),
            "context": {"page": page} if page else {},
            "previous": [[p, NOW - (days + 0.01) * DAY] for p in previous if p != article],
        },
        st.integers(0, 20),
        st.sampled_from(["impression", "click", "read", "like"]),
        st.sampled_from(ARTICLES),
        st.sampled_from(["", *ARTICLES]),
        st.floats(0, 40),
        st.floats(0, 600),
        st.lists(st.sampled_from(ARTICLES), max_size=4, unique=True),
    ),
    max_size=60,
)


def same(left, right, ids):
    rows = np.arange(len(ids))
    near, travelled = {"rtol": 1e-9, "atol": 1e-9}, {"rtol": 1e-6, "atol": 1e-9}
    for name in TOTALS:
        np.testing.assert_allclose(
            left.counters.totals(name, rows), right.counters.totals(name, rows), **near
        )
    for at in (NOW, NOW + DAY):
        for name, values in right.counters.blocks(rows, at).items():
            np.testing.assert_allclose(left.counters.blocks(rows, at)[name], values, **near)
        for name, values in right.counters.site_blocks(at).items():
            np.testing.assert_allclose(left.counters.site_blocks(at)[name], values, **near)
        votes = [one.covisitation.votes(rows, np.full(len(rows), at), at) for one in (left, right)]
        np.testing.assert_allclose(*[vote.scores(rows) for vote in votes], **travelled)
        for page in rows.tolist():
            np.testing.assert_allclose(
                left.page_lists.scores(page, rows, at),
                right.page_lists.scores(page, rows, at),
                **travelled,
            )
    assert np.array_equal(left.counters.last_times(rows), right.counters.last_times(rows))
    assert left.counters.began_at == right.counters.began_at


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 3), st.data())
def test_workers_by_partition_count_what_one_worker_counts(events, workers, data):
    """Readers are dealt to workers; deltas and sums at any moment give the counters of one."""
    ids = IdMap(ARTICLES)
    alone, total = LiveSignals(ids), LiveSignals(ids)
    counting = [LiveSignals(IdMap()) for _ in range(workers)]
    copies = [LiveSignals(ids) for _ in range(workers)]
    alone.apply_events(events)
    cut = data.draw(st.integers(0, len(events)))
    for part in (events[:cut], events[cut:]):
        changed = {}
        for n, one in enumerate(counting):
            one.apply_events([e for e in part if e["user_id"] % workers == n])
            for room, found in copies[n].apply(one.delta()).items():
                changed.setdefault(room, set()).update(found)
        wanted = {room: sorted(found) for room, found in changed.items()}
        total.apply_packed(sum_rooms([copy.pack_articles(wanted) for copy in copies]))
    same(total, alone, ids)
    summed = SummedCounters([copy.counters for copy in copies])
    rows = np.arange(len(ids))
    np.testing.assert_allclose(
        summed.clicks(rows, NOW), alone.counters.clicks(rows, NOW), rtol=1e-9
    )
    np.testing.assert_allclose(summed.site_clicks(NOW), alone.counters.site_clicks(NOW), rtol=1e-9)
    adopted = LiveSignals(IdMap())
    for one in counting:
        adopted.apply_packed(sum_rooms([adopted.pack(), LiveSignals.load(one.dump()).pack()]))
    whole = LiveSignals(ids)
    whole.apply(adopted.dump())
    same(whole, alone, ids)


def test_a_sum_keeps_the_strongest_pairs():
    ids = IdMap()
    parts = []
    for part in range(2):
        signals = LiveSignals(ids)
        for n in range(80):
            other = ids.add(f"{part}-{n}")
            at = np.array([NOW - 3600.0 * (n % 7)])
            signals.covisitation.add_click(ids.add("a"), NOW, np.array([other]), at)
        parts.append(signals.pack())
    summed = sum_rooms(parts)["covisitation"]
    count = dict(zip(summed["ids"], summed["counts"].tolist(), strict=True))["a"]
    weights = summed["weights"][: summed["counts"][summed["ids"].index("a")]]
    assert count == 100
    every = np.concatenate([p["covisitation"]["weights"] for p in parts])
    assert weights.min() >= np.sort(every)[::-1][2 * 100 - 1] - 1e-12
