"""Confidence sequences: intervals that stay valid when somebody looks every day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from feed.experiments.statistics.effects import Effect, Interval, fieller_interval

DEFAULT_BURN_IN = 100
"""Readers in each variant before the first statement: the theory is asymptotic."""


@dataclass(frozen=True, slots=True)
class SequentialEstimate:
    """What may be said at this look, whatever the number of looks; None where nothing may.

    Attributes:
        interval: For the difference.
        relative_interval: For the relative effect, by Fieller with the same critical value.
        p_value: Always valid; the smallest over all looks is valid too.
        critical: Half-width in standard errors (1.96 would be the single look at 95 %).
        reason: Why there is no estimate, in words; empty when there is one.
    """

    interval: Interval | None = None
    relative_interval: Interval | None = None
    p_value: float | None = None
    critical: float | None = None
    reason: str = ""


def mixing_scale(n_planned: int, alpha: float) -> float:
    """The rho with the narrowest interval at the planned number of readers.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), Time-uniform central limit
    theory and asymptotic confidence sequences, arXiv 2103.06476, section 3.5, approximation of
    the optimal rho.

    Args:
        n_planned: Readers planned, all variants of the comparison together.
        alpha: Error over all looks.

    Returns:
        rho, in units of 1 / sqrt(readers).
    """
    twice_log = -2.0 * math.log(alpha)
    return math.sqrt((twice_log + math.log(twice_log + 1.0)) / max(n_planned, 1))


def critical_value(n: int, n_planned: int, alpha: float, comparisons: int = 1) -> float:
    """Half-width of the sequence at n readers, in standard errors.

    sqrt(2 (n rho^2 + 1) / (n rho^2) * ln(sqrt(n rho^2 + 1) / alpha)): theorem 2.2 of the source
    with the variance of one reader written as n times that of the effect. With several
    comparisons each gets its part of alpha (Bonferroni) while rho stays, so that the interval
    leaves 0 out exactly when the p-value lies under that part.

    Source: as ``mixing_scale``.

    Args:
        n: Readers so far, both variants.
        n_planned: Readers planned, both variants.
        alpha: Error over all looks.
        comparisons: That share the error.

    Returns:
        The critical value; about 3.03 at the planned size and 5 %.
    """
    clock = n * mixing_scale(n_planned, alpha) ** 2
    log_width = math.log(comparisons * math.sqrt(clock + 1.0) / alpha)
    return math.sqrt(2.0 * (clock + 1.0) / clock * log_width)


def estimate_sequence(
    effect: Effect, n_planned: int, *, burn_in: int = DEFAULT_BURN_IN, comparisons: int = 1
) -> SequentialEstimate:
    """Turn the effect at one look into a statement that is valid over all looks.

    Source: Waudby-Smith et al. (2021), theorem 2.2; the p-value is its inversion at fixed rho.

    Args:
        effect: The effect at this look; its level sets the error over all looks.
        n_planned: Readers planned in both variants together, fixed before the start.
        burn_in: Readers in each variant below which nothing is said.
        comparisons: That the interval has to hold for all together; the p-value is that of one.

    Returns:
        The estimate.
    """
    if effect.difference is None or effect.standard_error is None:
        return SequentialEstimate(reason=effect.reason)
    if min(effect.control.n, effect.treatment.n) < burn_in:
        return SequentialEstimate(reason=f"fewer than {burn_in} readers in a variant")
    n = effect.control.n + effect.treatment.n
    score = effect.difference / effect.standard_error
    critical = critical_value(n, n_planned, 1.0 - effect.level, comparisons)
    return _sequence(effect, score, n, n_planned, critical)


def estimate_group_sequence(
    effect: Effect,
    readers: tuple[int, int],
    n_planned: int,
    *,
    burn_in: int = DEFAULT_BURN_IN,
) -> SequentialEstimate:
    """Turn an effect measured on groups of readers into a statement valid over all looks.

    Time is counted in readers, of which groups are only a way to see the spread; but a spread
    seen in twenty groups is uncertain itself. Student's t with the effect's degrees of freedom is
    therefore exchanged for the normal score of the same tail before the sequence judges it, and
    the interval is widened likewise. That is no theorem, and `scripts/lab/run bench/statistics`
    tries it.

    Args:
        effect: Of group means; its `n` are groups.
        readers: Readers behind the groups of control and of treatment.
        n_planned: Readers planned in both variants together.
        burn_in: Readers in each variant below which nothing is said.

    Returns:
        The estimate; `critical` in standard errors of the groups.
    """
    freedom = effect.degrees_of_freedom
    if effect.difference is None or effect.standard_error is None or freedom is None:
        return SequentialEstimate(reason=effect.reason)
    if min(readers) < burn_in:
        return SequentialEstimate(reason=f"fewer than {burn_in} readers in a variant")
    n = sum(readers)
    tail = float(stdtr(freedom, -abs(effect.difference) / effect.standard_error))
    score = -float(ndtri(tail))
    normal = critical_value(n, n_planned, 1.0 - effect.level)
    critical = -float(stdtrit(freedom, float(ndtr(-normal))))
    return _sequence(effect, score, n, n_planned, critical)


def _sequence(
    effect: Effect, score: float, n: int, n_planned: int, critical: float
) -> SequentialEstimate:
    """Return the statement: the p-value from the normal score, the interval of `critical`."""
    difference, error = effect.difference or 0.0, effect.standard_error or 0.0
    clock = n * mixing_scale(n_planned, 1.0 - effect.level) ** 2
    log_p = 0.5 * math.log(clock + 1.0) - 0.5 * score**2 * clock / (clock + 1.0)
    return SequentialEstimate(
        interval=Interval(difference - critical * error, difference + critical * error),
        relative_interval=fieller_interval(
            effect.control, effect.treatment, critical, effect.least
        ),
        p_value=math.exp(min(log_p, 0.0)),
        critical=critical,
    )


def running_p_values(p_values: Sequence[float | None]) -> list[float | None]:
    """The smallest always-valid p-value up to each look; None until there is one.

    Args:
        p_values: One a look, in the order of the looks.

    Returns:
        As many numbers, never rising.
    """
    smallest: float | None = None
    running = []
    for p_value in p_values:
        if p_value is not None:
            smallest = p_value if smallest is None else min(smallest, p_value)
        running.append(smallest)
    return running
