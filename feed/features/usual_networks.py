"""What each network usually brings to the whole site, as shares of all its readings."""

from __future__ import annotations

from math import exp2

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class UsualNetworks:
    """Decayed readings by network.

    Args:
        half_life_s: half-life of a reading, seconds.
        prior: readings of unknown networks added to the site's own, so that on a quiet site a few
            readings are not yet a custom.
    """

    def __init__(self, half_life_s: float, prior: float) -> None:
        self._half_life_s = half_life_s
        self._prior = prior
        self._at, self._total = 0.0, 0.0
        self._networks: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def share(self, network: str, at: float) -> float:
        """Return a network's share of the site's readings at a time (epoch seconds)."""
        found = self._networks.get(network)
        if found is None:
            return 0.0
        return found[0] * self._decay(at - found[1]) / (self._total_at(at) + self._prior)

    def add(self, network: str, weight: float, at: float) -> None:
        """Count a reading at a time."""
        value, last = self._networks.get(network, (0.0, at))
        self._networks[network] = value * self._decay(at - last) + weight, at
        self._total, self._at = self._total_at(at) + weight, at

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

    def _total_at(self, at: float) -> float:
        return self._total * self._decay(at - self._at)

    def _decay(self, age_s: float) -> float:
        return exp2(-max(age_s, 0.0) / self._half_life_s)
