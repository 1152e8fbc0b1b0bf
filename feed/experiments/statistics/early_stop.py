"""Corrects the effect of an experiment that stopped early for the bias of the early stop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from feed.arrays import Floats

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_FAR = 8.0
"""Standard errors beyond which nothing is expected."""


def shrink_early_effect(
    score: float, clock: float, looks: Sequence[float], critical: Sequence[float]
) -> float:
    """Return the share of an effect that is left when the stop is taken into account.

    An experiment that may stop at any look stops when the estimate happens to be high, so the
    estimate at the stop is on average too high. The likelihood given that the gain would be found
    at one of the planned looks takes that into account. Its mean over effects of 0 or more is
    taken, not its maximum: the maximum corrects too much where the effect is large.

    Source: Fan, DeMets and Lan (2004), Conditional bias of point estimates following a group
    sequential test, for the conditional likelihood; Zhong and Prentice (2008), Bias-reduced
    estimators and confidence intervals for odds ratios in genome-wide association studies, for
    its mean. `scripts/lab/run bench/statistics` measures what is left of the bias.

    Args:
        score: Effect over its standard error, over 0.
        clock: Share of the planned readers who have come, over 0 and up to 1.
        looks: Shares of the planned readers at which the plan looks, rising, the last one 1.
        critical: What the score must exceed at each look.

    Returns:
        The factor, over 0 and under 1.
    """
    naive = score / math.sqrt(clock)
    drifts = (naive + _FAR / math.sqrt(clock)) * (_NODES + 1.0) / 2.0
    log_likelihood = drifts * score * math.sqrt(clock) - drifts**2 * clock / 2.0
    log_likelihood -= np.log(_chance_to_find(drifts, looks, critical))
    weights = _WEIGHTS * np.exp(log_likelihood - log_likelihood.max())
    return min(1.0, float(weights @ drifts / weights.sum()) / naive)


def _chance_to_find(drifts: Floats, looks: Sequence[float], critical: Sequence[float]) -> Floats:
    """Return for every drift the chance that a score exceeds its critical value at any look.

    The density of a Brownian motion without drift that has crossed at no look so far is carried
    from look to look (Armitage, McPherson and Rowe 1969); at the end its mean under a drift
    follows by Girsanov's theorem.
    """
    before, mass, last = np.zeros(1), np.ones(1), 0.0
    for look, bound in zip(looks, critical, strict=True):
        spread = look - last
        low, high = -_FAR * math.sqrt(look), bound * math.sqrt(look)
        here = low + (high - low) * (_NODES + 1.0) / 2.0
        kernel = np.exp(-((here[:, None] - before) ** 2) / (2.0 * spread))
        density = kernel @ mass / math.sqrt(2.0 * math.pi * spread)
        mass = density * _WEIGHTS * (high - low) / 2.0
        before, last = here, look
    kept = np.exp(drifts[:, None] * before - drifts[:, None] ** 2 * last / 2.0) @ mass
    return np.clip(1.0 - kept, 1e-12, 1.0)
