"""Connections whose address is checked and whose whole time is limited."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import httpcore
import httpx

CheckAddress = Callable[[str, str], None]
"""Called with a host and each address it has; raises InvalidInputError for one that must not be
reached."""


class Deadline:
    """A limit to the whole time of a download, however often a part of it arrives.

    Args:
        limit_s: seconds from now.
    """

    def __init__(self, limit_s: float) -> None:
        self._end = time.monotonic() + limit_s

    def left(self, at_most_s: float | None = None) -> float:
        """Return the seconds that are left, but at most so many.

        Raises:
            httpx.ReadTimeout: none are left.
        """
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise httpx.ReadTimeout("the deadline is over")
        return left_s if at_most_s is None else min(left_s, at_most_s)


class CheckedTransport(httpx.BaseTransport):
    """Sends requests only to addresses that were checked.

    The connection goes to the very address that was checked, so that another answer of the name
    service in between changes nothing. It uses no proxy, which would choose the address itself.

    Args:
        check: refuses addresses.
        deadline: of everything that is sent and received.
    """

    def __init__(self, check: CheckAddress, deadline: Deadline) -> None:
        network = _CheckedNetwork(check, deadline)
        self._pool = httpcore.ConnectionPool(ssl_context=trusted(), network_backend=network)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the name of the host stays that of the request for TLS."""
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_AnswerStream(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class _AnswerStream(httpx.SyncByteStream):
    """The body of an answer as httpx wants it."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _CheckedNetwork(httpcore.SyncBackend):
    """Resolves a host, checks every address it has, and connects to one of these."""

    def __init__(self, check: CheckAddress, deadline: Deadline) -> None:
        self._check = check
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        addresses = _resolve(host, port)
        for address in addresses:
            self._check(host, address)
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    address, port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A stream that ends with the deadline, even if its sender sends a byte now and then."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left(timeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def trusted() -> ssl.SSLContext:
    """Return the certificates that the system trusts; reading them takes tens of milliseconds."""
    return ssl.create_default_context()


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError(f"{host} is not known") from None
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
