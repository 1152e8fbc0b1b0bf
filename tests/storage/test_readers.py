"""The contract of ReaderStore, on a real server."""

import itertools
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.domain import Event, EventKind, StoreUnavailableError
from feed.preferences import Preferences
from feed.storage.key_names import HISTORY_MAX, MARKS_MAX, READ_MAX, SHOWN_MAX
from feed.storage.records import Outcome, ReaderState, RecordType, Shown
from feed.storage.redis_store import RedisStore

NOW = 1_780_000_000.0
DAY = 86_400.0


def payloads(store, user_id="reader"):
    records = store.read_stream(store._keys.partition(user_id), "0-0", 10_000)
    return [orjson.loads(r.payload) for r in records if r.type is RecordType.EVENT]


def test_an_unknown_reader_has_the_empty_state(store):
    assert store.read_reader("nobody") == ReaderState()


def test_events_become_the_readers_state(store, make_event):
    store.append_events(
        [
            make_event("impression", article_id="seen", occurred_at=NOW),
            make_event("impression", article_id="seen", occurred_at=NOW + 5),
            make_event("click", article_id="read", occurred_at=NOW + 10),
            make_event("read", article_id="read", occurred_at=NOW + 40, dwell_s=29.5),
            make_event("like", article_id="read", occurred_at=NOW + 41),
            make_event("hide", article_id="bad", occurred_at=NOW + 42),
            make_event("save", article_id="later", occurred_at=NOW + 43),
        ]
    )
    state = store.read_reader("reader")
    assert [(e.kind, e.article_id, e.occurred_at, e.dwell_s) for e in state.history] == [
        (EventKind.CLICK, "read", NOW + 10, None),
        (EventKind.READ, "read", NOW + 40, 29.5),
        (EventKind.LIKE, "read", NOW + 41, None),
        (EventKind.HIDE, "bad", NOW + 42, None),
        (EventKind.SAVE, "later", NOW + 43, None),
    ]
    assert state.read_ids == {"read"}
    assert state.shown == (Shown("seen", 2, NOW + 5),)
    assert state.reactions == {"read": EventKind.LIKE}
    assert state.reacted_at == {"read": NOW + 41}
    assert state.hidden_ids == {"bad"}
    assert state.saved_ids == {"later"}


def test_delivering_an_event_again_changes_nothing(store, make_event):
    events = [make_event("click"), make_event("like"), make_event("impression")]
    assert store.append_events(events) == [Outcome.ACCEPTED] * 3
    before = store.read_reader("reader")
    assert store.append_events([*events, events[0]]) == [Outcome.DUPLICATE] * 4
    assert store.read_reader("reader") == before
    assert len(payloads(store)) == 3


def test_an_event_twice_in_one_batch_counts_once(store, make_event):
    event = make_event("click")
    assert store.append_events([event, event]) == [Outcome.ACCEPTED, Outcome.DUPLICATE]


def test_two_readers_may_give_their_events_the_same_ids(store, make_event):
    events = [make_event(user_id=f"reader-{n}", event_id="1") for n in range(100)]
    assert store.append_events(events) == [Outcome.ACCEPTED] * 100
    assert store.append_events(events) == [Outcome.DUPLICATE] * 100


