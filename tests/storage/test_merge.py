"""Merging one reader into another in the store, on a real server."""

import orjson
import pytest

from feed.domain import ConflictError, EventKind, InvalidInputError, StoreUnavailableError
from feed.preferences import Preferences
from feed.storage.records import Merge, Outcome, ReaderState, RecordType, Shown
from feed.storage.redis_store import RedisStore

NOW = 1_780_000_000.0
LATER = NOW + 1000


def ids_on(store, same_partition):
    """Return an anonymous id and a reader's, on one partition or on two."""
    for n in range(1000):
        one, other = f"anon-{n}", "reader"
        if (store._keys.partition(one) == store._keys.partition(other)) == same_partition:
            return one, other
    raise AssertionError


@pytest.fixture(params=[False, True], ids=["two partitions", "one partition"])
def ids(request, store):
    return ids_on(store, request.param)


def records(store, kind):
    found = [r for p in range(store.partitions) for r in store.read_stream(p, "0-0", 10_000)]
    return [orjson.loads(r.payload) for r in found if r.type is kind]


def keys_naming(store, user_id):
    (reply,) = store._link.every_node("KEYS", f"*{user_id}*")
    return sorted(key.decode().split(":", 2)[2] for key in reply)


def test_everything_of_the_id_becomes_the_readers(store, make_event, make_served, ids):
    anon, reader = ids
    store.append_events(
        [
            make_event("impression", user_id=anon, article_id="seen", occurred_at=NOW),
            make_event("impression", user_id=reader, article_id="seen", occurred_at=NOW + 3),
            make_event("click", user_id=anon, article_id="a", occurred_at=NOW + 1),
            make_event("click", user_id=reader, article_id="b", occurred_at=NOW + 2),
            make_event("read", user_id=anon, article_id="a", occurred_at=NOW + 4, dwell_s=12.5),
            make_event("like", user_id=anon, article_id="a", occurred_at=NOW + 5),
            make_event("hide", user_id=anon, article_id="bad", occurred_at=NOW + 6),
            make_event("save", user_id=anon, article_id="later", occurred_at=NOW + 7),
        ]
    )
    store.save_served(make_served(user_id=anon), new_slate=True)
    store.write_attributes(anon, {"region": "north"})
    assert store.merge_reader(anon, reader, LATER) == Merge(reader, is_new=True)
    state = store.read_reader(reader)
    assert state.attributes == {"region": "north"}
    assert [(e.kind, e.article_id, e.occurred_at, e.dwell_s) for e in state.history] == [
        (EventKind.CLICK, "a", NOW + 1, None),
        (EventKind.CLICK, "b", NOW + 2, None),
        (EventKind.READ, "a", NOW + 4, 12.5),
        (EventKind.LIKE, "a", NOW + 5, None),
        (EventKind.HIDE, "bad", NOW + 6, None),
        (EventKind.SAVE, "later", NOW + 7, None),
    ]
    assert state.read_ids == {"a", "b"}
    assert state.shown == (Shown("seen", 2, NOW + 3),)
    assert (state.reactions, state.reacted_at) == ({"a": EventKind.LIKE}, {"a": NOW + 5})
    assert (state.hidden_ids, state.saved_ids) == ({"bad"}, {"later"})
    assert (state.moved_to, state.unit) == ("", reader)
    assert keys_naming(store, anon) == [f"pref:{anon}"]
    assert store.read_merged_ids(reader) == {anon: LATER}
    (record,) = records(store, RecordType.IDENTITY)
    assert record == {
        "from_id": anon,
        "to_id": reader,
        "merged_at": LATER,
        "keeps_unit_of": "to",
        "clicks": [],
        "reactions": [],
    }


def test_the_newest_two_hundred_of_both_stay(store, make_event, ids):
    anon, reader = ids
    for second in range(150):
        store.append_events(
            [
                make_event("share", user_id=one, article_id=f"{one}-{second}", occurred_at=at)
                for one, at in ((anon, NOW + 2 * second), (reader, NOW + 2 * second + 1))
            ]
        )
    store.merge_reader(anon, reader, LATER)
    times = list(store.read_reader(reader).history.times)
    assert times == [NOW + n for n in range(100, 300)]


