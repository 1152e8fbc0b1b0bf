"""Estimates for each metric from moments: effects, corrections, guardrails, power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from feed.experiments.design.definitions import Experiment, GuardrailSpec, StoppingRule
from feed.experiments.design.measures import Measure
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.results import (
    Comparison,
    GuardrailResult,
    MetricResult,
    PowerSummary,
)
from feed.experiments.log.summaries import count_analysed, read_group_values, read_moments
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import (
    ArmMean,
    Effect,
    compare_means,
    estimate_adjusted_effect,
    estimate_effect,
)
from feed.experiments.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm_of_all
from feed.experiments.statistics.noninferiority import (
    Guardrail,
    GuardrailVerdict,
    check_guardrail,
    scale_of_margin,
)
from feed.experiments.statistics.power import minimum_detectable_effect, power_reached
from feed.experiments.statistics.sequential import (
    SequentialEstimate,
    estimate_group_sequence,
    estimate_sequence,
)

_TAKEN_BACK = frozenset({"likes", "dislikes", "saves", "hides"})
"""Quantities that count less what was taken back, so that a reader's may be negative."""


def compare_moments(
    control: Moments, treatment: Moments, level: float, least: float | None = None
) -> Comparison:
    """Compare two groups of readers, raw and, where the time before says something, adjusted.

    `least` is the least relative effect that can be (`least_effect`), if any.
    """
    raw = estimate_effect(control, treatment, level=level, least=least)
    adjusted = estimate_adjusted_effect(control, treatment, level=level, least=least)
    helps = adjusted.slope != 0 and adjusted.effect.p_value is not None
    return Comparison("", raw, adjusted if helps else None)


def least_effect(metric: Metric) -> float | None:
    """Return -1.0 if a metric is never negative; None if it may be, so that no effect is least."""
    return -1.0 if all(map(_never_negative, metric.measures or (metric.measure,))) else None


def _never_negative(measure: Measure) -> bool:
    if measure.event:
        return measure.how in {"count", "distinct"}
    return measure.of not in _TAKEN_BACK


def planned_pair(experiment: Experiment, treatment: str) -> int:
    """Return the readers planned in control and one treatment together."""
    share = experiment.control.share + experiment.variant(treatment).share
    return max(2, round(experiment.planned_readers * share))


def estimate_metric(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, metric: Metric
) -> MetricResult:
    """Estimate one metric in every treatment, without corrections for others."""
    level = 1.0 - experiment.alpha
    moments: Mapping[tuple[str, ...], Moments]
    if metric.grouped:
        shares = {arm.name: arm.share for arm in experiment.arms}
        values = read_group_values(connection, metric, shares)
        moments = {(name,): Moments.from_arrays(values.get(name, [])) for name in shares}
    else:
        moments = read_moments(connection, metric)
    nobody = Moments.from_arrays([])
    control = moments.get((experiment.control.name,), nobody)
    comparisons = []
    for arm in experiment.treatments:
        treated = moments.get((arm.name,), nobody)
        found = compare_moments(control, treated, level, least_effect(metric))
        comparisons.append(replace(found, treatment=arm.name, p_value=found.deciding.p_value))
    return MetricResult(metric, tuple(comparisons))


