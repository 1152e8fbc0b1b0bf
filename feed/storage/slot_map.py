"""Which node of a Redis Cluster holds a key."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlparse

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ClusterDownError, RedisError

from feed.domain import InvalidInputError
from feed.storage.node import Node

DEFAULT_PORT = 6379

Address = tuple[str, int]


class SlotMap:
    """The primary of every slot, as a node of the cluster has last told it.

    `RedisCluster` of redis-py holds such a map too, but it cannot be made while the node that it
    happens to ask for its commands is dead, and it takes the word of a node that is cut off.

    Args:
        seeds: where to ask first, and whenever no node of the last map answers, since names may
            by then lead to other addresses.
        node_at: returns the node at an address.
    """

    def __init__(self, seeds: Sequence[Address], node_at: Callable[[Address], Node]) -> None:
        self._seeds = list(seeds)
        self._node_at = node_at
        self._known: list[Address] = []
        self._primaries: list[Address | None] = []

    def node_of(self, key: str) -> Node:
        """Return the node that holds a key.

        Raises:
            RedisError: no node answers, or none serves the key.
        """
        if not self._primaries:
            self.refresh()
        address = self._primaries[key_slot(key.encode())]
        if address is None:
            raise ClusterDownError("no node serves this key")
        return self._node_at(address)

    def primaries(self) -> list[Node]:
        """Return every primary."""
        if not self._primaries:
            self.refresh()
        return [self._node_at(address) for address in dict.fromkeys(filter(None, self._primaries))]

    def refresh(self) -> None:
        """Ask nodes until one that is in touch with the most of them says which serves what.

        A node that was cut off still believes in its old map; its word counts if there is no other.

        Raises:
            RedisError: no node answers.
        """
        known = random.sample(self._known, len(self._known))
        answer, failure = None, RedisError("the address names no node of a cluster")
        for address in dict.fromkeys([*known, *self._seeds]):
            try:
                info, slots = self._node_at(address).send(ASK).replies()
            except (RedisError, OSError) as error:
                failure = error  # type: ignore[assignment]
                continue
            for reply in (info, slots):
                if isinstance(reply, RedisError):
                    raise reply
            if answer is None or b"cluster_state:ok" in info:
                answer = address, slots
            if b"cluster_state:ok" in info:
                break
        if answer is None:
            raise failure
        self._take(*answer)

    def _take(self, told_by: Address, slots: list[Any]) -> None:
        primaries: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known: dict[Address, None] = {}
        for first, last, *nodes in slots:
            # A node that does not know its own name leaves it out.
            places = [((host or b"").decode() or told_by[0], port) for host, port, *_ in nodes]
            primaries[first : last + 1] = [places[0]] * (last + 1 - first)
            known |= dict.fromkeys(places)
        self._known, self._primaries = list(known), primaries


ASK = [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]


def read_seeds(url: str) -> list[Address]:
    """Return the nodes that the address of a cluster names: `redis://first:port,second:port`.

    Raises:
        InvalidInputError: it is not the address of nodes on a network.
    """
    scheme, _, rest = url.partition("://")
    places = [urlparse(f"//{place}") for place in rest.rpartition("@")[2].split(",")]
    try:
        seeds = [(place.hostname or "", place.port or DEFAULT_PORT) for place in places]
    except ValueError:
        seeds = []
    if scheme not in {"redis", "rediss"} or not seeds or not all(host for host, _ in seeds):
        raise InvalidInputError(
            "FEED_REDIS_URL",
            "must be redis://host:port, or rediss://, for a cluster; commas between several nodes",
        )
    return seeds
