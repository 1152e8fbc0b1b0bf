"""One server of the store: its connections, its pending commands, and its circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import pack_command
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004

from feed.storage.breaker import Breaker

Command = tuple[Any, ...]


class RestingError(ConnectionError):
    """The server has just not answered, and is left alone for a moment."""


class Node:
    """A server, with as many connections as there are simultaneous callers.

    Args:
        new_connection: makes a redis-py connection, which connects when it is first used.
        rest_s: seconds for which the server is left alone when it does not answer; 0: never.
    """

    def __init__(self, new_connection: Callable[[], Any], rest_s: float) -> None:
        self._new_connection = new_connection
        self._idle: list[Any] = []  # the last used comes first; pop and append are atomic
        self._breaker = Breaker(rest_s)

    def send(self, commands: Sequence[Command], at_once: int = 0) -> Sent:
        """Send commands and return at once.

        The server does all that it has received of a connection before it turns to the next one.
        So what takes it long should not be sent in one piece: others would wait for all of it.

        Args:
            commands: in the order in which they are done.
            at_once: how many are sent before their replies are read; 0: all of them.

        Raises:
            RedisError: the server cannot be reached, or is not called for a moment.
        """
        if not self._breaker.admits(time.monotonic()):
            raise RestingError("it has just not answered, and is left alone for a moment")
        connection, count = self._take(), max(1, len(commands))
        size = at_once or count
        turns = [commands[start : start + size] for start in range(0, count, size)]
        try:
            _write(connection, turns[0])
        except BaseException:
            self.lose(connection)
            raise
        return Sent(self, connection, turns)

    def give_back(self, connection: Any) -> None:
        """Keep a connection for the next caller, once all its replies are read."""
        self._breaker.succeeded()
        self._idle.append(connection)

    def lose(self, connection: Any) -> None:
        """Close a connection that has failed."""
        self._breaker.failed(time.monotonic())
        connection.disconnect()

    def close(self) -> None:
        """Close every connection that nobody uses."""
        while self._idle:
            self._idle.pop().disconnect()

    def _take(self) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._new_connection()
        if _is_stale(connection):
            connection.disconnect()
        return connection


class Sent:
    """Commands whose replies must still be read; the first turn of them was sent."""

    __slots__ = ("_connection", "_node", "_turns")

    def __init__(self, node: Node, connection: Any, turns: Sequence[Sequence[Command]]) -> None:
        self._node = node
        self._connection = connection
        self._turns = turns

    def replies(self) -> list[Any]:
        """Wait for all replies, sending each turn after the last; an error reply is not raised.

        Raises:
            RedisError: the server does not answer, or too late.
        """
        connection, replies = self._connection, []
        try:
            for number, turn in enumerate(self._turns):
                if number:
                    _write(connection, turn)
                replies += [_reply(connection) for _ in turn]
        except BaseException:
            self._node.lose(connection)
            raise
        self._node.give_back(connection)
        return replies


def _is_stale(connection: Any) -> bool:
    """Return whether the server has closed an idle connection, or said what nobody asked for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _write(connection: Any, commands: Sequence[Command]) -> None:
    connection.send_packed_command([b"".join(map(pack_command, commands))])


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        # Its traceback would keep what was sent until the garbage collector finds the cycle.
        return error.with_traceback(None)
