"""The pulse: what every process counts, in slots of time; names, latency buckets, percentiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Integers
from feed.domain import Rung

FINE_S = 10
MINUTE_S = 60
FINE_KEPT_S = 15 * 60
MINUTES_KEPT_S = 25 * 3600

FASTEST_MS = 0.5
STEPS_PER_DOUBLING = 2
LATENCY_BUCKETS = 26
"""Bucket 0 ends at 0.5 ms, each further one at the next half doubling; the last has no end."""

REQUESTS, REFUSED, ERRORS = "requests", "refused", "errors"
EVENTS, COUNTED, FALLEN = "events", "counted", "fallen"
RUNGS = tuple(f"rung_{rung.value}" for rung in Rung)
LATENCIES = tuple(f"latency_{n}" for n in range(LATENCY_BUCKETS))
COUNTS = (REQUESTS, REFUSED, ERRORS, EVENTS, COUNTED, FALLEN, *RUNGS, *LATENCIES)
"""What is added up: requests answered, refused (429 or 503) and failed (any other 5xx), events
accepted, records counted by the worker, feeds below the rung that was asked for, feeds by rung,
and feeds by the time they took."""

GAUGES = (
    "snapshot_age_s",
    "stream_records",
    "counting_lag_s",
    "archive_lag_s",
    "archive_fails",
    "waiting_events",
    "unencoded_articles",
    "store_bytes",
    "store_limit_bytes",
    "disk_used_share",
)
"""What is measured: of a slot, the highest value is kept."""

_COUNT_PLACES = {name: place for place, name in enumerate(COUNTS)}
_GAUGE_PLACES = {name: place for place, name in enumerate(GAUGES)}


@dataclass(frozen=True, slots=True, eq=False)
class PulseSeries:
    """What was counted and measured in n slots of time that follow each other.

    Attributes:
        starts: Epoch seconds, int64 [n].
        step_s: Length of a slot, seconds.
        counts: One column for each of `COUNTS`, int64 [n, c].
        gauges: One column for each of `GAUGES`, f64 [n, g]; NaN where nothing was measured.
    """

    starts: Integers
    step_s: int
    counts: Integers
    gauges: Floats

    def count(self, *names: str) -> Integers:
        """Return the sum of some counts in each slot, int64 [n]."""
        found: Integers = self.counts[:, [_COUNT_PLACES[name] for name in names]].sum(axis=1)
        return found

    def total(self, *names: str) -> int:
        """Return the sum of some counts over all slots."""
        return int(self.count(*names).sum())

    def rate(self, *names: str) -> float:
        """Return how many there were in a second, over all slots."""
        seconds = len(self.starts) * self.step_s
        return self.total(*names) / seconds if seconds else 0.0

    def gauge(self, name: str) -> Floats:
        """Return a measured value in each slot, f64 [n]."""
        column: Floats = self.gauges[:, _GAUGE_PLACES[name]]
        return column

    def latest(self, name: str) -> float | None:
        """Return the newest measured value, None if there is none."""
        column = self.gauge(name)
        known = column[~np.isnan(column)]
        return float(known[-1]) if len(known) else None

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds that a share of all feeds took at most; None without feeds."""
        found = self.percentiles(share, len(self.starts))
        return float(found[0]) if len(found) and not np.isnan(found[0]) else None

    def percentiles(self, share: float, slots: int) -> Floats:
        """Return a percentile of the feeds' milliseconds for each group of so many slots, f64.

        Within a bucket the logarithm of the time is taken to be spread evenly; a bucket is 41 %
        wide. NaN where there were no feeds.
        """
        whole = len(self.starts) // slots * slots if slots else 0
        if not whole:
            return np.zeros(0)
        places = [_COUNT_PLACES[name] for name in LATENCIES]
        grouped = self.counts[:whole, places].reshape(-1, slots, LATENCY_BUCKETS).sum(axis=1)
        return np.array([_percentile(row, share) for row in grouped])

    def window(self, slots: int, skip: int = 0) -> PulseSeries:
        """Return the newest slots alone, without the last `skip` of them."""
        end = max(0, len(self.starts) - skip)
        part = slice(max(0, end - slots), end)
        return PulseSeries(self.starts[part], self.step_s, self.counts[part], self.gauges[part])


def latency_bucket(milliseconds: float) -> int:
    """Return the place of a time among the latency buckets."""
    if milliseconds <= FASTEST_MS:
        return 0
    steps = math.ceil(STEPS_PER_DOUBLING * math.log2(milliseconds / FASTEST_MS))
    return min(steps, LATENCY_BUCKETS - 1)


def empty_series(first: int, slots: int, step_s: int) -> PulseSeries:
    """Return slots in which nothing was counted or measured, the first at an epoch second."""
    return PulseSeries(
        np.arange(slots, dtype=np.int64) * step_s + first,
        step_s,
        np.zeros((slots, len(COUNTS)), np.int64),
        np.full((slots, len(GAUGES)), np.nan),
    )


def fill_slot(series: PulseSeries, place: int, values: Mapping[str, float]) -> None:
    """Put counts and gauges by name into one slot; names of other versions are left out."""
    for name, value in values.items():
        if name in _COUNT_PLACES:
            series.counts[place, _COUNT_PLACES[name]] = int(value)
        elif name in _GAUGE_PLACES:
            series.gauges[place, _GAUGE_PLACES[name]] = value


def copy_slots(source: PulseSeries, target: PulseSeries) -> None:
    """Put the slots that two series have in common from the one into the other."""
    _, there, here = np.intersect1d(source.starts, target.starts, return_indices=True)
    target.counts[here], target.gauges[here] = source.counts[there], source.gauges[there]


def _percentile(buckets: Integers, share: float) -> float:
    total = int(buckets.sum())
    if not total:
        return math.nan
    rank = share * total
    cumulated = np.cumsum(buckets)
    place = int(np.searchsorted(cumulated, rank))
    inside = int(buckets[place])
    part = 1.0 if not inside else (rank - (int(cumulated[place]) - inside)) / inside
    return float(FASTEST_MS * 2.0 ** ((place - 1 + part) / STEPS_PER_DOUBLING))
