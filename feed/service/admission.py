"""How many requests one process works on at a time; those beyond the queue get a 503."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from feed.service.problems import ProblemError
from feed.service.telemetry import SHED

SPARE_AFTER_S = 0.06

BUSY = "too many requests at once; try again shortly"

LONGEST_PATIENCE = 10.0
"""How many times `patience_s` a request waits on a slow machine, at most."""

_MARGIN = 2.0
"""How much longer than usual a full queue may take."""
_NEWEST = 0.05
"""Weight of the newest request in the usual time between two."""


class AdmissionQueue:
    """Bounds the requests in a process, so that a burst gets a 503 instead of a long queue.

    Args:
        running: requests worked on at once.
        waiting: requests that may wait for their turn.
        patience_s: longest wait, seconds, unless a full queue usually takes longer. On a slow
            machine those who wait last get their turn, too: the queue is short, and to refuse
            them would leave the machine with less work than it can do.
        spare: how many requests that have waited for `SPARE_AFTER_S` may run beyond `running`:
            by then, those that run are waiting for the store and not for the processor.
    """

    def __init__(self, running: int, waiting: int, patience_s: float, spare: int = 0) -> None:
        self._slots = _FairSemaphore(running)
        self._spare = _FairSemaphore(spare) if spare else self._slots
        self._queue = threading.BoundedSemaphore(running + waiting)
        self._patience_s = patience_s
        self._places = running + waiting
        self._usual_s = 0.0  # from the end of one request to that of the next, all places taken

    @property
    def is_full(self) -> bool:
        """Whether a request that came now would be refused."""
        if self._queue.acquire(blocking=False):
            self._queue.release()
            return False
        return True

    @property
    def patience_s(self) -> float:
        """The longest wait for a turn at present, seconds."""
        whole_queue_s = _MARGIN * self._places * self._usual_s
        return max(self._patience_s, min(whole_queue_s, LONGEST_PATIENCE * self._patience_s))

    def turn(self) -> Turn:
        """Wait for a turn, which the caller must end.

        Raises:
            ProblemError: 503, too many are waiting already or the turn did not come in time.
        """
        if not self._queue.acquire(blocking=False):
            raise _busy()
        try:
            slots, began_at = self._take(), time.perf_counter()
        except BaseException:
            self._queue.release()
            raise

        def note() -> None:
            # Those that run beside each other share the processor, so one ends in each such part.
            # Two threads may do this at once. Then one request is missing in the mean, no more.
            each_s = (time.perf_counter() - began_at) / self._running
            self._usual_s += _NEWEST * (each_s - self._usual_s)

        return Turn(note, slots.release, self._queue.release)

    @property
    def _running(self) -> int:
        beside = 0 if self._spare is self._slots else self._spare.taken
        return max(self._slots.taken + beside, 1)

    def _take(self) -> _FairSemaphore:
        patience_s = self.patience_s
        first_s = min(SPARE_AFTER_S, patience_s)
        if self._slots.acquire(timeout=first_s):
            return self._slots
        if not self._spare.acquire(timeout=patience_s - first_s):
            raise _busy()
        return self._spare


class Turn(AbstractContextManager["Turn"]):
    """The right to be worked on, until `end` or the end of a `with` block."""

    __slots__ = ("_give_back",)

    def __init__(self, *give_back: Callable[[], None]) -> None:
        self._give_back = give_back

    def end(self) -> None:
        """End this turn and let the next request start."""
        for give_back in self._give_back:
            give_back()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


class _FairSemaphore:
    """A semaphore that serves its waiters in the order of their arrival.

    Python's semaphore may let a newcomer in before the waiter that it has just woken: of eight
    requests at once, some wait four times as long as others.
    """

    def __init__(self, places: int) -> None:
        self._places = self._free = places
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    @property
    def taken(self) -> int:
        return self._places - self._free

    def acquire(self, timeout: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # released just as the wait ended

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


def _busy() -> ProblemError:
    SHED.inc()
    return ProblemError(503, BUSY)
