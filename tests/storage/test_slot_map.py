"""Which node of a cluster is asked: after a fail-over, a cut link and a change of addresses."""

import pytest
from redis.exceptions import ClusterDownError, ConnectionError  # noqa: A004

from feed.domain import InvalidInputError
from feed.storage.slot_map import SlotMap, read_seeds

LAST = 16_383


class Told:
    """A node that tells a map, or does not answer."""

    def __init__(self, slots=None, *, state=b"ok"):
        self.slots, self.state = slots, state

    def send(self, commands):
        assert commands == [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
        if self.slots is None:
            raise ConnectionError("it does not answer")
        return self

    def replies(self):
        return [b"cluster_state:" + self.state + b"\r\n", self.slots]


def test_a_node_that_was_cut_off_is_not_believed():
    old, new = [[0, LAST, [b"one", 1], [b"two", 2]]], [[0, LAST, [b"two", 2], [b"one", 1]]]
    nodes = {("one", 1): Told(old, state=b"fail"), ("two", 2): Told(new)}
    slots = SlotMap([("one", 1), ("two", 2)], nodes.get)
    for _ in range(20):
        slots.refresh()
        assert slots.node_of("any") is nodes["two", 2]
    nodes["two", 2].slots = None
    slots.refresh()
    assert slots.node_of("any") is nodes["one", 1]  # better than none


def test_the_names_are_asked_again_when_every_address_has_changed():
    nodes = {("name", 1): Told([[0, LAST, [b"10.0.0.1", 1]]]), ("10.0.0.1", 1): Told()}
    slots = SlotMap([("name", 1)], nodes.get)
    assert slots.primaries() == [nodes["10.0.0.1", 1]]
    nodes["name", 1].slots, nodes["10.0.0.9", 1] = [[0, LAST, [b"10.0.0.9", 1]]], Told()
    slots.refresh()
    assert slots.node_of("any") is nodes["10.0.0.9", 1]


def test_slots_of_nobody_and_a_cluster_of_nobody_are_errors():
    nodes = {("one", 1): Told([[0, 5, [None, 1]]])}
    slots = SlotMap([("one", 1)], nodes.get)
    assert slots.primaries() == [nodes["one", 1]]
    with pytest.raises(ClusterDownError):
        slots.node_of("any")
    nodes["one", 1].slots = None
    with pytest.raises(ConnectionError):
        slots.refresh()


def test_the_address_of_a_cluster_names_several_nodes():
    assert read_seeds("redis://one:7000") == [("one", 7000)]
    assert read_seeds("rediss://me:s@c,ret@one,two:7001") == [("one", 6379), ("two", 7001)]
    for wrong in ("unix:///tmp/s", "one:7000", "redis://one:7000,", "redis://one:port"):
        with pytest.raises(InvalidInputError, match="FEED_REDIS_URL"):
            read_seeds(wrong)
