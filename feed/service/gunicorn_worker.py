"""The gunicorn worker of the web processes: fair about connections, quick to answer the next."""

from __future__ import annotations

import mmap
import select
import struct
import threading
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

SLOTS = 1024
PATIENCE_S = 0.02
"""How long a process leaves a new connection to one that has fewer."""

LINGER_MS = 20
"""How long a thread waits for the next request of a connection that it has just served."""

_LOOK_AGAIN_S = 0.0005
_HELD_MAX = 262_144
_COUNT = struct.Struct("i")

# Made once in the master, before any fork, so that all processes see the same memory. A slot
# holds 1 + the number of connections of a process that accepts, 0 if there is no such process.
_table = mmap.mmap(-1, SLOTS * _COUNT.size)


class FairWorker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker that lets whoever has fewer connections accept the next one.

    All processes wait on one listening socket, and the kernel tends to wake the same one: a few
    kept-alive connections, of a proxy say, could all end on one process while the others idle.

    Half of the threads may stay with their connection for as long as its requests follow closely:
    the way back through the main thread's poller costs as much as all the rest of gunicorn.
    """

    _accepting = False
    _connections = 0
    _declined_at: float | None = None

    def init_process(self) -> None:
        """Prepare what the threads share; in the process that serves."""
        self._stayers = threading.BoundedSemaphore(max(1, self.cfg.threads // 2))
        super().init_process()

    @property
    def nr_conns(self) -> int:
        """How many connections this process has; the other processes see it."""
        return self._connections

    @nr_conns.setter
    def nr_conns(self, count: int) -> None:
        self._connections = count
        if self._accepting:
            _put(self.age, count + 1)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        """Begin or end accepting, and say so to the other processes."""
        super().set_accept_enabled(enabled)
        _put(self.age, self._connections + 1 if enabled else 0)

    def accept(self, listener: Any) -> None:
        """Take a new connection, unless another process has fewer and takes it soon."""
        now = time.monotonic()
        if self._connections > fewest_connections():
            if self._declined_at is None:
                self._declined_at = now
            if now - self._declined_at < PATIENCE_S:
                time.sleep(_LOOK_AGAIN_S)  # the listener stays readable: we are asked again
                return
        self._declined_at = None
        super().accept(listener)

    def handle(self, conn: Any) -> Any:
        """Answer a connection's request, and those that follow it closely."""
        kept = super().handle(conn)
        if kept is not True or not self._stayers.acquire(blocking=False):
            return kept
        try:
            while kept is True and self.alive and _has_more(conn):
                kept = super().handle(conn)
        finally:
            self._stayers.release()
        return kept

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request, its head and body in one piece."""
        socket = conn.sock
        conn.sock = held = _Held(socket)
        try:
            return bool(super().handle_request(req, conn))
        finally:
            conn.sock = socket
            held.flush()


def forget_connections(worker: Any) -> None:
    """Take a process that has ended out of the count; for the master."""
    _put(worker.age, 0)


def fewest_connections() -> int:
    """Return how many connections the process with the fewest has."""
    counts = [count for (count,) in _COUNT.iter_unpack(_table[:]) if count]
    return min(counts, default=1) - 1


def _put(age: int, count: int) -> None:
    _COUNT.pack_into(_table, age % SLOTS * _COUNT.size, count)


def _has_more(conn: Any) -> bool:
    """Wait a moment for the next request of a connection; return whether it has begun to come."""
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_MS))


class _Held:
    """A socket whose small writes leave together."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._parts: list[bytes] = []
        self._size = 0

    def sendall(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > _HELD_MAX:
            self.flush()

    def flush(self) -> None:
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            self._socket.sendall(data)

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._socket, name)