def test_what_both_clicked_has_one_reader_and_the_later_click_is_taken_back(store, make_event, ids):
    anon, reader = ids
    page = {"page_article_id": "p"}
    store.append_events(
        [
            make_event(user_id=anon, article_id="x", occurred_at=NOW, request_id="r1"),
            make_event(user_id=reader, article_id="x", occurred_at=NOW + 5, request_id="r2"),
            make_event(user_id=reader, article_id="x", occurred_at=NOW + 8),
            make_event(user_id=reader, article_id='"y"', occurred_at=NOW + 1),
            make_event(
                user_id=anon, article_id='"y"', occurred_at=NOW + 2, request_id="r", context=page
            ),
            make_event(user_id=reader, article_id="z", occurred_at=NOW + 1),
            make_event(user_id=anon, article_id="z", occurred_at=NOW + 3),
            make_event(user_id=anon, article_id="only", occurred_at=NOW + 3),
        ]
    )
    store.merge_reader(anon, reader, LATER)
    (record,) = records(store, RecordType.IDENTITY)
    assert sorted(record["clicks"]) == [
        ['"y"', NOW + 2, True, True],
        ["x", NOW + 5, True, False],
        ["z", NOW + 3, False, False],
    ]
    again = make_event(user_id=reader, article_id="only", occurred_at=LATER + 1)
    store.append_events([again])
    assert [p["first"] for p in records(store, RecordType.EVENT) if p["occurred_at"] > LATER] == [
        False
    ]


@pytest.mark.parametrize(
    ("first", "second", "left", "undone"),
    [
        ("like", "like", EventKind.LIKE, [-1, 0]),
        ("like", "dislike", EventKind.DISLIKE, [-1, 0]),
        ("dislike", "like", EventKind.LIKE, [0, -1]),
        ("dislike", "dislike", EventKind.DISLIKE, [0, -1]),
    ],
)
@pytest.mark.parametrize("anonymous_is_older", [True, False])
def test_the_newer_reaction_wins_and_the_other_leaves_the_totals(
    store, make_event, ids, first, second, left, undone, anonymous_is_older
):
    older, newer = ids if anonymous_is_older else ids[::-1]
    store.append_events([make_event(first, user_id=older, article_id="a", occurred_at=NOW)])
    store.append_events([make_event(second, user_id=newer, article_id="a", occurred_at=NOW + 1)])
    store.merge_reader(*ids, LATER)
    state = store.read_reader(ids[1])
    assert (state.reactions, state.reacted_at) == ({"a": left}, {"a": NOW + 1})
    (record,) = records(store, RecordType.IDENTITY)
    assert record["reactions"] == [["a", NOW, *undone]]


@pytest.mark.parametrize(
    ("anonymous", "own", "left"),
    [
        (None, None, Preferences()),
        (Preferences(followed_sections=("a",)), None, Preferences(followed_sections=("a",))),
        (
            Preferences(followed_sections=("a",)),
            Preferences(followed_sections=("b",)),
            Preferences(followed_sections=("b",)),
        ),
        (Preferences(personalization=False), Preferences(), Preferences()),
        (
            Preferences(),
            Preferences(personalization=False),
            Preferences(personalization=False),
        ),
    ],
)
def test_the_readers_own_preferences_win(store, ids, anonymous, own, left):
    anon, reader = ids
    for user_id, preferences in ((anon, anonymous), (reader, own)):
        if preferences is not None:
            store.write_preferences(user_id, preferences)
    store.merge_reader(anon, reader, LATER)
    assert store.read_preferences(reader) == left
    assert store.read_preferences(anon) == left


def test_a_login_switches_nothing_off_for_a_reader_with_a_history(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=reader)])
    preferences = Preferences(followed_sections=("a",), personalization=False)
    store.write_preferences(anon, preferences)
    store.merge_reader(anon, reader, LATER)
    state = store.read_reader(reader)
    assert state.preferences == Preferences(followed_sections=("a",))
    assert state.read_ids == {"article"}


