"""Brings one process's share of the pulse into the store, later if the store is away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from feed.domain import StoreUnavailableError
from feed.storage.pulse_part import PulsePart
from feed.storage.pulse_series import FINE_KEPT_S, FINE_S, PulseSeries, empty_series, fill_slot

SLOTS_KEPT = FINE_KEPT_S // FINE_S


@dataclass(slots=True)
class _Share:
    """What one process counted and measured in one slot."""

    counts: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, float] = field(default_factory=dict)

    def add(self, counts: Mapping[str, int], gauges: Mapping[str, float]) -> None:
        self.counts.update(counts)
        for name, value in gauges.items():
            self.gauges[name] = max(value, self.gauges.get(name, value))


class PulseWriter:
    """Keeps what was counted until the store has it, for 15 minutes at most.

    Only one thread may add and flush.

    Args:
        store: where it goes.
    """

    def __init__(self, store: PulsePart) -> None:
        self._store = store
        self._own: dict[int, _Share] = {}
        self._unwritten: dict[int, _Share] = {}
        self.trouble: StoreUnavailableError | None = None
        """Why the last attempt to write failed; None if it did not."""

    def add(self, now: float, counts: Mapping[str, int], gauges: Mapping[str, float]) -> None:
        """Take in what was counted and measured just now."""
        slot = slot_of(now)
        for shares in (self._own, self._unwritten):
            shares.setdefault(slot, _Share()).add(counts, gauges)
            for late in sorted(shares)[:-SLOTS_KEPT]:
                del shares[late]

    def flush(self) -> None:
        """Write what is unwritten; what the store does not take is kept for the next time."""
        try:
            for slot, share in sorted(self._unwritten.items()):
                self._store.add_pulse(slot, share.counts, share.gauges)
                del self._unwritten[slot]
        except StoreUnavailableError as error:
            self.trouble = error
        else:
            self.trouble = None

    def own_series(self, first: int, slots: int) -> PulseSeries:
        """Return what this process alone counted and measured, in slots of `FINE_S`."""
        series = empty_series(first, slots, FINE_S)
        own = dict(self._own)
        for place, at in enumerate(series.starts.tolist()):
            share = own.get(at)
            if share is not None:
                fill_slot(series, place, {**share.counts, **share.gauges})
        return series


def slot_of(now: float, step_s: int = FINE_S) -> int:
    """Return the epoch second at which the slot that holds a time begins."""
    return int(now // step_s) * step_s
