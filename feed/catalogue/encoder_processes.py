"""Encoders in processes of their own, for large loads.

Threads that encode hold each other up, because a quarter of the work is Python's own.
"""

from __future__ import annotations

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
from feed.piped_process import start_piped

STARTED_FROM = 256
"""Texts that are worth the second of processor time that a process takes to start."""
KEPT_S = 20.0
"""Seconds without work after which a process is ended: it holds 150 MB."""
REST_AFTER_FAILURE_S = 60.0
"""Seconds for which a process that has failed is not started again."""
LIMIT_S = 60.0
"""Seconds that a process may take for a few texts, with its start."""
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

    Safe between threads. A process that has died is started again later; a process whose parent
    dies ends by itself.

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
        self._processes = [_EncoderProcess(make_encoder, clock) for _ in range(count)]
        self._clock = clock
        self._used_at: float | None = None
        self._working = 0
        self._lock = threading.Lock()

    def lanes(self, texts: int) -> list[Lane]:
        """Return what encodes beside this process; nothing where it is not worth a start.

        A lane returns None for texts that its process could not encode.

        Args:
            texts: how many are to be encoded.
        """
        with self._lock:
            if texts >= STARTED_FROM:
                self._used_at = self._clock()
            elif self._used_at is None:
                return []
        return [self._noted(process.encode) for process in self._processes]

    def rest(self) -> None:
        """End the processes if they have had nothing to do for a while."""
        with self._lock:
            if self._used_at is None or self._working:
                return
            if self._clock() - self._used_at > KEPT_S:
                self._end()

    def close(self) -> None:
        """End the processes, when no thread encodes any more."""
        with self._lock:
            self._end()

    def _noted(self, encode: Lane) -> Lane:
        def noted(texts: Sequence[str]) -> Matrix | None:
            with self._lock:
                self._working += 1
            try:
                return encode(texts)
            finally:
                with self._lock:
                    self._working -= 1
                    self._used_at = self._clock()

        return noted

    def _end(self) -> None:
        self._used_at = None
        for process in self._processes:
            process.end()


class _EncoderProcess:
    """One process, which starts at its first texts. One thread at a time may ask it."""

    def __init__(self, make_encoder: Callable[[], Encoder], clock: Callable[[], float]) -> None:
        self._make_encoder = make_encoder
        self._clock = clock
        self._failed_at = float("-inf")
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def encode(self, texts: Sequence[str]) -> Matrix | None:
        """Return f32 [n, d], or None if the process cannot be started, has died or hangs.

        Then it is not started again for a while.
        """
        if self._clock() - self._failed_at < REST_AFTER_FAILURE_S:
            return None
        try:
            if self._connection is None:
                self._process, self._connection = start_piped(
                    _serve, self._make_encoder, name="feed-encoder"
                )
            connection = self._connection
            connection.send(texts)
            if not connection.poll(LIMIT_S):
                raise TimeoutError(f"no answer within {LIMIT_S:g} seconds")
            made: Matrix = connection.recv()
        except (EOFError, OSError) as error:
            log.warning("encoder_process_failed", error=str(error), kind=type(error).__name__)
            self._failed_at = self._clock()
            self.end()
            return None
        return made

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _serve(connection: Connection[Any, Any], make_encoder: Callable[[], Encoder]) -> None:
    """Encode what comes in until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker ends this process
    encoder = make_encoder()
    while True:
        try:
            connection.send(encoder.encode(connection.recv()))
        except (EOFError, OSError):
            return
