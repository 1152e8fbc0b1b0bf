"""Corrects gains that were found before the planned end for the bias of an early stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.estimates import planned_pair
from feed.experiments.judgement.results import Comparison, MetricResult
from feed.experiments.statistics.early_stop import shrink_early_effect
from feed.experiments.statistics.sequential import critical_value


def correct_early_gains(
    experiment: Experiment, primaries: Sequence[MetricResult], *, complete: bool
) -> tuple[MetricResult, ...]:
    """Add the corrected effect to every proven effect, unless the plan was followed to its end."""
    if complete or experiment.stopping_rule is StoppingRule.FIXED:
        return tuple(primaries)
    return tuple(
        MetricResult(result.metric, tuple(_correct(experiment, c) for c in result.comparisons))
        for result in primaries
    )


def _correct(experiment: Experiment, found: Comparison) -> Comparison:
    effect = found.deciding
    proven = found.p_adjusted is not None and found.p_adjusted < experiment.alpha
    if not proven or not effect.difference or not effect.standard_error or not effect.relative:
        return found
    planned = planned_pair(experiment, found.treatment)
    days = range(experiment.minimum_days, experiment.planned_days + 1)
    looks = [day / experiment.planned_days for day in days]
    critical = [
        critical_value(
            max(1, round(look * planned)), planned, experiment.alpha, experiment.comparisons
        )
        for look in looks
    ]
    factor = shrink_early_effect(
        abs(effect.difference) / effect.standard_error,
        min(1.0, (effect.control.n + effect.treatment.n) / planned),
        looks,
        critical,
    )
    return replace(found, corrected=factor * effect.relative)
