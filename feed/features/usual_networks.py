"""Each network's usual share of all reads on the site."""

from __future__ import annotations

from math import exp2

import numpy as np

from feed.arrays import Floats


class UsualNetworks:
    """Decayed reads by network.

    Args:
        half_life_s: half-life of a read, seconds.
        prior: reads of unknown networks that are added to the site's own, so that on a quiet site
            a few reads do not make a network usual.
    """

    def __init__(self, half_life_s: float, prior: float) -> None:
        self._half_life_s = half_life_s
        self._prior = prior
        self._at, self._total = 0.0, 0.0
        self._networks: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, network: str, weight: float, at: float) -> float:
        """Count a read at a time (epoch seconds); return the network's share until then."""
        half_life_s = self._half_life_s
        if at > self._at:
            self._total *= exp2((self._at - at) / half_life_s)
            self._at = at
        value, last = self._networks.get(network, (0.0, at))
        if at > last:
            value *= exp2((last - at) / half_life_s)
        share = value / (self._total + self._prior)
        self._networks[network] = value + weight, at
        self._total += weight
        return share

    def forget(self, before: float, most: int) -> None:
        """Forget networks last seen before a time, and the oldest of more than `most`."""
        kept = {name: entry for name, entry in self._networks.items() if entry[1] >= before}
        surplus = max(len(kept) - most, 0)
        for name in sorted(kept, key=lambda n: kept[n][1])[:surplus]:
            del kept[name]
        self._networks = kept

    def dump(self) -> tuple[list[str], Floats]:
        """Return the networks' names and, a row for each, value and time; last the total's."""
        rows = [*self._networks.values(), (self._total, self._at)]
        return list(self._networks), np.array(rows, np.float64)

    def restore(self, names: list[str], rows: Floats) -> None:
        """Replace everything held by what `dump` returned."""
        *entries, (self._total, self._at) = rows.tolist()
        self._networks = {
            name: (value, at) for name, (value, at) in zip(names, entries, strict=True)
        }
