"""Counting many events at once is counting each of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.features.state import LiveSignals

NOW = 1_780_000_000.0
ARTICLES = [f"a{n}" for n in range(6)]

events = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            ["impression", "click", "read", "like", "dislike", "unlike", "custom"]
        ),
        "article_id": st.sampled_from(ARTICLES),
        "occurred_at": st.floats(NOW, NOW + 7200),
        "first": st.booleans(),
        "previous": st.lists(
            st.tuples(st.sampled_from(ARTICLES), st.floats(NOW - 100, NOW)), max_size=3
        ),
        "likes": st.sampled_from([-1, 0, 1]),
        "dislikes": st.just(0),
        "request_id": st.sampled_from([None, "r"]),
        "context": st.sampled_from([{}, {"page_article_id": "a0"}]),
        "dwell_s": st.sampled_from([None, 12.5]),
    }
).map(lambda e: e if "like" in e["kind"] else {**e, "likes": 0})


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=40))
def test_a_batch_leaves_what_single_events_leave(payloads):
    single, batch = LiveSignals(), LiveSignals()
    for signals in (single, batch):
        signals.ids.add_all(ARTICLES)
    for payload in payloads:
        single.apply_event(payload)
    batch.apply_events(payloads)
    rows, now = np.arange(len(ARTICLES)), NOW + 7200
    for name, values in single.counters.blocks(rows, now).items():
        np.testing.assert_allclose(batch.counters.blocks(rows, now)[name], values, rtol=1e-9)
    np.testing.assert_allclose(
        batch.counters.all_totals(rows), single.counters.all_totals(rows), rtol=1e-9
    )
    recent, times = np.array([1, 2]), np.array([NOW, NOW])
    np.testing.assert_allclose(
        batch.covisitation.votes(recent, times, now).scores(rows),
        single.covisitation.votes(recent, times, now).scores(rows),
    )
    np.testing.assert_allclose(
        batch.page_lists.scores(0, rows, now), single.page_lists.scores(0, rows, now)
    )
