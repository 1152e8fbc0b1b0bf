"""The gunicorn worker of the web processes: it spreads connections evenly over them."""

from __future__ import annotations

import contextlib
import mmap
import select
import struct
import threading
import time
from typing import Any

import orjson
import structlog
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from feed.service.problems import MEDIA_TYPE, problem_body

SLOTS = 1024
PATIENCE_S = 0.02
"""How long a process leaves a new connection for a process that has fewer."""

LINGER_MS = 20
"""How long a thread waits for another request on the connection that it has just answered."""

LOG_EVERY_S = 1.0
"""How seldom what is no request is logged."""

_STATUS_OF = {
    "LimitRequestLine": 414,
    "ExpectationFailed": 417,
    "LimitRequestHeaders": 431,
    "UnsupportedTransferCoding": 501,
}
"""By the name of gunicorn's error, because not every version has all of them; others are 400."""

log = structlog.get_logger("feed.server")

_RETRY_S = 0.0005
_BUFFER_BYTES = 262_144
_COUNT = struct.Struct("i")

# The master process creates this table before it forks, so all processes share its memory. Each
# web process has one slot: 1 + its number of connections while it accepts new ones, otherwise 0.
_table = mmap.mmap(-1, SLOTS * _COUNT.size)


class FairWorker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker that spreads connections evenly and answers follow-up requests sooner.

    All processes wait on one listening socket, and the kernel tends to wake the same process
    every time. A few kept-alive connections, such as those of a proxy, could all end up in one
    process while the others are idle. So a process that has more connections than another one
    leaves a new connection alone for `PATIENCE_S`, and the other process takes it.

    After an answer, gunicorn gives the connection back to the main thread, which polls it. That
    costs as much as all the rest that gunicorn does for a request. So a thread first waits
    `LINGER_MS` for the next request. Only half of the threads may wait at the same time, so that
    other connections still find a free thread.
    """

    _accepting = False
    _connections = 0
    _declined_at: float | None = None
    _logged_at = -LOG_EVERY_S

    def init_process(self) -> None:
        """Create what the threads share. This runs in the web process, after the fork."""
        self._may_linger = threading.BoundedSemaphore(max(1, self.cfg.threads // 2))
        super().init_process()

    @property
    def nr_conns(self) -> int:
        """The number of connections of this process, which the other processes can read."""
        return self._connections

    @nr_conns.setter
    def nr_conns(self, count: int) -> None:
        self._connections = count
        if self._accepting:
            _put(self.age, count + 1)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the signature is gunicorn's
        """Start or stop accepting connections, and tell the other processes."""
        super().set_accept_enabled(enabled)
        _put(self.age, self._connections + 1 if enabled else 0)

    def accept(self, listener: Any) -> None:
        """Accept a new connection, unless a process with fewer connections can take it soon."""
        now = time.monotonic()
        if self._connections > fewest_connections():
            if self._declined_at is None:
                self._declined_at = now
            if now - self._declined_at < PATIENCE_S:
                time.sleep(_RETRY_S)  # the listener stays readable, so gunicorn calls this again
                return
        self._declined_at = None
        super().accept(listener)

    def handle(self, conn: Any) -> Any:
        """Answer the request on a connection, and the requests that follow it closely."""
        kept = super().handle(conn)
        if kept is not True or not self._may_linger.acquire(blocking=False):
            return kept
        try:
            while kept is True and self.alive and _has_next_request(conn):
                kept = super().handle(conn)
        finally:
            self._may_linger.release()
        return kept

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request, and send the head and the body of the answer together."""
        socket = conn.sock
        conn.sock = buffered = _BufferedSocket(socket)
        try:
            return bool(super().handle_request(req, conn))
        finally:
            conn.sock = socket
            buffered.flush()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what is no HTTP request with a problem document.

        gunicorn would send a page in HTML, and log what was sent, which may name a reader.
        """
        kind = type(exc).__name__
        if not isinstance(exc, errors.ParseException) or kind.startswith("InvalidResponse"):
            super().handle_error(req, client, addr, exc)
            return
        status = _STATUS_OF.get(kind, 400)
        if time.monotonic() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = time.monotonic()
            log.info("no_request", status=status, reason=kind, address=addr[0] if addr else "")
        with contextlib.suppress(OSError):
            client.sendall(_problem_answer(status, _detail(exc, self.cfg)))


def _detail(exc: Exception, cfg: Any) -> str:
    if isinstance(exc, errors.LimitRequestLine):
        return f"the address must be shorter: the first line holds {cfg.limit_request_line} bytes"
    if isinstance(exc, errors.LimitRequestHeaders):
        most, size = cfg.limit_request_fields, cfg.limit_request_field_size
        return f"there may be {most} headers, of {size} bytes each"
    return f"this is no HTTP request: {exc}".encode(errors="replace").decode()


def _problem_answer(status: int, detail: str) -> bytes:
    body = problem_body(status, detail)
    data = orjson.dumps(body)
    head = (
        f"HTTP/1.1 {status} {body['title']}\r\nConnection: close\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(data)}\r\n"
        "X-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + data


def forget_connections(worker: Any) -> None:
    """Clear the slot of a process that has ended. The master calls this."""
    _put(worker.age, 0)


def fewest_connections() -> int:
    """Return the smallest number of connections that any accepting process has."""
    counts = [count for (count,) in _COUNT.iter_unpack(_table[:]) if count]
    return min(counts, default=1) - 1


def _put(age: int, count: int) -> None:
    _COUNT.pack_into(_table, age % SLOTS * _COUNT.size, count)


def _has_next_request(conn: Any) -> bool:
    """Wait up to `LINGER_MS`; return whether the next request has begun to arrive."""
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_MS))


class _BufferedSocket:
    """A socket that collects small writes and sends them together."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._parts: list[bytes] = []
        self._size = 0

    def sendall(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            self._socket.sendall(data)

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._socket, name)