def test_a_new_account_takes_over_that_nothing_is_to_be_kept(store, make_event, ids):
    anon, reader = ids
    store.write_preferences(anon, Preferences(personalization=False))
    store.append_events([make_event("like", user_id=anon)])
    store.merge_reader(anon, reader, LATER)
    state = store.read_reader(reader)
    assert not state.preferences.personalization
    assert (len(state.history), state.read_ids) == (0, frozenset())
    assert state.reactions == {"article": EventKind.LIKE}


def test_a_reader_without_personalisation_keeps_no_history_and_is_not_named(store, make_event, ids):
    anon, reader = ids
    store.append_events(
        [make_event(kind, user_id=anon) for kind in ("impression", "click", "like", "save")]
    )
    store.write_preferences(reader, Preferences(personalization=False))
    store.append_events([make_event("like", user_id=reader, occurred_at=NOW + 1)])
    store.merge_reader(anon, reader, LATER)
    state = store.read_reader(reader)
    assert (len(state.history), state.read_ids, state.shown) == (0, frozenset(), ())
    assert state.reactions == {"article": EventKind.LIKE}
    assert state.saved_ids == {"article"}
    (record,) = records(store, RecordType.IDENTITY)
    assert (record["from_id"], record["to_id"]) == ("", "")
    assert record["reactions"] == [["article", NOW, -1, 0]]


def test_a_new_account_goes_on_as_the_anonymous_reader_in_experiments(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=anon)])
    store.merge_reader(anon, reader, LATER)
    assert store.read_reader(reader).unit == anon
    assert records(store, RecordType.IDENTITY)[0]["keeps_unit_of"] == "from"
    store.append_events([make_event(user_id="second")])
    store.merge_reader("second", reader, LATER + 1)
    assert store.read_reader(reader).unit == anon
    store.merge_reader(reader, "fresh", LATER + 2)
    assert store.read_choices(reader).unit == anon
    assert [r["keeps_unit_of"] for r in records(store, RecordType.IDENTITY)].count("from") == 2


def test_an_account_that_was_only_shown_a_feed_keeps_its_own_place(store, make_served, ids):
    anon, reader = ids
    store.save_served(make_served(user_id=reader), new_slate=True)
    store.merge_reader(anon, reader, LATER)
    assert store.read_reader(reader).unit == reader


def test_merging_again_changes_nothing(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=anon), make_event("impression", user_id=anon)])
    store.merge_reader(anon, reader, LATER)
    before = store.read_reader(reader)
    assert store.merge_reader(anon, reader, LATER + 5) == Merge(reader, is_new=False)
    assert store.read_reader(reader) == before
    assert len(records(store, RecordType.IDENTITY)) == 1


def test_two_calls_for_one_merge_side_by_side_come_to_one(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event("impression", user_id=one) for one in ids])
    ms, held = round(LATER * 1000), []
    for _ in range(2):
        store._begin(anon, reader, ms)
        held.append(store._leave(anon, reader, ms, float("inf")))
    assert [store._join(anon, reader, one)[0] for one in held] == [b"joined", b"done"]
    assert store.read_reader(reader).shown == (Shown("article", 2, NOW),)
    assert len(records(store, RecordType.IDENTITY)) == 1


def test_an_id_that_nobody_knows_is_the_readers_from_then_on(store, make_event, ids):
    anon, reader = ids
    assert store.merge_reader(anon, reader, LATER).is_new
    assert store.append_events([make_event(user_id=anon)]) == [Outcome.ACCEPTED]
    assert store.read_reader(reader).read_ids == {"article"}


def test_an_id_cannot_be_merged_into_itself_or_into_two_readers_or_round_in_a_ring(store):
    with pytest.raises(InvalidInputError, match="from"):
        store.merge_reader("a", "a", LATER)
    store.merge_reader("a", "b", LATER)
    with pytest.raises(ConflictError, match="into another reader already"):
        store.merge_reader("a", "c", LATER)
    with pytest.raises(ConflictError, match="a was merged into b already"):
        store.merge_reader("b", "a", LATER)
    store.merge_reader("b", "c", LATER)
    with pytest.raises(ConflictError):
        store.merge_reader("c", "a", LATER)
    assert len(records(store, RecordType.IDENTITY)) == 2
    assert {store.resolve(one) for one in "abc"} == {"c"}


