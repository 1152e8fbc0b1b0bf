"""Counts this process's requests for the pulse, and brings them to the store in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from feed.service.snapshot import SnapshotKeeper
from feed.service.telemetry import Stopwatch
from feed.storage.pulse_part import PulsePart
from feed.storage.pulse_series import (
    COUNTS,
    ERRORS,
    EVENTS,
    FALLEN,
    LATENCIES,
    REFUSED,
    REQUESTS,
    RUNGS,
    latency_bucket,
)
from feed.storage.pulse_writer import PulseWriter

WRITE_SECONDS = 2.0
"""Time between two writes of this process's counts."""

_PLACES = {name: place for place, name in enumerate(COUNTS)}
_REQUESTS, _REFUSED, _ERRORS = _PLACES[REQUESTS], _PLACES[REFUSED], _PLACES[ERRORS]
_EVENTS, _FALLEN = _PLACES[EVENTS], _PLACES[FALLEN]
_FIRST_LATENCY = _PLACES[LATENCIES[0]]
_RUNGS = {name.removeprefix("rung_"): _PLACES[name] for name in RUNGS}

log = structlog.get_logger("feed.pulse")


class RequestCounts:
    """What this process has counted since the last look. Any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * len(COUNTS)

    def add_request(self, status: int, watch: Stopwatch) -> None:
        """Count an answered request: additions in memory, and nothing else."""
        with self._lock:
            counts = self._counts
            counts[_REQUESTS] += 1
            if watch.rung:
                counts[_RUNGS[watch.rung]] += 1
                counts[_FALLEN] += watch.fell
                counts[_FIRST_LATENCY + latency_bucket(watch.elapsed_ms())] += 1
            elif status in {429, 503}:
                counts[_REFUSED] += 1
            elif status >= 500:
                counts[_ERRORS] += 1
            counts[_EVENTS] += watch.events

    def take(self) -> dict[str, int]:
        """Return what was counted, by name without zeros, and begin again."""
        with self._lock:
            counts, self._counts = self._counts, [0] * len(COUNTS)
        return {name: count for name, count in zip(COUNTS, counts, strict=True) if count}


class Pulse:
    """This process's share of the pulse: counted by requests, written by a thread.

    Args:
        store: where the shares of all processes are added up.
        keeper: says how old the snapshot is.
        clock: epoch seconds.
    """

    def __init__(
        self, store: PulsePart, keeper: SnapshotKeeper, clock: Callable[[], float]
    ) -> None:
        self.counts = RequestCounts()
        self.writer = PulseWriter(store)
        self._keeper = keeper
        self._clock = clock
        self._lock = threading.Lock()

    def write(self) -> None:
        """Bring what was counted to the store; if it is away, the next call tries again."""
        with self._lock:
            now, snapshot = self._clock(), self._keeper.current()
            gauges = {}
            if snapshot is not None:
                gauges["snapshot_age_s"] = max(0.0, now - snapshot.taken_at)
            self.writer.add(now, self.counts.take(), gauges)
            self.writer.flush()

    def start(self) -> None:
        """Start the thread; call it in the process that serves, after any fork."""
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(WRITE_SECONDS):
            try:
                self.write()
            except Exception:  # the thread must survive any error: requests go on being counted
                log.exception("pulse_not_written")
