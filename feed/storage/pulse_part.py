"""The pulse in the store: one hash for each slot of time, to which every process adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feed.storage import scripts
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.pulse_series import (
    FINE_KEPT_S,
    FINE_S,
    MINUTE_S,
    MINUTES_KEPT_S,
    PulseSeries,
    empty_series,
    fill_slot,
)

KEPT_S = {FINE_S: FINE_KEPT_S, MINUTE_S: MINUTES_KEPT_S}
"""How long slots of each length are kept, seconds."""

_SLOTS_AT_ONCE = 100


class PulsePart(StorePart):
    """Counts and gauges of the last minutes in slots of 10 s, and of the last day in minutes."""

    def add_pulse(self, at: int, counts: Mapping[str, int], gauges: Mapping[str, float]) -> None:
        """Add what was counted and measured in the slots that hold an epoch second.

        Raises:
            StoreUnavailableError: the store is away or full. If its answer came too late, the
                counts may have been added all the same.
        """
        args: list[Any] = [len(counts)]
        for name, amount in counts.items():
            args += [name, amount]
        for name, value in gauges.items():
            args += [name, f"{value:.6g}"]
        calls = [
            ScriptCall(scripts.ADD_PULSE, (self._keys.pulse(step_s, at),), (kept_s, *args))
            for step_s, kept_s in KEPT_S.items()
        ]
        self._link.scripts(calls)

    def read_pulse(self, first: int, slots: int, step_s: int) -> PulseSeries:
        """Return slots that follow each other, the first of which begins at an epoch second.

        Args:
            first: a multiple of `step_s`.
            slots: how many.
            step_s: `FINE_S` or `MINUTE_S`.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        series = empty_series(first, slots, step_s)
        keys = [self._keys.pulse(step_s, at) for at in series.starts.tolist()]
        for start in range(0, slots, _SLOTS_AT_ONCE):
            batch = keys[start : start + _SLOTS_AT_ONCE]
            replies = self._link.pipeline(batch[0], [("HGETALL", key) for key in batch])
            for place, pairs in enumerate(replies, start):
                values = zip(pairs[::2], pairs[1::2], strict=True)
                fill_slot(series, place, {name.decode(): float(value) for name, value in values})
        return series