def test_a_reader_that_was_merged_is_followed(store, make_event):
    store.append_events([make_event(user_id=one, article_id=one) for one in "abc"])
    store.merge_reader("b", "c", LATER)
    assert store.merge_reader("a", "b", LATER + 1) == Merge("c", is_new=True)
    assert store.merge_reader("a", "c", LATER + 1) == Merge("c", is_new=False)
    assert store.read_reader("a").read_ids == {"a", "b", "c"}
    assert store.read_reader("a").moved_to == "c"
    assert store.read_merged_ids("c") == {"a": LATER + 1, "b": LATER}


def test_ids_merged_into_a_reader_move_on_with_it(store, make_event):
    store.append_events([make_event(user_id="a")])
    store.merge_reader("a", "b", LATER)
    store.merge_reader("b", "c", LATER + 1)
    assert store.read_merged_ids("c") == {"a": LATER, "b": LATER + 1}
    assert store.append_events([make_event(user_id="a", article_id="late")]) == [Outcome.ACCEPTED]
    assert store.read_reader("c").read_ids == {"article", "late"}
    assert store.merge_reader("a", "b", LATER + 2) == Merge("c", is_new=False)


def test_two_merges_that_would_close_a_ring_cannot_both_begin(store):
    """Each reader has noted that the other comes; whoever goes on first finds the note."""
    ms = round(LATER * 1000)
    store._begin("a", "b", ms)
    with pytest.raises(ConflictError, match="at this moment"):
        store.merge_reader("b", "a", LATER)
    assert store._leave("a", "b", ms, float("inf")).reader == "b"


def test_a_merge_that_never_went_on_holds_off_others_only_for_a_while(store):
    store._begin("x", "b", round(LATER * 1000))
    with pytest.raises(ConflictError, match="at this moment"):
        store.merge_reader("b", "c", LATER + 1)
    assert store.merge_reader("b", "c", LATER + 70).is_new
    assert store.merge_reader("x", "b", LATER + 71) == Merge("c", is_new=True)


def test_a_merge_that_never_went_on_does_not_forbid_the_opposite_one(store):
    store._begin("a", "b", round(LATER * 1000))
    assert store.merge_reader("b", "a", LATER + 70).is_new
    assert store.read_merged_ids("a") == {"b": LATER + 70}


def test_late_events_count_for_the_reader_in_the_order_of_the_request(store, make_event, ids):
    anon, reader = ids
    before = make_event(user_id=anon, article_id="before")
    store.append_events([before])
    store.merge_reader(anon, reader, LATER)
    late = make_event(user_id=anon, article_id="late")
    other = make_event(user_id="other")
    found = store.append_events([before, late, other, late, make_event(user_id=reader)])
    accepted, duplicate = Outcome.ACCEPTED, Outcome.DUPLICATE
    assert found == [duplicate, accepted, accepted, duplicate, accepted]
    assert store.append_events([late, before]) == [duplicate, duplicate]
    assert store.read_reader(reader).read_ids == {"before", "late", "article"}
    named = [e["user_id"] for e in records(store, RecordType.EVENT) if e["article_id"] == "late"]
    assert named == [reader]
    assert keys_naming(store, anon) == [f"pref:{anon}"]


def test_preferences_and_pages_of_the_id_are_the_readers(store, make_event, make_served, ids):
    anon, reader = ids
    store.save_served(make_served("old", user_id=anon), new_slate=True)
    store.merge_reader(anon, reader, LATER)
    store.write_preferences(anon, Preferences(followed_sections=("a",)))
    assert store.read_preferences(reader).followed_sections == ("a",)
    store.save_served(make_served("new", user_id=reader), new_slate=True)
    assert store.read_for_page(anon, "old")[0] is None
    slate, state, _ = store.read_for_page(anon, "new")
    assert (slate.user_id, state.moved_to) == (reader, reader)
    store.append_events([make_event(user_id=reader)])
    store.write_preferences(anon, Preferences(personalization=False))
    assert not store.read_reader(reader).history


