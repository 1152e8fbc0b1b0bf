"""Power: the readers and days that an effect needs, and the effect that the data could detect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri, stdtrit

from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.noninferiority import scale_of_margin
from feed.experiments.statistics.sequential import critical_value

DAYS_A_WEEK = 7
_NEWTON_STEPS = 50
MOST_READERS = 10**10
"""No plan asks for more; a definition cannot name more either."""
TOO_MANY = "more than 10 billion readers would be needed"


@dataclass(frozen=True, slots=True)
class Plan:
    """Readers that an experiment needs; None where the baseline does not allow a plan.

    Attributes:
        relative_effect: The effect to be found, as a share of control.
        difference: The same in the metric's unit.
        alpha: Two-sided error.
        power: Chance to find the effect when it is there.
        sequential: Whether the size allows for looking every day.
        control: Readers in control.
        treatment: Readers in treatment.
        reason: Why there is no plan; empty otherwise.
    """

    relative_effect: float
    difference: float | None
    alpha: float
    power: float
    sequential: bool
    control: int | None = None
    treatment: int | None = None
    reason: str = ""


def plan_readers(
    baseline: Moments,
    relative_effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    sequential: bool = False,
    equal_variance: bool = False,
    comparisons: int = 1,
) -> Plan:
    """Plan the readers for a two-sided test of one metric, a mean or a ratio of means.

    Source: normal approximation, as in van Belle (2008), Statistical rules of thumb, 2.1, with
    both tails; for a ratio with the variance of the delta method, as `linear_covariance`. For a
    sequence, the last-look rule: the critical value of the sequence at its planned size takes the
    place of the fixed one, which errs on the safe side. Several comparisons are planned by
    Bonferroni, the first step of Holm's correction: each one then has the power wanted even if no
    other is proven.

    Args:
        baseline: Moments of readers like those to come, none of them treated; with a covariate,
            the plan is for the adjusted effect.
        relative_effect: Smallest effect worth finding, as a share of control; not zero.
        alpha: Two-sided error.
        power: Chance wanted, over ``alpha`` and under 1.
        treatment_share: Share of treatment among the readers of both variants.
        sequential: Plan for the confidence sequence.
        equal_variance: Whether treatment leaves the variance alone. By default a gain stretches
            it with the square of the mean, as it does for counts and times; planning without
            that loses 4 points of power at an effect of 15 %.
        comparisons: That share the error.

    Returns:
        The plan.
    """
    mean = baseline.ratio
    variance = adjusted_variance(baseline)
    if mean is None or mean == 0 or variance <= 0 or relative_effect == 0:
        reason = "the baseline has no positive mean and variance to plan from"
        return Plan(relative_effect, None, alpha, power, sequential, reason=reason)
    difference = abs(relative_effect * mean)
    critical = (
        critical_value(1, 1, alpha, comparisons)
        if sequential
        else -float(ndtri(alpha / comparisons / 2.0))
    )
    signal = _signal_for(power, critical)
    stretch = 1.0 if equal_variance else max(1.0, (1.0 + relative_effect) ** 2)
    spread = 1.0 / (1.0 - treatment_share) + stretch / treatment_share
    total = _total(variance * spread, signal, difference)
    if total > MOST_READERS:
        return Plan(relative_effect, None, alpha, power, sequential, reason=TOO_MANY)
    return Plan(
        relative_effect,
        math.copysign(difference, relative_effect),
        alpha,
        power,
        sequential,
        control=max(2, math.ceil(total * (1.0 - treatment_share))),
        treatment=max(2, math.ceil(total * treatment_share)),
    )


def plan_noninferiority(
    baseline: Moments,
    margin: float,
    *,
    relative: bool = True,
    lower_is_better: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    sequential: bool = False,
    freedom: float = math.inf,
) -> Plan:
    """Plan the readers for a proof that a guardrail metric holds where nothing has changed.

    The contrast is that of `check_guardrail`, treatment - (1 - margin) control; without an effect
    it lies margin times control over 0. For a sequence, the last-look rule as in `plan_readers`.

    Source: Chow, Shao, Wang and Lokhnygina (2017), Sample size calculations in clinical research,
    section 3.2.2, with the variance of the contrast of Laster and Johnson (2003).

    Args:
        baseline: Moments of readers like those to come, none of them treated.
        margin: Tolerated loss: a share of control, or in the metric's unit if not ``relative``.
        relative: Which of the two.
        lower_is_better: Whether a loss is a rise.
        alpha: One-sided error.
        power: Chance wanted that the guardrail is proven to hold.
        treatment_share: Share of treatment among the readers of both variants.
        sequential: Plan for the confidence sequence.
        freedom: Degrees of freedom of the estimate, where groups of readers show the spread.

    Returns:
        The plan, for a difference of 0.
    """
    mean, variance = baseline.ratio, adjusted_variance(baseline)
    gap = 0.0 if mean is None else abs(margin * mean) if relative else margin
    if gap <= 0 or variance <= 0:
        reason = (
            "no margin: a loss of 0 can never be ruled out"
            if margin == 0
            else "the baseline has no mean and spread to plan from"
        )
        return Plan(0.0, None, alpha, power, sequential, reason=reason)
    sign = -1.0 if lower_is_better else 1.0
    scale = scale_of_margin(margin, mean or 0.0, sign) if relative else 1.0
    tail = float(ndtr(-critical_value(1, 1, 2.0 * alpha))) if sequential else alpha
    signal = float(stdtrit(freedom, 1.0 - tail) + stdtrit(freedom, power))
    spread = scale**2 / (1.0 - treatment_share) + 1.0 / treatment_share
    total = _total(variance * spread, signal, gap)
    if total > MOST_READERS:
        return Plan(0.0, None, alpha, power, sequential, reason=TOO_MANY)
    return Plan(
        0.0,
        0.0,
        alpha,
        power,
        sequential,
        control=max(2, math.ceil(total * (1.0 - treatment_share))),
        treatment=max(2, math.ceil(total * treatment_share)),
    )


def _total(spread: float, signal: float, difference: float) -> float:
    """Readers of both variants together; infinite for a difference that is as good as none."""
    ratio = signal / difference if difference > 0 else math.inf
    return spread * ratio * ratio


def adjusted_variance(moments: Moments) -> float:
    """Variance per reader of the metric after the covariate, where there is one.

    Source: Deng et al. (2013), eq. 5.

    Args:
        moments: One group of readers.

    Returns:
        The variance in the metric's unit squared; zero when it does not exist.
    """
    variance = moments.linear_covariance(0, 0)
    spread = moments.linear_covariance(2, 2)
    saved = moments.linear_covariance(0, 2) ** 2 / spread if spread > 0 else 0.0
    return max(variance - saved, 0.0)


def plan_days(readers: int, cumulative_readers: Sequence[float]) -> int | None:
    """Days until that many different readers have come, in whole weeks.

    Args:
        readers: Readers needed, every variant together.
        cumulative_readers: Different eligible readers seen up to each day of the archive; past
            its end the mean growth of its last week goes on.

    Returns:
        Days, a multiple of seven; None when they never come.
    """
    for day, seen in enumerate(cumulative_readers, start=1):
        if seen >= readers:
            return whole_weeks(day)
    if not cumulative_readers:
        return None
    window = min(DAYS_A_WEEK, len(cumulative_readers))
    before = cumulative_readers[-window - 1] if len(cumulative_readers) > window else 0.0
    growth = (cumulative_readers[-1] - before) / window
    if growth <= 0:
        return None
    rest = math.ceil((readers - cumulative_readers[-1]) / growth)
    return whole_weeks(len(cumulative_readers) + rest)


def power_reached(
    standard_error: float, difference: float, *, alpha: float = 0.05, critical: float | None = None
) -> float | None:
    """Chance that this experiment had to find the registered effect.

    Only for the effect registered before the start: with the effect observed this number says
    nothing that the p-value does not.

    Source: Hoenig and Heisey (2001), The abuse of power.

    Args:
        standard_error: Reached, of the difference.
        difference: Registered, in the metric's unit.
        alpha: Two-sided error.
        critical: Half-width of the test in standard errors, if not the fixed one.

    Returns:
        The power; None without a standard error.
    """
    if standard_error <= 0:
        return None
    width = -float(ndtri(alpha / 2.0)) if critical is None else critical
    return _power(abs(difference) / standard_error, width)


def minimum_detectable_effect(
    standard_error: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    critical: float | None = None,
) -> float | None:
    """The difference that this experiment would find with the wanted chance.

    Args:
        standard_error: Reached, of the difference.
        alpha: Two-sided error.
        power: Chance wanted.
        critical: Half-width of the test in standard errors, if not the fixed one.

    Returns:
        The difference, in the metric's unit; None without a standard error.
    """
    if standard_error <= 0:
        return None
    width = -float(ndtri(alpha / 2.0)) if critical is None else critical
    return _signal_for(power, width) * standard_error


def whole_weeks(days: int) -> int:
    """Return a number of days rounded up to whole weeks."""
    return math.ceil(days / DAYS_A_WEEK) * DAYS_A_WEEK


def _power(signal: float, critical: float) -> float:
    return float(ndtr(signal - critical) + ndtr(-signal - critical))


def _signal_for(power: float, critical: float) -> float:
    """Return the signal that has a power, by Newton's method from above, where it converges."""
    signal = critical + float(ndtri(power))
    for _ in range(_NEWTON_STEPS):
        slope = _density(signal - critical) - _density(signal + critical)
        step = (_power(signal, critical) - power) / slope
        signal -= step
        if abs(step) < 1e-13:
            break
    return signal


def _density(value: float) -> float:
    return math.exp(-(value**2) / 2.0) / math.sqrt(2.0 * math.pi)