def test_a_duplicate_is_recognised_after_midnight_and_when_the_clock_jumps_back(store, make_event):
    midnight = (NOW // DAY + 1) * DAY
    before, after = midnight - 60, midnight + 60
    first = make_event(event_id="x", received_at=before)
    assert store.append_events([first]) == [Outcome.ACCEPTED]
    again = make_event(event_id="x", received_at=after)
    assert store.append_events([again]) == [Outcome.DUPLICATE]
    late = make_event(event_id="y", received_at=after)
    assert store.append_events([late]) == [Outcome.ACCEPTED]
    back = make_event(event_id="y", received_at=before)
    assert store.append_events([back]) == [Outcome.DUPLICATE]


def test_outcomes_follow_the_order_of_events_of_many_readers(store, make_event):
    events = [make_event(user_id=f"u{n}") for n in range(300)]
    store.append_events(events[::2])
    expected = [Outcome.DUPLICATE, Outcome.ACCEPTED] * 150
    assert store.append_events(events) == expected
    assert len({store._keys.partition(e.user_id) for e in events}) == store.partitions


def test_only_the_first_click_on_an_article_is_first_and_knows_the_clicks_before(store, make_event):
    for second, article_id in enumerate(["a", "b", "a", "c"]):
        store.append_events([make_event(article_id=article_id, occurred_at=NOW + second)])
    found = payloads(store)
    assert [p["first"] for p in found] == [True, True, False, True]
    assert found[1]["previous"] == [["a", NOW]]
    assert found[2]["previous"] == []
    assert found[3]["previous"] == [["a", NOW + 2], ["b", NOW + 1]]


def test_at_most_ten_clicks_are_named_before_one(store, make_event):
    store.append_events([make_event(article_id=f"a{n}", occurred_at=NOW + n) for n in range(15)])
    assert [p[0] for p in payloads(store)[-1]["previous"]] == [f"a{n}" for n in range(13, 3, -1)]


@pytest.mark.parametrize(
    ("kinds", "likes", "dislikes", "left"),
    [
        (["like"], [1], [0], EventKind.LIKE),
        (["like", "like"], [1, 0], [0, 0], EventKind.LIKE),
        (["like", "unlike"], [1, -1], [0, 0], None),
        (["like", "dislike"], [1, -1], [0, 1], EventKind.DISLIKE),
        (["dislike", "unlike"], [0, 0], [1, 0], EventKind.DISLIKE),
        (["dislike", "undislike", "undislike"], [0, 0, 0], [1, -1, 0], None),
        (["share"], [0], [0], None),
    ],
)
def test_reactions_change_totals_by_what_they_really_change(
    store, make_event, kinds, likes, dislikes, left
):
    store.append_events([make_event(kind) for kind in kinds])
    found = payloads(store)
    assert [p["likes"] for p in found] == likes
    assert [p["dislikes"] for p in found] == dislikes
    assert store.read_reader("reader").reactions.get("article") == left


def test_undo_takes_back_hide_and_save(store, make_event):
    store.append_events([make_event(kind) for kind in ("hide", "save", "unhide", "unsave")])
    state = store.read_reader("reader")
    assert state.hidden_ids == state.saved_ids == frozenset()


@pytest.mark.parametrize("done", ["like", "dislike", "hide", "save"])
@pytest.mark.parametrize("together", [True, False])
def test_an_undo_holds_though_what_it_undoes_arrives_later(store, make_event, done, together):
    undo = make_event(f"un{done}", occurred_at=NOW)
    late = make_event(done, occurred_at=NOW - 60)
    for batch in [[undo, late]] if together else [[undo], [late]]:
        store.append_events(batch)
    state = store.read_reader("reader")
    assert (state.reactions, state.hidden_ids, state.saved_ids) == ({}, frozenset(), frozenset())
    assert [(p["likes"], p["dislikes"]) for p in payloads(store)] == [(0, 0), (0, 0)]
    undone = {"kind": f"un{done}", "article_id": "article", "occurred_at": NOW}
    assert undone in store.export_reader("reader")["undone"]
    store.append_events([make_event(done, occurred_at=NOW + 1)])
    state = store.read_reader("reader")
    assert [*state.reactions, *state.hidden_ids, *state.saved_ids] == ["article"]


@pytest.mark.parametrize("done", ["like", "dislike", "hide", "save"])
def test_an_old_undo_leaves_what_was_done_after_it(store, make_event, done):
    store.append_events([make_event(done, occurred_at=NOW)])
    store.append_events([make_event(f"un{done}", occurred_at=NOW - 60)])
    state = store.read_reader("reader")
    assert [*state.reactions, *state.hidden_ids, *state.saved_ids] == ["article"]


def test_the_newer_of_two_reactions_stands_whichever_arrives_first(store, make_event):
    store.append_events([make_event("dislike", occurred_at=NOW)])
    store.append_events([make_event("like", occurred_at=NOW - 60)])
    assert store.read_reader("reader").reactions == {"article": EventKind.DISLIKE}
    assert [(p["likes"], p["dislikes"]) for p in payloads(store)] == [(0, 1), (0, 0)]


def test_a_like_that_is_given_again_outlives_the_undo_between(store, make_event):
    steps = [("like", 1), ("like", 5), ("unlike", 3)]
    store.append_events([make_event(kind, occurred_at=NOW + at) for kind, at in steps])
    assert store.read_reader("reader").reactions == {"article": EventKind.LIKE}


def test_what_was_replaced_stays_replaced_when_its_successor_was_undone(store, make_event):
    steps = [("dislike", 1), ("like", 2), ("unlike", 3)]
    events = [make_event(kind, occurred_at=NOW + at) for kind, at in steps]
    for number, order in enumerate(itertools.permutations(events)):
        user_id = f"reader-{number}"
        for event in order:
            store.append_events([replace(event, user_id=user_id)])
        assert store.read_reader(user_id).reactions == {}, order
        changes = payloads(store, user_id)
        own = [c for c in changes if c["user_id"] == user_id]
        assert (sum(c["likes"] for c in own), sum(c["dislikes"] for c in own)) == (0, 0)


def test_nothing_undone_is_left_of_an_erased_reader(store, make_event):
    store.append_events([make_event("unlike")])
    store.erase_reader("reader")
    assert store.export_reader("reader")["undone"] == []


def test_history_is_in_order_of_time_though_events_come_late(store, make_event):
    for at in (3, 1, 2):
        store.append_events([make_event(article_id=f"a{at}", occurred_at=NOW + at)])
    history = store.read_reader("reader").history
    assert [e.article_id for e in history] == ["a1", "a2", "a3"]


def test_every_list_of_a_reader_is_bounded_and_keeps_the_newest(store, make_event):
    kinds = {"click": READ_MAX, "impression": SHOWN_MAX, "like": MARKS_MAX, "save": MARKS_MAX}
    for kind, bound in kinds.items():
        store.append_events(
            [
                make_event(kind, article_id=f"a{n}", occurred_at=NOW + n / 10)
                for n in range(bound + 50)
            ]
        )
    state = store.read_reader("reader")
    assert len(state.history) == HISTORY_MAX
    assert len(state.read_ids) == READ_MAX
    assert f"a{READ_MAX + 49}" in state.read_ids
    assert "a49" not in state.read_ids
    assert len(state.shown) == SHOWN_MAX
    assert len(state.reactions) == len(state.saved_ids) == MARKS_MAX


def test_clicks_older_than_thirty_days_are_forgotten(store, make_event):
    store.append_events([make_event(article_id="old", occurred_at=NOW - 31 * DAY)])
    store.append_events([make_event(article_id="new", occurred_at=NOW)])
    assert store.read_reader("reader").read_ids == {"new"}


def test_keys_of_a_reader_expire(store, make_event):
    store.append_events([make_event(kind) for kind in ("click", "impression", "like", "save")])
    for kind in "hrvms":
        key = store._keys.reader(kind, "reader")
        ttl = store._link.call(key, "TTL", key)
        assert 59 * DAY < ttl <= 60 * DAY


@pytest.mark.parametrize("left_s", [59 * DAY, 61 * DAY, 60 * DAY - 3_700])
def test_an_event_prolongs_what_is_kept_and_shortens_what_an_earlier_setting_kept(
    store, make_event, left_s
):
    kinds = ("click", "impression", "like")
    store.append_events([make_event(kind, article_id="a") for kind in kinds])
    keys = [store._keys.reader(kind, "reader") for kind in "hrvm"]
    for key in keys:
        store._link.call(key, "EXPIRE", key, int(left_s))
    store.append_events([make_event(kind, article_id="b") for kind in kinds])
    for key in keys:
        assert 60 * DAY - 60 < store._link.call(key, "TTL", key) <= 60 * DAY


def test_what_was_kept_within_the_hour_is_not_prolonged(store, make_event):
    store.append_events([make_event(article_id="a")])
    key = store._keys.reader("r", "reader")
    store._link.call(key, "EXPIRE", key, int(60 * DAY) - 600)
    store.append_events([make_event(article_id="b")])
    assert store._link.call(key, "TTL", key) <= 60 * DAY - 600


def test_the_clicks_before_one_have_their_times_to_the_millisecond(store, make_event):
    times = [NOW + step for step in (0.0, 0.001, 0.25, 59.999)]
    for number, at in enumerate(times):
        store.append_events([make_event(article_id=f"a{number}", occurred_at=at)])
    store.append_events([make_event(article_id="last", occurred_at=NOW + 60)])
    before = [[f"a{n}", round(at, 3)] for n, at in enumerate(times)]
    assert payloads(store)[-1]["previous"] == before[::-1]


def test_preferences_come_back_as_they_were_written(store):
    told = Preferences(
        followed_sections=("sport", 'a"b'),
        muted_sources=("x",),
        languages=("de", "en"),
        personalization=False,
    )
    store.write_preferences("reader", told)
    assert store.read_preferences("reader") == told
    assert store.read_reader("reader").preferences == told
    assert store.read_preferences("nobody") == Preferences()


def test_without_personalisation_no_history_is_kept_and_nobody_is_named(store, make_event):
    store.append_events([make_event(article_id="before")])
    store.write_preferences("reader", Preferences(personalization=False))
    store.append_events(
        [make_event(k, request_id="r") for k in ("impression", "click", "click", "like", "hide")]
    )
    state = store.read_reader("reader")
    assert (state.history, state.read_ids, state.shown) == ((), frozenset(), ())
    assert state.reactions == {"article": EventKind.LIKE}
    assert state.hidden_ids == {"article"}
    anonymous = payloads(store)[1:]
    assert {p["user_id"] for p in anonymous} == {""}
    assert {p["request_id"] for p in anonymous} == {""}
    assert [p["first"] for p in anonymous] == [False, True, False, False, False]
    assert anonymous[3]["likes"] == 1


def test_a_slate_comes_back_whole(store, make_served):
    served = make_served()
    store.save_served(served, new_slate=True)
    assert store.read_for_page("reader", "request")[0] == served
    assert store.read_for_page("somebody", "request")[0] is None
    assert store.read_for_page("reader", "other")[0] is None


def test_what_a_feed_reads_comes_with_the_catalogues_position(store, make_article):
    store.write_articles([make_article("a")])
    position = store.catalogue_position()
    assert position != "0-0"
    assert store.read_for_feed("reader") == (store.read_reader("reader"), position)
    assert store.read_for_page("reader", "none")[2] == position


def test_only_the_newest_slates_are_kept(store, make_served):
    for number in range(7):
        store.save_served(make_served(f"r{number}"), new_slate=True)
    kept = [n for n in range(7) if store.read_for_page("reader", f"r{n}")[0]]
    assert kept == [2, 3, 4, 5, 6]


def test_slates_of_readers_with_colons_in_their_names_stay_apart(store, make_served):
    store.save_served(make_served("b:c", user_id="a"), new_slate=True)
    assert store.read_for_page("a:b", "c")[0] is None
    store.save_served(make_served("c", user_id="a:b"), new_slate=True)
    found = store.read_for_page("a:b", "c")[0]
    assert found is not None
    assert found.user_id == "a:b"


def test_the_exposure_record_holds_the_slots_given_out(store, make_served):
    store.save_served(make_served(), new_slate=True)
    store.save_served(make_served(shown_from=2, shown_to=3), new_slate=False)
    records = store.read_stream(store._keys.partition("reader"), "0-0", 10)
    shown = [orjson.loads(r.payload)["article_ids"] for r in records]
    assert [r.type for r in records] == [RecordType.SERVED] * 2
    assert shown == [["a0", "a1"], ["a2"]]
    assert orjson.loads(records[0].payload)["user_id"] == "reader"


def test_export_holds_everything_and_is_json(store, make_event, make_served):
    store.append_events([make_event("click"), make_event("hide", article_id="x")])
    store.write_preferences("reader", Preferences(followed_sections=("sport",)))
    store.save_served(make_served(), new_slate=True)
    export = orjson.loads(orjson.dumps(store.export_reader("reader")))
    assert export["user_id"] == "reader"
    assert export["read_ids"] == ["article"]
    assert export["hidden_ids"] == ["x"]
    assert export["preferences"]["followed_sections"] == ["sport"]
    assert [e["kind"] for e in export["history"]] == ["click", "hide"]
    assert export["slates"][0]["request_id"] == "request"


def test_erasing_a_reader_leaves_nothing_but_the_erase_record(store, make_event, make_served):
    kinds = ("click", "impression", "like", "hide", "save")
    store.append_events([make_event(kind) for kind in kinds])
    store.append_events([make_event(user_id="other")])
    store.write_preferences("reader", Preferences())
    store.save_served(make_served(), new_slate=True)
    store.erase_reader("reader")
    assert store.read_reader("reader") == ReaderState()
    assert store.read_for_page("reader", "request")[0] is None
    cursor_and_keys = store._link.call("x", "SCAN", "0", "COUNT", 1000)
    assert not [key for key in cursor_and_keys[1] if b"reader" in key]
    assert store.read_reader("other").read_ids == {"article"}
    last = store.read_stream(store._keys.partition("reader"), "0-0", 100)[-1]
    assert last.type is RecordType.ERASE
    assert orjson.loads(last.payload)["user_id"] == "reader"


NASTY = [
    'quote"and\\slash',
    "{feed:p0}:log",
    "*",
    "../../etc",
    "a:b:c",
    "']] redis.call('FLUSHALL') --",
    "ünïcödé\u202egnp",
    "%s%n$1",
    "\N{ZERO WIDTH SPACE}",
]


@pytest.mark.parametrize("text", NASTY)
def test_ids_of_any_shape_are_only_text(store, make_event, text):
    store.append_events([make_event(user_id=text, article_id="first", request_id=text)])
    store.append_events([make_event(user_id=text, article_id=text, occurred_at=NOW + 1)])
    store.append_events([make_event(user_id=text, article_id="last", occurred_at=NOW + 2)])
    assert store.read_reader(text).read_ids == {"first", text, "last"}
    found = payloads(store, text)
    assert [p["user_id"] for p in found] == [text] * 3
    assert found[0]["request_id"] == text
    assert [p[0] for p in found[2]["previous"]] == [text, "first"]


def test_a_full_stream_refuses_events(store, store_settings, make_event):
    bound = 10 * store_settings.partitions
    small = RedisStore(replace(store_settings, stream_max_events=bound))
    for _ in range(10):
        small.append_events([make_event()])
    with pytest.raises(StoreUnavailableError, match="wait for the worker"):
        small.append_events([make_event()])
    small.close()
    assert store.stream_length(store._keys.partition("reader")) == 10


numbers = itertools.count()
KINDS = [kind.value for kind in EventKind]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from("abc"), st.integers(0, 3)), max_size=40
    )
)
def test_the_state_agrees_with_a_plain_model(store, steps):
    """Likes and marks as a dictionary would keep them, events repeated now and then."""
    user = f"model-{next(numbers)}"
    reactions, hidden, saved, clicked = {}, set(), set(), set()
    likes = {}
    for number, (kind, article_id, repeats) in enumerate(steps):
        event = Event(
            event_id=f"{user}-{number}",
            user_id=user,
            article_id=article_id,
            kind=EventKind(kind),
            occurred_at=NOW + number,
            received_at=NOW,
        )
        store.append_events([event] * (1 + repeats))
        if kind in {"like", "dislike"}:
            reactions[article_id] = kind
        elif kind in {"unlike", "undislike"} and reactions.get(article_id) == kind[2:]:
            del reactions[article_id]
        elif kind in {"hide", "unhide"}:
            (hidden.add if kind == "hide" else hidden.discard)(article_id)
        elif kind in {"save", "unsave"}:
            (saved.add if kind == "save" else saved.discard)(article_id)
        elif kind == "click":
            clicked.add(article_id)
    state = store.read_reader(user)
    assert {a: k.value for a, k in state.reactions.items()} == reactions
    _, light, _ = store.read_for_page(user, "none")
    assert (light.reactions, light.reacted_at) == (state.reactions, state.reacted_at)
    assert light.hidden_ids == state.hidden_ids
    assert not light.history
    assert (state.hidden_ids, state.saved_ids, state.read_ids) == (hidden, saved, clicked)
    mine = [p for p in payloads(store, user) if p["user_id"] == user]
    for p in mine:
        likes[p["article_id"]] = likes.get(p["article_id"], 0) + p["likes"]
    assert {a for a, n in likes.items() if n} == {a for a, k in reactions.items() if k == "like"}
    assert len(mine) == len(steps)
    assert sum(p["first"] for p in mine) == len(clicked)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from(["like", "dislike", "unlike", "undislike"]), max_size=6).flatmap(
        lambda kinds: st.permutations(list(enumerate(kinds)))
    )
)
def test_reactions_come_out_alike_in_whatever_order_they_arrive(store, arrivals):
    ends = []
    for order in (sorted(arrivals), arrivals):
        user = f"order-{next(numbers)}"
        for number, kind in order:
            event = Event(
                event_id=str(number),
                user_id=user,
                article_id="article",
                kind=EventKind(kind),
                occurred_at=NOW + number,
                received_at=NOW,
            )
            store.append_events([event])
        own = [p for p in payloads(store, user) if p["user_id"] == user]
        totals = (sum(p["likes"] for p in own), sum(p["dislikes"] for p in own))
        ends.append((store.read_reader(user).reactions, totals))
    assert ends[0] == ends[1]
    reaction = ends[0][0].get("article")
    assert ends[0][1] == (int(reaction is EventKind.LIKE), int(reaction is EventKind.DISLIKE))
