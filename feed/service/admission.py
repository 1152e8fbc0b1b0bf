"""How many requests one process works on and lets wait; the rest are told to come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from feed.service.problems import ProblemError
from feed.service.telemetry import SHED


class AdmissionGate:
    """Bounds the requests in a process, so that a burst meets a 503 and not a long queue.

    Args:
        running: requests worked on at once.
        waiting: requests that may wait for their turn.
        patience_s: longest wait, seconds.
    """

    def __init__(self, running: int, waiting: int, patience_s: float) -> None:
        self._slots = threading.BoundedSemaphore(running)
        self._queue = threading.BoundedSemaphore(running + waiting)
        self._patience_s = patience_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises:
            ProblemError: 503, too many are waiting already or the turn did not come in time.
        """
        if not self._queue.acquire(blocking=False):
            raise _busy()
        try:
            if not self._slots.acquire(timeout=self._patience_s):
                raise _busy()
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._queue.release()


class Breaker:
    """Stops asking a store that has just failed, for a moment.

    While it is open, requests step down at once instead of each waiting for a timeout.
    """

    def __init__(self, pause_s: float = 0.5) -> None:
        self._pause_s = pause_s
        self._closed_from = 0.0

    def is_open(self, now: float) -> bool:
        """Return whether the store should be left alone; `now` is monotonic seconds."""
        return now < self._closed_from

    def trip(self, now: float) -> None:
        """Note a failure."""
        self._closed_from = now + self._pause_s


def _busy() -> ProblemError:
    SHED.inc()
    return ProblemError(503, "too many requests at once; try again shortly")