def test_export_names_the_merged_ids(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=anon)])
    store.merge_reader(anon, reader, LATER)
    export = store.export_reader(anon)
    assert export == store.export_reader(reader)
    assert (export["user_id"], export["merged_ids"]) == (reader, {anon: LATER})
    assert export["read_ids"] == ["article"]


@pytest.mark.parametrize("asked", ["reader", "anonymous"])
def test_erasing_leaves_nothing_of_either_and_tells_both_streams(store, make_event, ids, asked):
    anon, reader = ids
    store.append_events([make_event(user_id=one) for one in ids])
    store.merge_reader(anon, reader, LATER)
    store.erase_reader(reader if asked == "reader" else anon)
    assert keys_naming(store, anon) + keys_naming(store, reader) == []
    assert {r["user_id"] for r in records(store, RecordType.ERASE)} == {anon, reader}
    assert store.read_reader(anon) == ReaderState()


def test_erasing_reaches_an_id_whose_merge_was_interrupted(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=anon)])
    store._begin(anon, reader, round(LATER * 1000))
    store._leave(anon, reader, round(LATER * 1000), float("inf"))
    store.erase_reader(reader)
    assert keys_naming(store, anon) == []


def test_erasing_spares_an_id_that_never_left(store, make_event, ids):
    anon, reader = ids
    store.append_events([make_event(user_id=anon)])
    store._begin(anon, reader, round(LATER * 1000))
    store.erase_reader(reader)
    assert store.read_reader(anon).read_ids == {"article"}


class Interrupted(RedisStore):
    """A store whose n-th script call fails, before or after the server has done it."""

    def fail_at(self, number, *, done):
        scripts, calls = self._link.scripts, iter(range(1000))

        def failing(batch):
            fails = next(calls) == number
            if fails and not done:
                raise StoreUnavailableError("lost on the way there")
            results = scripts(batch)
            if fails:
                raise StoreUnavailableError("lost on the way back")
            return results

        self._link.scripts = failing


@pytest.mark.parametrize("done", [False, True], ids=["lost request", "lost reply"])
@pytest.mark.parametrize("number", range(4))
def test_a_merge_interrupted_anywhere_is_completed_by_asking_again(
    store, store_settings, make_event, ids, number, done
):
    anon, reader = ids
    kinds = ("impression", "click", "like", "hide")
    events = [make_event(kind, user_id=one) for one in ids for kind in kinds]
    store.append_events(events)
    broken = Interrupted(store_settings)
    broken._check_layout()
    broken.fail_at(number, done=done)
    with pytest.raises(StoreUnavailableError):
        broken.merge_reader(anon, reader, LATER)
    broken.close()
    late = make_event(user_id=anon, article_id="late", occurred_at=NOW + 9)
    assert store.append_events([*events, late])[-1] is Outcome.ACCEPTED
    assert store.merge_reader(anon, reader, LATER + 1).user_id == reader
    state = store.read_reader(reader)
    assert len(state.history) == 7
    assert state.shown == (Shown("article", 2, NOW),)
    assert state.read_ids == {"article", "late"}
    assert keys_naming(store, anon) == [f"pref:{anon}"]
    (record,) = records(store, RecordType.IDENTITY)
    assert record["clicks"] == [["article", NOW, False, False]]
    assert record["reactions"] == [["article", NOW, -1, 0]]
    everything = records(store, RecordType.EVENT)
    assert len(everything) == len(events) + 1
    assert sum(e["likes"] for e in everything) - 1 == 1


def test_what_was_undone_stays_undone_after_the_merge(store, make_event, ids):
    anonymous, reader = ids
    store.append_events([make_event("unhide", user_id=anonymous, occurred_at=NOW + 2)])
    store.merge_reader(anonymous, reader, NOW + 3)
    store.append_events([make_event("hide", user_id=anonymous, occurred_at=NOW + 1)])
    assert not store.read_reader(reader).hidden_ids
