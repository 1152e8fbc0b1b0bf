"""Trials of the test for effects that change with the days since first exposure."""

from __future__ import annotations

import numpy as np

from feed.arrays import Floats
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import Effect
from feed.experiments.statistics.novelty import estimate_drift
from lab.simulation.fixed import ALPHA
from lab.simulation.tally import Counter, Tally

READERS, DAYS, LIFT = 1_500, 14, 0.35


def try_constant_effects(seed: int, runs: int) -> dict[str, Tally]:
    """Let readers come on few or many days, most of them on the first, with a lift of all or two.

    Args:
        seed: Of the chance.
        runs: Experiments.

    Returns:
        How often a change of the effect is found where it is constant, for reads and for clicks
        over impressions, and where it is gone after two days.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    constant = np.full(DAYS, 1.0 + LIFT)
    short = np.where(np.arange(DAYS) < 2, 1.0 + LIFT, 1.0)
    for _ in range(runs):
        control = _draw(rng, np.ones(DAYS))
        treatment = _draw(rng, constant)
        counter.note("constant effect: drift found", _found(control, treatment, ratio=False))
        counter.note("constant effect, ratio: drift found", _found(control, treatment, ratio=True))
        found = _found(control, _draw(rng, short), ratio=False)
        counter.note("effect gone after two days: drift found", found)
    return counter.tallies()


def _draw(rng: np.random.Generator, lift: Floats) -> tuple[Floats, Floats, Floats]:
    """Return impressions and clicks by reader and day, and how many days each reader has."""
    length = rng.integers(2, DAYS + 1, READERS)
    habit = rng.beta(2.0, 3.0, (READERS, 1))
    comes = rng.random((READERS, DAYS)) < habit
    comes[:, 0] = True
    comes &= np.arange(DAYS) < length[:, None]
    impressions = comes * (1 + rng.poisson(6.0, (READERS, DAYS)))
    taste = rng.beta(2.0, 18.0, (READERS, 1))
    clicks = rng.binomial(impressions, np.minimum(taste * lift, 1.0))
    return impressions.astype(np.float64), clicks.astype(np.float64), length.astype(np.float64)


def _found(
    control: tuple[Floats, Floats, Floats], treatment: tuple[Floats, Floats, Floats], *, ratio: bool
) -> bool:
    effect: Effect = estimate_drift(_sum(control, ratio=ratio), _sum(treatment, ratio=ratio))
    return effect.p_value is not None and effect.p_value < ALPHA


def _sum(arm: tuple[Floats, Floats, Floats], *, ratio: bool) -> Moments:
    impressions, clicks, length = arm
    days = np.arange(DAYS) - (length[:, None] - 1.0) / 2.0
    columns = [(clicks * days).sum(axis=1), clicks.sum(axis=1)]
    if ratio:
        columns += [(impressions * days).sum(axis=1), impressions.sum(axis=1)]
    return Moments.from_arrays(*columns)
