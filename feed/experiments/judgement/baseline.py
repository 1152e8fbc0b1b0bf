"""Readers like those to come, as numbers that a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feed.experiments.statistics.aggregates import Moments


@dataclass(frozen=True, slots=True)
class Baseline:
    """Readers of the last days, none of them treated: all that a plan needs of the archive.

    Attributes:
        moments: By metric, with the covariate from before the window. A metric that only groups
            of readers have stands here with the variance that it would have per reader.
        arrivals: Readers who came for the first time, by day of the window.
        covariate_days: Days with feeds before the window, of the design's `pre_days`.
    """

    moments: Mapping[str, Moments]
    arrivals: tuple[int, ...]
    covariate_days: int = 0


def baseline_to_json(baseline: Baseline) -> dict[str, Any]:
    """Return a baseline as JSON."""
    moments = {
        name: [found.n, found.means, found.products] for name, found in baseline.moments.items()
    }
    return {
        "moments": moments,
        "arrivals": baseline.arrivals,
        "covariate_days": baseline.covariate_days,
    }


def baseline_from_json(data: Mapping[str, Any]) -> Baseline:
    """Return the baseline that `baseline_to_json` wrote."""
    moments = {
        name: Moments(n, tuple(means), tuple(products))
        for name, (n, means, products) in data["moments"].items()
    }
    return Baseline(moments, tuple(data["arrivals"]), data["covariate_days"])
