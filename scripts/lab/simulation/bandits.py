"""Trials of off-policy estimates on a bandit whose policies' values are known."""

from __future__ import annotations

import dataclasses

import numpy as np

from feed.arrays import Floats
from feed.experiments.off_policy.estimators import (
    LoggedBandit,
    evaluate_policy,
    measure_overlap,
    refuse,
)
from lab.simulation.tally import Counter, Tally

CONTEXTS, ACTIONS, READERS, ROWS = 6, 10, 800, 4_000


def try_off_policy(seed: int, runs: int) -> dict[str, Tally]:
    """Estimate a policy from another's log and count how often the interval holds its value.

    The reward model of the doubly robust estimate is wrong on purpose (everything shrunk by a
    third); readers differ, so rows of one reader are alike.

    Args:
        seed: Of the chance.
        runs: Logs.

    Returns:
        Coverage by estimator; how often a fair log is refused, and how often one whose
        propensities are wrong.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        rates = rng.beta(2.0, 10.0, (CONTEXTS, ACTIONS))
        logging, target = (_policy(rates, sharpness) for sharpness in (4.0, 14.0))
        truth = float((target * rates).sum(axis=1).mean())
        log = _draw_log(rng, rates, logging, target)
        report = evaluate_policy(log, rng)
        for estimate in report.estimates:
            if estimate.interval is not None:
                counter.note(f"{estimate.name}: covered", estimate.interval.covers(truth))
        counter.note("fair log refused", bool(report.refusal))
        wrong = dataclasses.replace(log, propensities=np.full(ROWS, 1.0 / ACTIONS))
        refused = bool(refuse(measure_overlap(wrong)))
        counter.note("log with wrong propensities refused", refused)
    return counter.tallies()


def _policy(rates: Floats, sharpness: float) -> Floats:
    preference = np.exp(sharpness * rates)
    policy: Floats = preference / preference.sum(axis=1, keepdims=True)
    return policy


def _draw_log(
    rng: np.random.Generator, rates: Floats, logging: Floats, target: Floats
) -> LoggedBandit:
    readers = rng.integers(0, READERS, ROWS)
    mood = rng.uniform(0.5, 1.5, READERS)
    contexts = rng.integers(0, CONTEXTS, ROWS)
    steps = logging.cumsum(axis=1)[contexts]
    actions = np.minimum((rng.random((ROWS, 1)) > steps).sum(axis=1), ACTIONS - 1)
    chances = np.minimum(rates[contexts, actions] * mood[readers], 1.0)
    model = rates * 2.0 / 3.0
    return LoggedBandit(
        rewards=(rng.random(ROWS) < chances).astype(np.float64),
        propensities=logging[contexts, actions],
        targets=target[contexts, actions],
        readers=readers,
        predicted=model[contexts, actions],
        predicted_target=(target * model).sum(axis=1)[contexts],
    )
