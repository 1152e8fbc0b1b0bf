"""Encoders in processes of their own, for large loads.

Threads that encode hold each other up, because a quarter of the work is Python's own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import structlog

from feed.arrays import Matrix
from feed.features.embeddings import Encoder, Lane, SentenceEncoder

STARTED_FROM = 256
"""Texts that are worth the second of processor time that a process takes to start."""
KEPT_S = 20.0
"""Seconds without work after which a process is ended: it holds 150 MB."""
_MOST = 3
"""Processes beside the worker, however many processors there are."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much processor time a container gets: microseconds in a period, or max."""

log = structlog.get_logger("feed.catalogue")


def one_thread_encoder() -> Encoder:
    """Return what each process encodes with."""
    return SentenceEncoder(threads=1)


def spare_processors(quota: Path = _QUOTA) -> int:
    """Return how many processors this process may use beside its own, 3 at most.

    Args:
        quota: the file of the control group (version 2) that limits processor time.
    """
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    with suppress(OSError, ValueError):  # there is no such file, or no limit
        given_us, period_us = map(int, quota.read_text().split())
        processors = min(processors, given_us // period_us)
    return max(0, min(_MOST, processors - 1))


class EncoderProcesses:
    """Starts processes when there is much to encode, and ends them when there is nothing more.

    Safe between threads. A process that dies is started again for the next texts; a process
    whose parent dies ends by itself.

    Args:
        count: of processes; 0 for none.
        make_encoder: called in each of them; a function of a module.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        count: int,
        make_encoder: Callable[[], Encoder] = one_thread_encoder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = [_EncoderProcess(make_encoder) for _ in range(count)]
        self._clock = clock
        self._used_at: float | None = None
        self._lock = threading.Lock()

    def lanes(self, texts: int) -> list[Lane]:
        """Return what encodes beside this process; nothing where it is not worth a start.

        A lane returns None for texts that its process could not encode.

        Args:
            texts: how many are to be encoded.
        """
        with self._lock:
            if texts < STARTED_FROM and self._used_at is None:
                return []
            self._used_at = self._clock()
        return [self._noted(process.encode) for process in self._processes]

    def rest(self) -> None:
        """End the processes if they have had nothing to do for a while."""
        with self._lock:
            if self._used_at is not None and self._clock() - self._used_at > KEPT_S:
                self._end()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._end()

    def _noted(self, encode: Lane) -> Lane:
        def noted(texts: Sequence[str]) -> Matrix | None:
            made = encode(texts)
            with self._lock:
                self._used_at = self._clock()
            return made

        return noted

    def _end(self) -> None:
        self._used_at = None
        for process in self._processes:
            process.end()


class _EncoderProcess:
    """One process, which starts at its first texts. One thread at a time may ask it."""

    def __init__(self, make_encoder: Callable[[], Encoder]) -> None:
        self._make_encoder = make_encoder
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def encode(self, texts: Sequence[str]) -> Matrix | None:
        """Return f32 [n, d], or None if the process cannot be started or has died."""
        try:
            if self._process is None:
                self._start()
            if self._connection is None:
                return None
            self._connection.send(texts)
            made: Matrix = self._connection.recv()
        except (EOFError, OSError) as error:
            log.warning("encoder_process_failed", error=str(error), kind=type(error).__name__)
            self.end()
            return None
        return made

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
        if self._connection is not None:
            self._connection.close()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(theirs, self._make_encoder), name="feed-encoder", daemon=True
        )
        try:
            self._process.start()
        finally:
            theirs.close()


def _serve(connection: Connection[Any, Any], make_encoder: Callable[[], Encoder]) -> None:
    """Encode what comes in until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker ends this process
    encoder = make_encoder()
    while True:
        try:
            connection.send(encoder.encode(connection.recv()))
        except (EOFError, OSError):
            return
