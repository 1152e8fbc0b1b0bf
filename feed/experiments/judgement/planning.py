"""How many readers and days a design needs: the fast half of planning, pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from feed.experiments.design.definitions import Experiment, GuardrailSpec, StoppingRule, Variant
from feed.experiments.design.traffic import cumulate_joined
from feed.experiments.judgement.baseline import Baseline
from feed.experiments.statistics.aggregates import GROUPS, NO_READERS, Moments
from feed.experiments.statistics.effects import ArmMean, welch_freedom
from feed.experiments.statistics.power import (
    DAYS_A_WEEK,
    TOO_MANY,
    Plan,
    adjusted_variance,
    plan_days,
    plan_noninferiority,
    plan_readers,
    whole_weeks,
)
from feed.experiments.statistics.sequential import DEFAULT_BURN_IN

CURVE = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Effects of the curve, as multiples of the smallest one that matters."""


@dataclass(frozen=True, slots=True)
class MetricNeed:
    """What one metric needs; None where the archive cannot tell.

    Attributes:
        metric: Its name.
        role: `primary` or `guardrail`.
        mean: Per reader, or the ratio.
        standard_deviation: Of one reader, without the covariate; for a ratio by the delta method.
        variance_saved: Share of the variance that the covariate takes away.
        readers: Every variant together, in the treatment that needs most.
        reason: Why there is no number; empty otherwise.
    """

    metric: str
    role: str
    mean: float | None = None
    standard_deviation: float | None = None
    variance_saved: float | None = None
    readers: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What it takes to find another effect; the guardrails' need stays."""

    effect: float
    readers: int | None
    days: int | None


@dataclass(frozen=True, slots=True)
class Need:
    """What a design needs; None where the archive cannot tell.

    Attributes:
        readers: Every variant together, so that each primary metric is proven, and each guardrail
            metric proven to hold, with the power wanted.
        days: In whole weeks.
        reason: Why there is no number; empty otherwise.
        readers_a_day: Readers who join on a day, in the last week of the archive; with all the
            traffic that is planned.
        comparisons: Primary metrics times treatments, which share the error (Bonferroni).
        covariate_days: Days of the archive that the covariate was taken from.
        metrics: Each primary and each guardrail metric.
        curve: Effects against readers and days.
    """

    readers: int | None = None
    days: int | None = None
    reason: str = ""
    readers_a_day: float = 0.0
    comparisons: int = 1
    covariate_days: int = 0
    metrics: tuple[MetricNeed, ...] = ()
    curve: tuple[CurvePoint, ...] = ()


def compute_need(design: Experiment, baseline: Baseline) -> Need:
    """Compute what it takes to find the smallest effect worth finding.

    The metric that needs most decides. Primary metrics are planned with the correction that the
    report uses, guardrail metrics for a treatment that changes nothing; each single one then has
    the power wanted, not all of them together.
    """
    arrivals = [came * (1.0 - design.holdout_share) for came in baseline.arrivals]
    if not arrivals:
        return Need(reason="the archive holds no personalized feeds to plan from")
    arrivals += _further_arrivals(design, arrivals)
    primaries = _plan_primaries(design, baseline, design.minimum_effect)
    guardrails = [_plan_guardrail(design, spec, baseline) for spec in design.guardrails]
    unknown = next((need.reason for need in primaries if need.readers is None), "")
    if TOO_MANY in {need.reason for need in guardrails}:
        unknown = TOO_MANY
    held = [need.readers for need in guardrails if need.readers is not None]
    cumulative = cumulate_joined(arrivals, design.traffic, design.ramp)
    curve = []
    for factor in CURVE:
        effect = factor * design.minimum_effect
        wanted = [need.readers for need in _plan_primaries(design, baseline, effect)]
        known = [n for n in wanted if n is not None]
        readers = None if unknown or len(known) < len(wanted) else max(held + known)
        curve.append(CurvePoint(effect, readers, _days_for(design, readers, cumulative)))
    planned = curve[CURVE.index(1.0)]
    return Need(
        planned.readers,
        planned.days,
        unknown
        or ("" if planned.days else "the archive's readers do not grow towards that number"),
        readers_a_day=_growth(cumulative),
        comparisons=design.comparisons,
        covariate_days=baseline.covariate_days,
        metrics=(*primaries, *guardrails),
        curve=tuple(curve),
    )


