"""Guardrail metrics: whether the treatment is no worse than control by more than a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtr, stdtrit

from feed.experiments.statistics.effects import (
    ArmMean,
    Effect,
    Interval,
    fieller_interval,
    welch_freedom,
)

Better = Literal["up", "down", "neither"]
GuardrailVerdict = Literal["holds", "breached", "unproven", "no_estimate"]


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What the data say about one guardrail.

    Attributes:
        verdict: ``holds``: a loss as large as the margin is rejected. ``breached``: a loss
            smaller than the margin is rejected. ``unproven``: neither. ``no_estimate``: no data.
        margin: The loss that is tolerated, as a share of control or in the metric's unit.
        p_holds: One-sided p-value of "the loss is as large as the margin or larger".
        p_breached: One-sided p-value of "the loss is no larger than the margin".
        interval: For the difference; each end errs with the error of one of the two statements.
        relative_interval: The same for the relative effect, by Fieller. Where control is above 0,
            it leaves out a relative margin exactly when the verdict is ``holds`` or ``breached``.
        reason: Why there is no estimate; empty otherwise.
    """

    verdict: GuardrailVerdict
    margin: float
    p_holds: float | None = None
    p_breached: float | None = None
    interval: Interval | None = None
    relative_interval: Interval | None = None
    reason: str = ""

    def with_intervals(self, effect: Effect, critical: float) -> Guardrail:
        """Return the same with the intervals of an effect, `critical` standard errors wide."""
        difference, error = effect.difference, effect.standard_error
        if difference is None or error is None:
            return self
        reach = critical * error
        return replace(
            self,
            interval=Interval(difference - reach, difference + reach),
            relative_interval=fieller_interval(
                effect.control, effect.treatment, critical, effect.least
            ),
        )


def check_guardrail(
    effect: Effect,
    margin: float,
    better: Better = "up",
    *,
    relative: bool = True,
    alpha: float = 0.05,
) -> Guardrail:
    """Test non-inferiority with a margin.

    The test is on the contrast treatment - (1 - margin) control (plus, not minus, when lower is
    better, or where control lies under 0), so a relative margin needs no ratio and no logarithm.

    Source: Schuirmann (1987) for the one-sided tests; Laster and Johnson (2003), Non-inferiority
    trials: the "at least as good as" criterion, for the contrast of a relative margin.

    Args:
        effect: The guardrail metric's effect, raw or adjusted.
        margin: Tolerated loss, zero or more.
        better: Which way is better.
        relative: Whether the margin is a share of control or absolute.
        alpha: One-sided error of each of the two statements.

    Returns:
        The verdict with both p-values and the intervals that agree with it.

    Raises:
        ValueError: The margin is negative.
    """
    if margin < 0:
        raise ValueError("a margin is a tolerated loss and cannot be negative")
    control, treatment = effect.control, effect.treatment
    if control.mean is None or treatment.mean is None or min(control.n, treatment.n) < 2:
        return Guardrail("no_estimate", margin, reason=effect.reason)
    sign = -1.0 if better == "down" else 1.0
    scale = scale_of_margin(margin, control.mean, sign) if relative else 1.0
    shift = 0.0 if relative else sign * margin
    variance = treatment.variance + scale**2 * control.variance
    if variance <= 0:
        return Guardrail("no_estimate", margin, reason=effect.reason or _CONSTANT)
    gap = sign * (treatment.mean - scale * control.mean + shift)
    p_holds = _upper_tail(gap, variance, control, treatment, scale)
    verdict: GuardrailVerdict = "unproven"
    if p_holds < alpha:
        verdict = "holds"
    elif 1.0 - p_holds < alpha:
        verdict = "breached"
    critical = float(stdtrit(welch_freedom(control, treatment, scale), 1.0 - alpha))
    found = Guardrail(verdict, margin, p_holds, 1.0 - p_holds)
    return found.with_intervals(effect, critical)


def scale_of_margin(margin: float, control: float, sign: float) -> float:
    """Return what times control is the worst treatment that a relative margin tolerates.

    The loss is a share of control's size: under 0, as with refunds, tolerating it means further
    from 0 where higher is better.

    Args:
        margin: Tolerated loss, as a share.
        control: Mean of control.
        sign: 1.0, or -1.0 where lower is better.
    """
    return 1.0 - math.copysign(margin, sign * control)


_CONSTANT = "every reader has the same value, so there is nothing to measure by"


def _upper_tail(
    gap: float, variance: float, control: ArmMean, treatment: ArmMean, scale: float
) -> float:
    freedom = welch_freedom(control, treatment, scale)
    return float(stdtr(freedom, -gap / math.sqrt(variance)))
