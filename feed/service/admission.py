"""How many requests one process works on and lets wait; the rest are told to come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from feed.service.problems import ProblemError
from feed.service.telemetry import SHED

SPARE_AFTER_S = 0.06


class AdmissionGate:
    """Bounds the requests in a process, so that a burst meets a 503 and not a long queue.

    Args:
        running: requests worked on at once.
        waiting: requests that may wait for their turn.
        patience_s: longest wait, seconds.
        spare: further requests worked on when a turn has not come within `SPARE_AFTER_S`: those
            that run then wait for the store, not for the processor.
    """

    def __init__(self, running: int, waiting: int, patience_s: float, spare: int = 0) -> None:
        self._slots = threading.BoundedSemaphore(running)
        self._spare = threading.BoundedSemaphore(spare) if spare else self._slots
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
            slots = self._take()
            try:
                yield
            finally:
                slots.release()
        finally:
            self._queue.release()

    def _take(self) -> threading.Semaphore:
        first_s = min(SPARE_AFTER_S, self._patience_s)
        if self._slots.acquire(timeout=first_s):
            return self._slots
        if not self._spare.acquire(timeout=self._patience_s - first_s):
            raise _busy()
        return self._spare


def _busy() -> ProblemError:
    SHED.inc()
    return ProblemError(503, "too many requests at once; try again shortly")
