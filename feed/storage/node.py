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

    def send(self, commands: Sequence[Command]) -> Sent:
        """Send commands in one piece and return at once.

        Raises:
            RedisError: the server cannot be reached, or is not called for a moment.
        """
        if not self._breaker.admits(time.monotonic()):
            raise RestingError("it has just not answered, and is left alone for a moment")
        connection = self._take()
        try:
            connection.send_packed_command([b"".join(map(pack_command, commands))])
        except BaseException:
            self.lose(connection)
            raise
        return Sent(self, connection, len(commands))

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
    """Commands that were sent and whose replies must still be read."""

    __slots__ = ("_connection", "_count", "_node")

    def __init__(self, node: Node, connection: Any, count: int) -> None:
        self._node = node
        self._connection = connection
        self._count = count

    def replies(self) -> list[Any]:
        """Wait for the replies; an error reply is an element, not raised.

        Raises:
            RedisError: the server does not answer, or too late.
        """
        try:
            replies = [_reply(self._connection) for _ in range(self._count)]
        except BaseException:
            self._node.lose(self._connection)
            raise
        self._node.give_back(self._connection)
        return replies


def _is_stale(connection: Any) -> bool:
    """Return whether the server has closed an idle connection, or said what nobody asked for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        # Its traceback would keep what was sent until the garbage collector finds the cycle.
        return error.with_traceback(None)
