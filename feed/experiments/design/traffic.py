"""The traffic of an experiment over time: the steps that are planned, and those that were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from feed.domain import InvalidInputError
from feed.experiments.design.assignment import BUCKETS

MOST_STEPS = 20
"""Steps that a ramp may plan."""


@dataclass(frozen=True, slots=True)
class RampStep:
    """A planned step.

    Attributes:
        after_days: Days since the start, in whole and parts.
        traffic: Share of the layer's readers from then on, 0 to 1.
    """

    after_days: float
    traffic: float


@dataclass(frozen=True, slots=True)
class TrafficStep:
    """A step that was taken.

    Attributes:
        at: Epoch seconds.
        traffic: Share of the layer's readers from then on, 0 to 1.
    """

    at: float
    traffic: float


def count_buckets(traffic: float) -> int:
    """Return how many of the layer's buckets a share of its readers is."""
    return round(traffic * BUCKETS)


def cumulate_joined(
    arrivals: Sequence[float], traffic: float, ramp: tuple[RampStep, ...]
) -> list[float]:
    """Return how many readers will have joined by the end of each day.

    Each part of the traffic fills from its opening on as the whole layer fills from the start on:
    with all who come, be it for the first time or again. That supposes that one week is like the
    next.

    Args:
        arrivals: New readers of the layer on each day since the start, if all were let in.
        traffic: Share that is open from the start on.
        ramp: The planned steps.

    Returns:
        One number for each day of `arrivals`.
    """
    days = range(len(arrivals) + 1)
    whole = [0.0, *accumulate(arrivals)]
    joined = [traffic * seen for seen in whole]
    for before, step in pairwise((RampStep(0.0, traffic), *ramp)):
        since = np.interp(np.subtract(days, step.after_days), days, whole)
        joined = [
            n + (step.traffic - before.traffic) * m for n, m in zip(joined, since, strict=True)
        ]
    return [float(n) for n in joined[1:]]


def check_ramp(traffic: float, ramp: tuple[RampStep, ...], planned_days: int) -> None:
    """Check that planned steps come one after another, each larger than what is open by then.

    Args:
        traffic: Share that is open from the start on.
        ramp: The planned steps.
        planned_days: Of the experiment.

    Raises:
        InvalidInputError: names the step and the rule.
    """
    if len(ramp) > MOST_STEPS:
        raise InvalidInputError("ramp", f"must have at most {MOST_STEPS} steps")
    for place, (before, step) in enumerate(pairwise((RampStep(0.0, traffic), *ramp))):
        if not before.after_days < step.after_days < planned_days:
            raise InvalidInputError(
                f"ramp.{place}.after_days", "must grow from step to step, within planned_days"
            )
        possible = 0 < step.traffic <= 1
        if not (possible and count_buckets(before.traffic) < count_buckets(step.traffic)):
            raise InvalidInputError(
                f"ramp.{place}.traffic",
                f"must grow from step to step by {1 / BUCKETS} or more, to at most 1",
            )
