"""The pulse of the last 24 hours, minute by minute; only what may have changed is read again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from feed.domain import StoreUnavailableError
from feed.storage.pulse_part import PulsePart
from feed.storage.pulse_series import (
    FINE_KEPT_S,
    MINUTE_S,
    PulseSeries,
    copy_slots,
    empty_series,
)
from feed.storage.pulse_writer import slot_of

MINUTES = 24 * 60
FRESH_S = 20.0


class PulseDay:
    """Follows the last day's minutes.

    A process may bring counts of the last quarter of an hour late, so these minutes are read again
    each time; older ones are read once.

    Args:
        store: where the minutes are.
        clock: epoch seconds.
    """

    def __init__(self, store: PulsePart, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._known = empty_series(0, 0, MINUTE_S)
        self._read_at = float("-inf")

    def read(self) -> PulseSeries:
        """Return the last 24 hours, the present minute last; what was known, without the store."""
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._read_at < FRESH_S:
                self._follow(now)
            return self._known

    def _follow(self, now: float) -> None:
        last = slot_of(now, MINUTE_S)
        series = empty_series(last - (MINUTES - 1) * MINUTE_S, MINUTES, MINUTE_S)
        copy_slots(self._known, series)
        first = int(series.starts[0])
        if self._read_at >= first:
            first = max(first, slot_of(self._read_at - FINE_KEPT_S, MINUTE_S))
        try:
            fresh = self._store.read_pulse(first, (last - first) // MINUTE_S + 1, MINUTE_S)
            copy_slots(fresh, series)
            self._read_at = now
        except StoreUnavailableError:
            pass  # the next look tries again
        self._known = series
