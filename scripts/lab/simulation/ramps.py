"""Trials of experiments whose traffic grows by steps, with readers who differ by when they join."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feed.arrays import Floats
from feed.experiments.design.assignment import BUCKETS, Allocation, assign, bucket_of
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import estimate_adjusted_effect, estimate_effect
from feed.experiments.statistics.sequential import estimate_sequence
from lab.simulation.fixed import ALPHA
from lab.simulation.tally import Counter, Tally

READERS, DAYS = 3_000, 14
STEPS = ((0, 0.05), (3, 0.2), (7, 1.0))
"""Day and share of the readers from then on."""

LAYER = "ranking"
READS_A_DAY = 0.6
LATECOMERS = 0.93
"""What a reader reads, per day that the first visit comes later."""

_HABIT = (1.2, 3.0)
_TASTE_SHAPE = 1.0
_DAYS_BEFORE = 14


def try_ramp(seed: int, runs: int, lift: float) -> dict[str, Tally]:
    """Let traffic grow to all readers while a report is read every day.

    Readers are dealt by the product's own hashes. Frequent readers join soon after their bucket is
    opened and read much, rare ones join late and read little; some days of the week are busier.

    Args:
        seed: Of the chance.
        runs: Experiments.
        lift: True relative effect on reads from the first visit in the experiment on.

    Returns:
        Rejections and covered truths at the end, raw and by CUPED with the time before the start,
        and at any look by the sequence.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for run in range(runs):
        treated, opened_on = _deal(f"{seed}-{run}")
        effect = np.where(treated, 1.0 + lift, 1.0)
        _note_run(counter, treated, *_read(rng, effect, opened_on), lift)
    return counter.tallies()


def _read(
    rng: np.random.Generator, effect: Floats, opened_on: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return when each reader joins, the reads since then by day, and the reads from before."""
    days = np.arange(DAYS)
    visits = rng.random((READERS, DAYS)) < rng.beta(*_HABIT, READERS)[:, None]
    inside = visits & (days >= opened_on[:, None])
    taste = rng.gamma(_TASTE_SHAPE, 1.0 / _TASTE_SHAPE, READERS)
    rate = READS_A_DAY * taste * LATECOMERS ** _first(visits)
    busy = 1.0 + 0.5 * (days % 7 >= 5)
    reads = rng.poisson((rate * effect)[:, None] * busy) * inside
    before = rng.poisson(_DAYS_BEFORE * rate).astype(np.float64)
    return _first(inside), reads.cumsum(axis=1), before


def _first(visits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the day of each reader's first visit, `DAYS` for none."""
    return np.where(visits.any(axis=1), visits.argmax(axis=1), DAYS)


def _deal(salt: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return who is treated, and on which day each reader's bucket is opened."""
    allocation = Allocation(
        "trial", salt, LAYER, (0, BUCKETS), ("control", "treatment"), (0.5, 0.5)
    )
    users = [f"reader-{number}" for number in range(READERS)]
    treated = [assign(user, allocation).variant == "treatment" for user in users]
    buckets = np.array([bucket_of(salt, LAYER, user) for user in users])
    ends = [share * BUCKETS for _, share in STEPS]
    days = np.array([day for day, _ in STEPS])
    return np.array(treated), days[np.searchsorted(ends, buckets, side="right")]


def _note_run(
    counter: Counter,
    treated: NDArray[np.bool_],
    joined_on: NDArray[np.int64],
    so_far: NDArray[np.int64],
    before: Floats,
    lift: float,
) -> None:
    rejected, covered = False, True
    for day in range(DAYS):
        present = joined_on <= day
        arms = [
            Moments.from_arrays(so_far[side, day].astype(np.float64), None, before[side])
            for side in (present & ~treated, present & treated)
        ]
        found = estimate_sequence(estimate_adjusted_effect(*arms).effect, READERS)
        rejected |= found.p_value is not None and found.p_value < ALPHA
        interval = found.relative_interval
        covered &= interval is None or interval.covers(lift)
    counter.note("a look every day, sequence: rejected", rejected)
    counter.note("a look every day, sequence: relative covered at every look", covered)
    for name, effect in (
        ("mean", estimate_effect(*arms)),
        ("mean, CUPED", estimate_adjusted_effect(*arms).effect),
    ):
        counter.note(f"{name}: rejected", effect.p_value is not None and effect.p_value < ALPHA)
        relative = effect.relative_interval
        counter.note(f"{name}: relative covered", bool(relative and relative.covers(lift)))
