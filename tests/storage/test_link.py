"""The wire to the store: what is on its way, scripts that were lost, connections that were cut."""

from dataclasses import replace

import pytest
from redis.exceptions import NoScriptError

from feed.domain import StoreUnavailableError
from feed.storage import node as node_module
from feed.storage.node import Node
from feed.storage.reader_part import AT_ONCE
from feed.storage.records import Outcome, RecordType
from feed.storage.redis_store import RedisStore
from feed.storage.scripts import APPEND_EVENTS


def saved(store, user_id="reader"):
    """Return how many exposure records there are."""
    records = store.read_stream(store._keys.partition(user_id), "0-0", 100)
    return sum(record.type is RecordType.SERVED for record in records)


def test_a_record_on_its_way_is_kept_when_its_reply_has_come(store, make_served):
    kept = store.begin_save(make_served("first"), new_slate=True)
    assert store.read_for_page("reader", "nothing")[0] is None  # another connection meanwhile
    kept()
    assert saved(store) == 1
    assert store.read_for_page("reader", "first")[0] == make_served("first")


def test_two_records_on_their_way_at_once_are_both_kept(store, make_served):
    first = store.begin_save(make_served("first"), new_slate=True)
    second = store.begin_save(make_served("second", user_id="other"), new_slate=True)
    second()
    first()
    assert (saved(store), saved(store, "other")) == (1, 1)


def test_a_script_the_store_has_forgotten_is_sent_again(store, make_served, make_event):
    for request_id in ("first", "second"):
        store._link.call("x", "SCRIPT", "FLUSH")
        store.save_served(make_served(request_id), new_slate=True)
        assert store.read_for_page("reader", request_id)[0] is not None
    store._link.call("x", "SCRIPT", "FLUSH")
    store.append_events([make_event()])
    assert saved(store) == 2


def test_an_error_reply_holds_on_to_nothing_that_was_sent(store):
    """A traceback would keep checkpoints of many megabytes until a rare collection of cycles."""
    link = store._link
    (reply,) = link._exchange(link._node_of("x"), [("EVALSHA", "0" * 40, 0)])
    assert isinstance(reply, NoScriptError)
    assert reply.__traceback__ is None


def test_a_turn_is_sent_when_the_one_before_it_was_answered():
    seen = []

    class Connection:
        def can_read(self):
            return False

        def send_packed_command(self, data):
            seen.append(data[0].count(b"PING"))

        def read_response(self):
            seen.append("reply")
            return b"PONG"

    node = Node(Connection, 0.0)
    assert node.send([("PING",)] * 5, at_once=2).replies() == [b"PONG"] * 5
    assert seen == [2, "reply", "reply", 2, "reply", "reply", 1, "reply"]
    seen.clear()
    assert node.send([("PING",)] * 3).replies() == [b"PONG"] * 3
    assert seen == [3, "reply", "reply", "reply"]


def test_a_batch_lets_others_take_turns(store, make_event, monkeypatch):
    """No piece that is sent holds more events than a feed may wait for."""
    sent = []
    write = node_module._write

    def spy(connection, commands):
        scripts = [c for c in commands if c[0] == "EVALSHA" and c[1] == APPEND_EVENTS.sha]
        sent.append(sum((len(c) - 3 - int(c[2]) - 5) // 8 for c in scripts))
        write(connection, commands)

    monkeypatch.setattr(node_module, "_write", spy)
    one_reader = [make_event(event_id=f"one-{n}", article_id=f"a{n}") for n in range(90)]
    many_readers = [make_event(event_id=f"m-{n}", user_id=f"reader-{n}") for n in range(200)]
    outcomes = store.append_events([*one_reader, *many_readers])
    assert set(outcomes) == {Outcome.ACCEPTED}
    assert sum(sent) >= 290  # more where the script had to be loaded first
    assert max(sent) <= AT_ONCE
    assert set(store.append_events(one_reader)) == {Outcome.DUPLICATE}


def test_a_connection_that_the_server_has_closed_is_not_used_again(
    store, store_settings, make_event
):
    store.append_events([make_event()])
    other = RedisStore(store_settings)
    assert other._link.call("x", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 0
    assert len(store.read_reader("reader").history) == 1
    other.close()


def test_a_record_whose_reply_does_not_come_is_not_called_kept(store, store_settings, make_served):
    hasty = RedisStore(replace(store_settings, store_timeout_ms=50))
    hasty.save_served(make_served("first"), new_slate=True)
    store._link.call("x", "CLIENT", "PAUSE", 300, "ALL")
    kept = hasty.begin_save(make_served("second"), new_slate=True)
    with pytest.raises(StoreUnavailableError):
        kept()
    hasty.close()
