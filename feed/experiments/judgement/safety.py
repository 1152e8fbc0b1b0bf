"""What the watch may act on although it looks every hour, and how surely."""

from __future__ import annotations

from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.results import (
    CheckState,
    GuardrailResult,
    MetricResult,
    Report,
    TrustCheck,
)
from feed.experiments.judgement.standings import describe_effect
from feed.experiments.judgement.wording import metric_value, p_value, percent
from feed.experiments.statistics.noninferiority import Guardrail

LEAST_READERS = 200
"""Readers in each variant of a comparison before a guardrail may stop an experiment, and in all
variants together before a trust check other than the sample ratio raises an alert on day one."""

STOPPING_CHECKS = frozenset({"Sample ratio"})
"""Trust checks that may stop an experiment. A false alarm of theirs has a known chance however
often somebody looks, and what they find spoils all data that would still come."""


def count_guardrails(experiment: Experiment) -> int:
    """Return how many pairs of guardrail and treatment share the error of the watch."""
    return len(experiment.guardrails) * len(experiment.treatments)


def is_breach(outcome: Guardrail, alpha: float, comparisons: int) -> bool:
    """Say whether a breach is proven among several comparisons, over all looks.

    Bonferroni's correction: where every loss is within its margin, the chance that this is ever
    true for any of the comparisons is at most `alpha`, however often somebody looks.

    Args:
        outcome: By the confidence sequence (`check_guardrail_sequence`).
        alpha: Error over all looks and comparisons.
        comparisons: Pairs of guardrail and treatment.
    """
    return outcome.p_breached is not None and outcome.p_breached * comparisons < alpha


def find_breaches(report: Report) -> list[GuardrailResult]:
    """Return the guardrails that are proven to be breached; the report's rule is sequential."""
    experiment = report.experiment
    count = count_guardrails(experiment)
    return [r for r in report.guardrails if is_breach(r.outcome, experiment.alpha, count)]


def has_readers_to_stop(report: Report, breach: GuardrailResult) -> bool:
    """Say whether a breach rests on enough readers to stop the experiment for it."""
    sides = {report.experiment.control.name, breach.comparison.treatment}
    return all(arm.analysed >= LEAST_READERS for arm in report.arms if arm.name in sides)


def find_faults(report: Report) -> list[TrustCheck]:
    """Return the trust checks that failed; the report's rule is sequential.

    A share among the first few readers says little, so on the first day, while there are few,
    only the sample ratio is looked at.
    """
    failed = [check for check in report.checks if check.state is CheckState.FAILED]
    if report.days_run < 1.0 and sum(arm.exposed for arm in report.arms) < LEAST_READERS:
        return [check for check in failed if check.name in STOPPING_CHECKS]
    return failed


def describe_breach(breach: GuardrailResult) -> str:
    """Say in a sentence what got worse, by how much, and how much is tolerated."""
    treatment, spec = breach.comparison.treatment, breach.spec
    effect = describe_effect(MetricResult(breach.metric, (breach.comparison,)), treatment)
    margin = (
        percent(spec.margin) if spec.relative else metric_value(spec.margin, breach.metric.form)
    )
    certainty = f"{p_value(breach.outcome.p_breached)}, valid at every look"
    return f"In {treatment}, {effect}; the guardrail tolerates {margin} ({certainty})."
