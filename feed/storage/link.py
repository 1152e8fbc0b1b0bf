"""Sends commands to the store, one server or a cluster, and turns every failure into one error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from feed.domain import StoreUnavailableError
from feed.storage.confirmation import Confirmation, UnconfirmedError
from feed.storage.connectors import node_connector, server_connector
from feed.storage.node import Command, Node, RestingError, Sent
from feed.storage.scripts import Script
from feed.storage.slot_map import Address, SlotMap, read_seeds

REDIRECTS_MAX = 3
REFRESH_SECONDS = 1.0

_MOVED = (MovedError, AskError)
_UNAVAILABLE = (
    *_MOVED,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
    UnconfirmedError,
)
_UNAVAILABLE_WORDS = ("OOM", "LOADING", "MISCONF", "NOREPLICAS", "BUSY", "FULL", "DB")
"""Error replies that mean "not now", or that there is no such database; any other error reply is a
defect of this code."""


class StoreRefusedError(StoreUnavailableError):
    """The store answers, but does not take commands now: it is full, loading or read-only."""


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call of a Lua script: its keys (all with one hash tag) and arguments."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[Any, ...]


class Link:
    """Connections to one server, or to every node of a cluster, with one timeout.

    Replies are raw: bytes, integers and lists, as in RESP2. There are no hidden retries: a failed
    round trip raises an error at once, and the next one opens a new connection.

    Args:
        url: redis://, rediss:// or unix:// address; of a cluster, `redis://first:port,second:port`
            names several nodes, of which one must answer.
        cluster: the address names nodes of a Redis Cluster.
        timeout_s: seconds that one round trip, or connecting, may take.
        rest_s: seconds for which a node that does not answer is left alone; 0: never.
        confirmed_by: what must have a change before it is kept, as in `Confirmation`.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: bool,
        timeout_s: float,
        rest_s: float = 0.0,
        confirmed_by: str = "primary",
    ) -> None:
        self._url = url
        self._is_cluster = cluster
        self._timeout_s = timeout_s
        self._rest_s = rest_s
        self._confirmation = Confirmation(confirmed_by, timeout_s)
        self._refreshed_at = float("-inf")
        self._nodes: dict[str, Node] = {}
        self._map = SlotMap(read_seeds(url) if cluster else [], self._node_at)
        if not cluster:
            self._nodes[""] = Node(server_connector(url, timeout_s), rest_s)

    def call(self, key: str, *command: Any) -> Any:
        """Return the reply to one command on the node that holds `key`."""
        return self.pipeline(key, [command])[0]

    def pipeline(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands that all belong to the node of `key`, in one round trip.

        Raises:
            StoreUnavailableError: the store does not answer, is full, or answers too late.
        """
        with _one_error:
            for _ in range(REDIRECTS_MAX):
                replies = self._exchange(self._node_of(key), commands)
                if not self._redirected(replies):
                    break
            return _checked(replies)

    def change(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """Do what `pipeline` does, for commands that change something people were told is kept.

        Raises:
            StoreRefusedError: what must confirm the change has not done so in time.
            StoreUnavailableError: as `pipeline`.
        """
        replies = self.pipeline(key, [*commands, *self._confirmation.commands])
        with _one_error:
            self._confirmation.check(replies)
        return replies

    def on_one_node(self, first: str, second: str) -> bool:
        """Return whether two keys live on one node, so that one round trip can read both."""
        if not self._is_cluster:
            return True
        with _one_error:
            return self._node_of(first) is self._node_of(second)

    def scripts(self, calls: Sequence[ScriptCall], at_once: int = 0) -> list[Any]:
        """Return the results of script calls; one round trip for each node involved.

        Args:
            calls: of any nodes.
            at_once: calls of one round trip, if they would hold a node for long; 0: all of them.

        Raises:
            StoreRefusedError: what must confirm the changes has not done so in time.
            StoreUnavailableError: as `pipeline`; some of the calls may have been done.
        """
        results: list[Any] = [None] * len(calls)
        with _one_error:
            waiting = list(range(len(calls)))
            for _ in range(REDIRECTS_MAX):
                waiting = self._run_scripts(calls, waiting, results, at_once)
                if not waiting:
                    break
            return _checked(results)

    def begin(self, commands: Sequence[Command], call: ScriptCall) -> Callable[[], Any]:
        """Send commands and a script call, all to one node, and return before they are answered.

        The caller must call the returned function, which waits and returns the script's result.
        Both may raise the errors of `pipeline`. The commands must be safe to repeat.
        """
        with _one_error:
            sent = self._send(self._node_of(call.keys[0]), [*commands, _evalsha(call)])

        def finish() -> Any:
            with _one_error:
                replies = self._replies(sent)
            if self._redirected(replies) or isinstance(replies[-1], NoScriptError):
                if commands:
                    self.pipeline(call.keys[0], commands)
                return self.scripts([call])[0]
            with _one_error:
                return _checked(replies)[-1]

        return finish

    def spread(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        """Return the replies to (key, command) pairs; one round trip for each node involved.

        A node that does not answer does not delay the others; its replies are None.

        Raises:
            StoreUnavailableError: no node answers, or one refuses.
        """
        replies: list[Any] = [None] * len(commands)
        with _one_error:
            waiting = list(range(len(commands)))
            for _ in range(REDIRECTS_MAX):
                self._ask_every_node(commands, waiting, replies)
                waiting = [i for i in waiting if isinstance(replies[i], _MOVED)]
                if not self._redirected(replies):
                    break
            return _checked(replies)

    def _ask_every_node(
        self, commands: Sequence[tuple[str, Command]], waiting: Sequence[int], replies: list[Any]
    ) -> None:
        nodes = self._by_node(commands[i][0] for i in waiting)
        silent: list[Exception] = []
        for node, indexes in nodes:
            places = [waiting[i] for i in indexes]
            try:
                answers = self._exchange(node, [commands[i][1] for i in places])
            except (RedisError, OSError) as error:
                silent.append(error)
                continue
            for place, answer in zip(places, answers, strict=True):
                replies[place] = answer
        if silent and len(silent) == len(nodes):
            raise silent[0]

    def scan(self, count: int) -> Iterator[list[bytes]]:
        """Yield every key, in lists that each live on one node; a key may come twice."""
        with _one_error:
            for node in self._every_node():
                cursor: Any = b"0"
                while True:
                    reply = self._exchange(node, [("SCAN", cursor, "COUNT", count)])
                    cursor, keys = _checked(reply)[0]
                    yield keys
                    if cursor == b"0":
                        break

    def every_node(self, *command: Any) -> list[Any]:
        """Return every primary node's reply to one command."""
        with _one_error:
            return [_checked(self._exchange(p, [command]))[0] for p in self._every_node()]

    def close(self) -> None:
        """Close every connection."""
        for node in self._nodes.values():
            node.close()

    def _run_scripts(
        self, calls: Sequence[ScriptCall], waiting: list[int], results: list[Any], at_once: int
    ) -> list[int]:
        """Run the waiting calls; return those that must be run again (script lost, slot moved)."""
        again: list[int] = []
        for node, positions in self._by_node(calls[i].keys[0] for i in waiting):
            indexes = [waiting[i] for i in positions]
            commands = [_evalsha(calls[i]) for i in indexes]
            if any(calls[i].script.is_confirmed for i in indexes):
                commands += self._confirmation.commands
                replies = self._exchange(node, commands, at_once)
                self._confirmation.check(replies)
            else:
                replies = self._exchange(node, commands, at_once)
            lost = {
                calls[i].script.source
                for i, r in zip(indexes, replies, strict=True)
                if isinstance(r, NoScriptError)
            }
            for source in lost:
                _checked(self._exchange(node, [("SCRIPT", "LOAD", source)]))
            moved = self._redirected(replies)
            for index, reply in zip(indexes, replies, strict=True):
                results[index] = reply
                if isinstance(reply, NoScriptError) or (moved and isinstance(reply, _MOVED)):
                    again.append(index)
        return again

    def _by_node(self, keys: Iterable[str]) -> list[tuple[Node, list[int]]]:
        """Group the positions of keys by the node that holds them."""
        nodes: dict[int, tuple[Node, list[int]]] = {}
        for index, key in enumerate(keys):
            node = self._node_of(key)
            nodes.setdefault(id(node), (node, []))[1].append(index)
        return list(nodes.values())

    def _exchange(self, node: Node, commands: Sequence[Command], at_once: int = 0) -> list[Any]:
        return self._replies(self._send(node, commands, at_once))

    def _send(self, node: Node, commands: Sequence[Command], at_once: int = 0) -> Sent:
        try:
            return node.send(commands, at_once)
        except RestingError:
            raise
        except (RedisError, OSError):
            self._refresh_cluster()  # a replica may have taken over
            raise

    def _replies(self, sent: Sent) -> list[Any]:
        try:
            return sent.replies()
        except (RedisError, OSError):
            self._refresh_cluster()
            raise

    def _node_of(self, key: str) -> Node:
        if not self._is_cluster:
            return self._nodes[""]
        try:
            return self._map.node_of(key)
        except ClusterDownError:
            self._refresh_cluster()
            raise

    def _every_node(self) -> list[Node]:
        return self._map.primaries() if self._is_cluster else [self._nodes[""]]

    def _node_at(self, address: Address) -> Node:
        name = f"{address[0]}:{address[1]}"
        if name not in self._nodes:
            connector = node_connector(self._url, *address, self._timeout_s)
            self._nodes.setdefault(name, Node(connector, self._rest_s))
        return self._nodes[name]

    def _refresh_cluster(self) -> None:
        """Read the map of slots anew from any node that answers, at most once a second."""
        if not self._is_cluster or time.monotonic() - self._refreshed_at < REFRESH_SECONDS:
            return
        self._refreshed_at = time.monotonic()
        with suppress(RedisError, OSError):
            self._map.refresh()

    def _redirected(self, replies: Iterable[Any]) -> bool:
        """Return whether a slot has moved; the map of slots is then read anew."""
        moved = any(isinstance(reply, _MOVED) for reply in replies)
        if moved:
            self._refreshed_at = float("-inf")
            self._refresh_cluster()
        return moved


def _evalsha(call: ScriptCall) -> Command:
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
    return replies


class _OneError:
    """Turns every failure of the store in its `with` block into `StoreUnavailableError`.

    A class and no generator, because a request enters it five times, and a generator is slow there.
    """

    def __enter__(self) -> None:
        """Watch the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise the one error; any other goes on as it is."""
        if error is None:
            return
        if isinstance(error, ResponseError):
            words = str(error).split(maxsplit=1)
            if isinstance(error, _UNAVAILABLE) or (words and words[0] in _UNAVAILABLE_WORDS):
                raise StoreRefusedError(f"the store refused the command: {error}") from error
        elif isinstance(error, RedisError | OSError):
            raise StoreUnavailableError(f"the store does not answer: {error}") from error


_one_error = _OneError()
