"""A circuit breaker, which leaves a node of the store alone after it has not answered."""

from __future__ import annotations

import threading

FAILURES = 2
"""Failures in a row before a node is left alone: one slow answer is no outage."""


class Breaker:
    """Decides whether to ask one node of the store, so that not every request waits for a timeout.

    After `FAILURES` failures in a row it refuses all calls for `rest_s`. Then one caller may try,
    while the others are still refused. The first success lets all callers through again.

    Args:
        rest_s: seconds for which calls are refused; 0: never refuse.
    """

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._failures = 0
        self._try_at = 0.0
        self._lock = threading.Lock()

    def admits(self, now: float) -> bool:
        """Return whether a caller may ask at a time (monotonic seconds)."""
        if self._failures < FAILURES or not self._rest_s:
            return True
        with self._lock:
            if now < self._try_at:
                return False
            self._try_at = now + self._rest_s
            return True

    def succeeded(self) -> None:
        """Note that the node has answered, even if with an error."""
        if self._failures:
            self._failures = 0

    def failed(self, now: float) -> None:
        """Note that the node has not answered."""
        with self._lock:
            self._failures += 1
            self._try_at = now + self._rest_s
