"""How many requests one process works on and lets wait; the rest are told to come back."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from types import TracebackType

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

    def turn(self) -> Turn:
        """Wait for a turn; whoever gets one ends it.

        Raises:
            ProblemError: 503, too many are waiting already or the turn did not come in time.
        """
        if not self._queue.acquire(blocking=False):
            raise _busy()
        try:
            return Turn(self._take(), self._queue)
        except BaseException:
            self._queue.release()
            raise

    def _take(self) -> threading.Semaphore:
        first_s = min(SPARE_AFTER_S, self._patience_s)
        if self._slots.acquire(timeout=first_s):
            return self._slots
        if not self._spare.acquire(timeout=self._patience_s - first_s):
            raise _busy()
        return self._spare


class Turn(AbstractContextManager["Turn"]):
    """The right to be worked on, until `end` or the end of a `with` block."""

    __slots__ = ("_held",)

    def __init__(self, *held: threading.Semaphore) -> None:
        self._held = held

    def end(self) -> None:
        """Let the next one in."""
        for semaphore in self._held:
            semaphore.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def _busy() -> ProblemError:
    SHED.inc()
    return ProblemError(503, "too many requests at once; try again shortly")
