"""Events that wait for their article, on a real server."""

from dataclasses import replace

import pytest

from feed.domain import EventKind, Origin
from feed.storage.records import Outcome
from feed.storage.waiting_part import WAITING_HOURS

NOW = 1_780_000_000.0
LATER = NOW + 600


@pytest.fixture
def waiting(store, make_event):
    """Three events of two readers on two articles that nobody has sent."""
    events = [
        make_event("click", article_id="new", occurred_at=NOW - 5),
        make_event("like", article_id="new", user_id="other"),
        make_event("click", article_id="never"),
    ]
    assert store.hold_events(events) == [Outcome.WAITING] * 3
    return events


def test_nothing_is_counted_before_the_article_comes(store, waiting):
    assert len(waiting) == store.count_waiting() == 3
    assert not store.read_reader("reader").history
    assert store.stream_lengths().count(0) == store.partitions


def test_they_are_taken_when_their_article_comes(store, make_article, waiting):
    store.write_articles([make_article("new")])
    assert store.release_events(["new"], LATER) == 2
    (entry,) = store.read_reader("reader").history
    assert (entry.article_id, entry.occurred_at) == ("new", NOW - 5)
    assert store.read_reader("other").reactions == {"new": EventKind.LIKE}
    assert [one.event.article_id for one in store.read_waiting()] == ["never"]


def test_an_event_that_is_sent_again_waits_once(store, waiting):
    assert store.hold_events(waiting) == [Outcome.WAITING] * 3
    assert store.count_waiting() == 3


def test_an_event_whose_article_came_meanwhile_does_not_wait(store, make_article, make_event):
    store.write_articles([make_article("new")])
    events = [make_event(article_id="new"), make_event(article_id="never")]
    assert store.hold_events(events) == [None, Outcome.WAITING]


def test_an_event_that_was_taken_is_recognised_when_it_is_sent_again(store, make_article, waiting):
    store.write_articles([make_article("new")])
    store.release_events(["new"], LATER)
    again = [replace(event, received_at=LATER) for event in waiting[:2]]
    assert store.append_events(again) == [Outcome.DUPLICATE] * 2


def test_taking_that_was_interrupted_counts_nothing_twice(store, make_article, waiting):
    store.write_articles([make_article("new")])
    store.append_events([replace(waiting[0], received_at=LATER)])  # and then the process died
    assert store.release_events(["new"], LATER) == 2
    assert len(store.read_reader("reader").history) == 1
    assert store.count_waiting() == 1


def test_what_the_writer_of_the_article_did_not_take_is_settled(store, make_article, waiting):
    store.write_articles([make_article("new")])
    assert store.settle_waiting(LATER) == (2, 0)
    assert len(store.read_reader("reader").history) == 1
    assert store.count_waiting() == 1


def test_an_event_is_dropped_after_its_hours(store, waiting):
    end = NOW + WAITING_HOURS * 3600
    assert store.settle_waiting(end) == (0, 0)
    assert store.settle_waiting(end + 1) == (0, len(waiting))
    assert store.count_waiting() == 0


def test_no_more_wait_than_the_bound(store, make_event):
    store.waiting_max = 2
    events = [make_event(article_id=f"never-{n}") for n in range(3)]
    assert store.hold_events(events) == [Outcome.WAITING, Outcome.WAITING, Outcome.UNKNOWN]
    assert store.hold_events(events[:1]) == [Outcome.WAITING]


@pytest.mark.parametrize("article_id", ["a*", "a?c", "[abc]", "a\\c", "a"])
def test_an_id_takes_only_its_own_events(store, make_article, make_event, article_id):
    other = "abc"
    store.hold_events([make_event(article_id=article_id), make_event(article_id=other)])
    store.write_articles([make_article(article_id)])
    assert store.release_events([article_id], LATER) == 1
    assert [one.event.article_id for one in store.read_waiting()] == [other]


def test_the_origin_of_each_comes_back_with_it(store, make_event):
    device = Origin("0a1b", is_fresh=True)
    store.hold_events([make_event(article_id="new")], device)
    store.hold_events([make_event(article_id="new")])
    assert {one.origin for one in store.read_waiting()} == {device, None}


def test_an_event_of_an_id_that_was_merged_meanwhile_is_the_readers(store, make_article, waiting):
    store.merge_reader("other", "account", LATER)
    store.write_articles([make_article("new")])
    store.release_events(["new"], LATER)
    assert store.read_reader("account").reactions == {"new": EventKind.LIKE}
    assert waiting


def test_erasing_a_reader_takes_what_waits(store, waiting):
    store.erase_reader("reader")
    assert [one.event for one in store.read_waiting()] == [waiting[1]]


def test_erasing_a_reader_takes_what_waits_under_a_merged_id(store, waiting):
    store.merge_reader("other", "reader", LATER)
    store.erase_reader("reader")
    assert store.count_waiting() == 0
    assert waiting


def test_the_export_holds_what_waits(store, waiting):
    held = store.export_reader("other")["waiting"]
    assert [(one["article_id"], one["kind"]) for one in held] == [("new", "like")]
    assert waiting