def _further_arrivals(design: Experiment, arrivals: Sequence[float]) -> list[float]:
    """Return the new readers of days past the archive's end, as many as its last week had.

    With these days, the part of the traffic that is let in last joins for as long as the archive.
    """
    last_week = arrivals[-DAYS_A_WEEK:]
    days = math.ceil(design.ramp[-1].after_days) if design.ramp else 0
    return [sum(last_week) / len(last_week)] * days


def _growth(cumulative: Sequence[float]) -> float:
    """Return the readers who join on a day, in the last week."""
    before = [0.0, *cumulative][-DAYS_A_WEEK - 1 :]
    return (before[-1] - before[0]) / (len(before) - 1)


def _plan_primaries(design: Experiment, baseline: Baseline, effect: float) -> list[MetricNeed]:
    found = []
    for name in design.primary_metrics:
        moments = baseline.moments.get(name, NO_READERS)
        plans = [
            plan_readers(
                moments,
                effect,
                alpha=design.alpha,
                power=design.power,
                treatment_share=arm.share / (design.control.share + arm.share),
                sequential=design.stopping_rule is StoppingRule.SEQUENTIAL,
                comparisons=design.comparisons,
            )
            for arm in design.treatments
        ]
        found.append(_need_of(design, name, "primary", moments, plans))
    return found


def _plan_guardrail(design: Experiment, spec: GuardrailSpec, baseline: Baseline) -> MetricNeed:
    metric = design.metric(spec.metric)
    moments = baseline.moments.get(spec.metric, NO_READERS)
    plans = [
        plan_noninferiority(
            moments,
            spec.margin,
            relative=spec.relative,
            lower_is_better=metric.better == "down",
            alpha=design.alpha,
            power=design.power,
            treatment_share=arm.share / (design.control.share + arm.share),
            sequential=design.stopping_rule is StoppingRule.SEQUENTIAL,
            freedom=_freedom_of_groups(design, arm) if metric.grouped else math.inf,
        )
        for arm in design.treatments
    ]
    return _need_of(design, spec.metric, "guardrail", moments, plans)


def _freedom_of_groups(design: Experiment, arm: Variant) -> float:
    """Return the degrees of freedom of a metric that groups have, when all groups vary alike."""
    smallest = min(other.share for other in design.arms)
    control, treatment = (
        ArmMean(groups := max(2, round(GROUPS * share / smallest)), 0.0, 1.0 / groups)
        for share in (design.control.share, arm.share)
    )
    return welch_freedom(control, treatment)


def _need_of(
    design: Experiment, metric: str, role: str, moments: Moments, plans: Sequence[Plan]
) -> MetricNeed:
    if moments.n == 0:
        return MetricNeed(metric, role, reason="the archive does not show how it varies")
    variance = moments.linear_covariance(0, 0)
    readers, reason = 0, ""
    for plan, arm in zip(plans, design.treatments, strict=True):
        if plan.control is None or plan.treatment is None:
            reason = plan.reason
            continue
        pair = design.control.share + arm.share
        readers = max(readers, math.ceil((plan.control + plan.treatment) / pair))
    if design.stopping_rule is StoppingRule.SEQUENTIAL:
        least = min(arm.share for arm in design.arms)
        readers = max(readers, math.ceil(DEFAULT_BURN_IN / least))
    return MetricNeed(
        metric,
        role,
        mean=moments.ratio,
        standard_deviation=math.sqrt(max(variance, 0.0)),
        variance_saved=1.0 - adjusted_variance(moments) / variance if variance > 0 else None,
        readers=None if reason else readers,
        reason=reason,
    )


def _days_for(design: Experiment, readers: int | None, cumulative: Sequence[float]) -> int | None:
    days = None if readers is None else plan_days(readers, cumulative)
    last_step = design.ramp[-1].after_days if design.ramp else 0.0
    least = max(design.minimum_days, math.floor(last_step) + 1)
    return None if days is None else max(days, whole_weeks(least))
