"""A load generator that costs little: one thread, raw sockets, closed loop, no parsing."""

from __future__ import annotations

import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Load:
    """What one run saw. Latencies in milliseconds, of the answers expected only."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wall_s: float = 0.0
    generator_cpu_s: float = 0.0
    last_body: bytes = b""

    def summary(self) -> dict[str, float]:
        """Return percentiles, rate, and the share of one core the generator itself used."""
        p50, p95, p99 = np.percentile(self.latencies_ms or [np.nan], [50, 95, 99]).tolist()
        return {
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "per_second": len(self.latencies_ms) / self.wall_s,
            "other_answers": float(sum(self.statuses.values()) - len(self.latencies_ms)),
            "generator_core_share": self.generator_cpu_s / self.wall_s,
        }

    def stages(self) -> dict[str, float]:
        """Return the median milliseconds of each stage the service told."""
        return {name: float(np.median(values)) for name, values in self.stages_ms.items()}


def get(path: str, credential: str = "") -> bytes:
    """Return a GET request, with a credential if one is given."""
    shown = f"Authorization: Bearer {credential}\r\n" if credential else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return a POST request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Connection:
    """One connection with one request on its way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.socket = _open(address)
        self.buffer = bytearray()
        self.sent_at = 0.0
        self.needed = -1

    def send(self, request: bytes) -> None:
        self.buffer.clear()
        self.needed = -1
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> tuple[int, bytes, bytes] | None:
        """Return status, head and body when the answer is whole."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("the service closed a connection")
        self.buffer += data
        if self.needed < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(self.buffer[:end])
            self.needed = end + 4 + _length(head)
        if len(self.buffer) < self.needed:
            return None
        head, _, body = bytes(self.buffer).partition(b"\r\n\r\n")
        return int(head[9:12]), head, body


def run_load(
    port: int,
    requests: Iterator[bytes],
    *,
    concurrency: int,
    seconds: float,
    expected: int = 200,
    proof: tuple[bytes, ...] = (),
    on_answer: Callable[[bytes], None] | None = None,
) -> Load:
    """Send requests over kept-alive connections for some seconds, each as its last is answered.

    An answer counts only if it has the expected status and every piece of `proof` in its body: one
    that did less than was asked for would be fast for nothing.
    """
    load = Load()
    selector = selectors.DefaultSelector()
    connections = [_Connection(("127.0.0.1", port)) for _ in range(concurrency)]
    begun, cpu = time.perf_counter(), time.process_time()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(requests))
    waiting = len(connections)
    while waiting:
        for key, _ in selector.select(timeout=30.0):
            connection = key.data
            answer = connection.read()
            if answer is None:
                continue
            _note(load, connection, answer, expected, proof)
            if on_answer is not None and answer[0] == expected:
                on_answer(answer[2])
            following = next(requests, None) if time.perf_counter() - begun < seconds else None
            if following is None:
                waiting -= 1
                selector.unregister(connection.socket)
                connection.socket.close()
            else:
                connection.send(following)
    load.wall_s = time.perf_counter() - begun
    load.generator_cpu_s = time.process_time() - cpu
    return load


def _note(
    load: Load,
    connection: _Connection,
    answer: tuple[int, bytes, bytes],
    expected: int,
    proof: tuple[bytes, ...],
) -> None:
    status, head, body = answer
    load.statuses[status] += 1
    if status != expected or not all(piece in body for piece in proof):
        return
    load.latencies_ms.append((time.perf_counter() - connection.sent_at) * 1e3)
    load.last_body = body
    at = head.find(b"Server-Timing: ")
    if at >= 0:
        line = head[at + 15 : head.find(b"\r", at) if head.find(b"\r", at) > 0 else None]
        for part in line.split(b", "):
            name, _, duration = part.partition(b";dur=")
            load.stages_ms[name.decode()].append(float(duration))


def _open(address: tuple[str, int]) -> socket.socket:
    opened = socket.create_connection(address, timeout=30.0)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0])