def estimate_primaries(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[MetricResult, ...]:
    """Estimate the primary metrics with their sequences, corrected by Holm over all of them."""
    results = []
    for name in experiment.primary_metrics:
        result = estimate_metric(connection, experiment, experiment.metric(name))
        comparisons = [apply_rule(experiment, found) for found in result.comparisons]
        results.append(MetricResult(result.metric, tuple(comparisons)))
    return _corrected(results, holm=True)


def apply_rule(experiment: Experiment, found: Comparison) -> Comparison:
    """Add the sequence, and the p-value and the interval that the registered rule reads.

    The simultaneous interval is Bonferroni's: where it leaves 0 out, Holm's p-value is under
    alpha, so the two never contradict each other in favour of the effect.
    """
    effect, planned = found.deciding, planned_pair(experiment, found.treatment)
    count = experiment.comparisons
    sequence = estimate_sequence(effect, planned)
    if experiment.stopping_rule is StoppingRule.SEQUENTIAL:
        together: SequentialEstimate | Effect = estimate_sequence(
            effect, planned, comparisons=count
        )
        p_value = sequence.p_value
    else:
        level = 1.0 - experiment.alpha / count
        together = compare_means(effect.control, effect.treatment, level, effect.least)
        p_value = effect.p_value
    return replace(
        found,
        sequence=sequence,
        p_value=p_value,
        simultaneous=together.relative_interval,
        simultaneous_difference=together.interval,
    )


def estimate_secondaries(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[MetricResult, ...]:
    """Estimate the secondary metrics, corrected by Benjamini and Hochberg over all of them."""
    results = [
        estimate_metric(connection, experiment, experiment.metric(name))
        for name in experiment.secondaries
    ]
    return _corrected(results, holm=False)


def estimate_guardrails(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[GuardrailResult, ...]:
    """Test every guardrail in every treatment."""
    counts = count_analysed(connection)
    results = []
    for spec in experiment.guardrails:
        metric = experiment.metric(spec.metric)
        for comparison in estimate_metric(connection, experiment, metric).comparisons:
            pair = (counts.get(experiment.control.name, 0), counts.get(comparison.treatment, 0))
            outcome = judge_guardrail(experiment, spec, metric, comparison, pair)
            results.append(GuardrailResult(spec, metric, comparison, outcome))
    return tuple(results)


def judge_guardrail(
    experiment: Experiment,
    spec: GuardrailSpec,
    metric: Metric,
    comparison: Comparison,
    readers: tuple[int, int],
) -> Guardrail:
    """Judge one guardrail: under a sequential rule at any look, else at the one planned.

    Args:
        experiment: As registered.
        spec: The guardrail.
        metric: What it is about.
        comparison: The estimate in one treatment.
        readers: Analysed in control and in that treatment.

    Returns:
        The verdict.
    """
    effect = comparison.deciding
    if _identical(effect):
        return Guardrail("holds", spec.margin, reason="both variants have the same value")
    if experiment.stopping_rule is StoppingRule.FIXED:
        return check_guardrail(
            effect, spec.margin, metric.better, relative=spec.relative, alpha=experiment.alpha
        )
    planned = planned_pair(experiment, comparison.treatment)
    return check_guardrail_sequence(effect, spec, metric, readers, planned, experiment.alpha)


def check_guardrail_sequence(
    effect: Effect,
    spec: GuardrailSpec,
    metric: Metric,
    readers: tuple[int, int],
    n_planned: int,
    alpha: float,
) -> Guardrail:
    """Test non-inferiority by a confidence sequence, so that it may be read at any look.

    The contrast is that of `check_guardrail`: treatment less (1 - margin) control, plus where
    lower is better. Each one-sided statement errs with `alpha` over all looks, so the two-sided
    sequence is taken at twice that.

    Args:
        effect: The guardrail metric's effect.
        spec: The margin.
        metric: For its direction, and whether only groups of readers have it.
        readers: In control and treatment.
        n_planned: Readers planned in both variants.
        alpha: One-sided error over all looks.

    Returns:
        The verdict with the intervals of the sequence; `unproven` and without any before the
        sequence may say anything.
    """
    control, treatment = effect.control, effect.treatment
    if control.mean is None or treatment.mean is None:
        return Guardrail("no_estimate", spec.margin, reason=effect.reason)
    sign = metric.sign
    scale = scale_of_margin(spec.margin, control.mean, sign) if spec.relative else 1.0
    shift = 0.0 if spec.relative else sign * spec.margin
    bar = ArmMean(control.n, scale * control.mean - shift, scale**2 * control.variance)
    contrast = compare_means(bar, treatment, 1.0 - 2.0 * alpha)
    sequence: SequentialEstimate = (
        estimate_group_sequence(contrast, readers, n_planned)
        if metric.grouped
        else estimate_sequence(contrast, n_planned)
    )
    critical = sequence.critical
    if sequence.interval is None or sequence.p_value is None or critical is None:
        state = "unproven" if contrast.standard_error is not None else "no_estimate"
        return Guardrail(state, spec.margin, reason=sequence.reason)  # type: ignore[arg-type]
    half = sequence.p_value / 2.0
    good = sign * (contrast.difference or 0.0) > 0
    p_holds, p_breached = (half, 1.0) if good else (1.0, half)
    proven: GuardrailVerdict = "holds" if good else "breached"
    verdict = "unproven" if sequence.interval.covers(0.0) else proven
    found = Guardrail(verdict, spec.margin, p_holds, p_breached)
    return found.with_intervals(effect, critical)


def summarise_power(
    experiment: Experiment, primaries: Sequence[MetricResult]
) -> tuple[PowerSummary, ...]:
    """Say what the primaries could have shown, for the effect registered before the start.

    Each comparison has its part of alpha (Bonferroni), as in the plan. Before the sequence may say
    anything, nothing could have been shown.
    """
    sequential = experiment.stopping_rule is StoppingRule.SEQUENTIAL
    count = experiment.comparisons
    found = []
    for result in primaries:
        for comparison in result.comparisons:
            effect, critical = comparison.deciding, None
            if sequential:
                planned = planned_pair(experiment, comparison.treatment)
                critical = estimate_sequence(effect, planned, comparisons=count).critical
            power = detectable = None
            mean, error = effect.control.mean, effect.standard_error
            if mean and error and (critical is not None or not sequential):
                alpha = experiment.alpha / count
                difference = experiment.minimum_effect * mean
                power = power_reached(error, difference, alpha=alpha, critical=critical)
                least = minimum_detectable_effect(
                    error, alpha=alpha, power=experiment.power, critical=critical
                )
                detectable = None if least is None else least / abs(mean)
            found.append(
                PowerSummary(
                    result.metric.name,
                    comparison.treatment,
                    experiment.minimum_effect,
                    power,
                    detectable,
                )
            )
    return tuple(found)


def effects_by_key(
    moments: Mapping[tuple[str, ...], Moments],
    control: str,
    treatment: str,
    level: float,
    least: float | None,
) -> dict[str, Effect]:
    """Return the deciding effect for every second part of the keys, largest group first."""
    nobody = Moments.from_arrays([])
    parts = {key[1] for key in moments}
    pairs = {
        part: (moments.get((control, part), nobody), moments.get((treatment, part), nobody))
        for part in parts
    }
    ordered = sorted(pairs, key=lambda part: (-sum(m.n for m in pairs[part]), part))
    return {part: compare_moments(*pairs[part], level, least).deciding for part in ordered}


def _corrected(results: Sequence[MetricResult], *, holm: bool) -> tuple[MetricResult, ...]:
    flat = [comparison.p_value for result in results for comparison in result.comparisons]
    adjusted = iter(adjust_holm_of_all(flat) if holm else adjust_benjamini_hochberg(flat))
    return tuple(
        MetricResult(
            result.metric,
            tuple(replace(found, p_adjusted=next(adjusted)) for found in result.comparisons),
        )
        for result in results
    )


def _identical(effect: Effect) -> bool:
    control, treatment = effect.control, effect.treatment
    if control.mean is None or treatment.mean is None:
        return False
    still = control.variance == 0 and treatment.variance == 0
    return still and math.isclose(control.mean, treatment.mean, abs_tol=1e-12)
