"""What editors do by hand: in the audit log, safe against each other, and taken back."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from feed.catalogue import pinning
from feed.catalogue.boosting import MOST_BOOSTS, present_boosts, remove_boost, set_boost
from feed.catalogue.boosting import take_back_boost as take_back
from feed.catalogue.decisions import Editor
from feed.domain import ConflictError, InvalidInputError, NotFoundError, Pin
from feed.editorial.boosts import Boost
from feed.storage.redis_store import RedisStore
from tests.catalogue.conftest import NOW, Catalogue

ED, ANN = Editor("ed", NOW), Editor("ann", NOW + 60)
PIN = Pin(article_id="a", slot=2, starts_at=NOW, ends_at=NOW + 3600, author="ed")
FEED = "https://paper.example/feed"


def boost_of(article_id: str, factor: float = 3.0, hours: float = 1.0) -> Boost:
    ends_at = NOW + hours * 3600
    return Boost(article_id=article_id, factor=factor, starts_at=NOW, ends_at=ends_at, author="ed")


def test_a_retraction_is_in_the_audit_log_and_is_taken_back(catalogue: Catalogue) -> None:
    catalogue.send(FEED, title="Ferry")
    entry = catalogue.service.retract("a", catalogue.editor)
    assert entry is not None
    assert (entry.action, entry.subject, entry.by) == ("retracted", "articles/a", "ed")
    assert entry.before == {"retracted": False, "owned_fields": []}
    assert entry.after == {"retracted": True, "owned_fields": ["retracted"]}
    assert catalogue.service.retract("a", catalogue.editor) is None
    undone = catalogue.service.take_back(entry, ANN)
    assert (undone.action, undone.by, undone.after) == ("taken back", "ann", entry.before)
    assert not catalogue.article().retracted
    again = catalogue.service.take_back(undone, ED)
    assert catalogue.article().retracted
    assert again.after == entry.after


def test_what_is_sent_is_no_editors_action(catalogue: Catalogue, store: RedisStore) -> None:
    catalogue.send(title="Ferry")
    catalogue.send(FEED, title="Ferry", retracted=True)
    assert store.read_audit(5) == []


def test_a_label_set_by_hand_survives_deliveries_until_it_is_taken_back(
    catalogue: Catalogue, store: RedisStore
) -> None:
    catalogue.send(FEED, title="Ferry", sponsored=False, expires_at=NOW + 100)
    catalogue.patch(sponsored=True, expires_at=NOW + 7200.5)
    (entry,) = store.read_audit(5)
    catalogue.send(FEED, title="Ferry again", sponsored=False, expires_at=NOW + 100)
    assert catalogue.article().sponsored
    assert catalogue.article().expires_at == NOW + 7200.5
    catalogue.service.take_back(entry, ANN)
    assert (catalogue.article().sponsored, catalogue.article().expires_at) == (False, NOW + 100)
    catalogue.send(FEED, title="Ferry again", sponsored=True)
    assert catalogue.article().sponsored, "the source says so again"


def test_nothing_is_taken_back_over_a_later_change(catalogue: Catalogue, store: RedisStore) -> None:
    catalogue.send(title="Ferry")
    catalogue.patch(title="Ferries")
    catalogue.patch(title="More ferries")
    older = store.read_audit(5)[1]
    with pytest.raises(ConflictError, match="title was changed since"):
        catalogue.service.take_back(older, ANN)
    assert catalogue.article().title == "More ferries"
    assert len(store.read_audit(5)) == 2


def test_long_texts_are_not_in_the_log(catalogue: Catalogue, store: RedisStore) -> None:
    catalogue.send(title="Ferry")
    catalogue.patch(body="word " * 1000)
    (entry,) = store.read_audit(5)
    assert len(str(entry)) < 500
    with pytest.raises(ConflictError, match="does not keep long texts"):
        catalogue.service.take_back(entry, ANN)


def test_an_erasure_and_its_end_are_in_the_log(catalogue: Catalogue, store: RedisStore) -> None:
    catalogue.send(title="Ferry")
    catalogue.service.erase("a", catalogue.editor)
    assert catalogue.service.restore("a", catalogue.editor)
    assert [e.action for e in store.read_audit(5)] == ["allowed again", "erased"]


def test_a_boost_replaces_the_one_before_and_is_taken_back(store: RedisStore) -> None:
    first = set_boost(store, boost_of("a"), ED)
    second = set_boost(store, boost_of("a", 0.1), ED)
    assert [e.action for e in store.read_audit(5, "articles/a")] == ["buried", "boosted"]
    with pytest.raises(ConflictError, match="changed since"):
        take_back(store, first, ANN)
    take_back(store, second, ANN)
    assert present_boosts(store, NOW) == [boost_of("a")]
    take_back(store, first, ANN)
    assert present_boosts(store, NOW) == []
    with pytest.raises(NotFoundError):
        remove_boost(store, "a", ED)


def test_boosts_that_ended_are_dropped_and_their_number_is_bounded(store: RedisStore) -> None:
    set_boost(store, boost_of("old", hours=0.01), ED)
    for n in range(MOST_BOOSTS - 1):
        set_boost(store, boost_of(f"a{n}"), ED)
    with pytest.raises(ConflictError, match="200 boosts already"):
        set_boost(store, boost_of("more"), ED)
    set_boost(store, replace(boost_of("more"), starts_at=NOW + 60), ANN)
    names = {boost["article_id"] for boost in store.read_editorial()["boosts"][1]}
    assert "more" in names
    assert "old" not in names


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"factor": 0.0}, "factor"),
        ({"factor": 21.0}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"ends_at": NOW - 1}, "ends_at"),
        ({"starts_at": NOW + 4000}, "ends_at"),
        ({"ends_at": NOW + 8 * 86_400}, "ends_at"),
    ],
)
def test_a_boost_out_of_bounds_is_refused(store: RedisStore, change: dict, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        set_boost(store, replace(boost_of("a"), **change), ED)
    assert refused.value.field_name == field
    assert store.read_audit(5) == []


def test_a_pin_is_added_moved_removed_and_taken_back(store: RedisStore) -> None:
    pinning.add_pin(store, replace(PIN, article_id="b"), ED)
    pinning.add_pin(store, PIN, ED)
    moved = pinning.add_pin(store, replace(PIN, slot=0), ED)
    assert moved is not None
    assert [p.slot for p in pinning.present_pins(store, NOW)[0]] == [2, 0]
    pinning.take_back_pins(store, moved, ANN)
    assert {(p.article_id, p.slot) for p in pinning.present_pins(store, NOW)[0]} == {
        ("a", 2),
        ("b", 2),
    }
    removed = pinning.remove_pins(store, "a", ED)
    assert removed is not None
    pinning.take_back_pins(store, removed, ANN)
    assert PIN in pinning.present_pins(store, NOW)[0]
    with pytest.raises(ConflictError, match="changed since"):
        pinning.take_back_pins(store, removed, ANN)


def test_taking_back_leaves_the_pins_of_others_alone(store: RedisStore) -> None:
    entry = pinning.add_pin(store, PIN, ED)
    pinning.add_pin(store, replace(PIN, article_id="b", slot=0), ANN)
    assert entry is not None
    pinning.take_back_pins(store, entry, ED)
    assert [p.article_id for p in pinning.present_pins(store, NOW)[0]] == ["b"]


def test_of_two_lists_made_from_one_the_second_is_refused(store: RedisStore) -> None:
    _, version = pinning.present_pins(store, NOW)
    pinning.replace_pins(store, [PIN], ED, version)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        pinning.replace_pins(store, [], ANN, version)
    assert pinning.present_pins(store, NOW)[0] == [PIN]


def test_nothing_is_lost_when_many_act_at_once(store: RedisStore) -> None:
    def act(number: int) -> None:
        for n in range(5):
            name = f"a{number}-{n}"
            pinning.add_pin(store, replace(PIN, article_id=name), ED)
            set_boost(store, boost_of(name), ED)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pinning.present_pins(store, NOW)[0]) == 20
    assert len(present_boosts(store, NOW)) == 20
    assert len(store.read_audit(100)) == 40
