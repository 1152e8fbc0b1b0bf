"""The verdict: applies the rule that was registered before the start to the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feed.experiments.design.definitions import Experiment, Status, StoppingRule
from feed.experiments.judgement.results import (
    ArmSummary,
    CheckState,
    Comparison,
    GuardrailResult,
    MetricResult,
    TrustCheck,
    Verdict,
    VerdictKind,
)
from feed.experiments.judgement.wording import metric_difference, number, percent, percent_interval
from feed.experiments.statistics.effects import Interval


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where one treatment stands."""

    name: str
    wins: tuple[MetricResult, ...]
    losses: tuple[MetricResult, ...]
    futile: bool
    breached: tuple[GuardrailResult, ...]
    unproven: tuple[GuardrailResult, ...]

    @property
    def ships(self) -> bool:
        return bool(self.wins) and not (self.losses or self.breached or self.unproven)

    @property
    def lost(self) -> bool:
        return bool(self.losses or self.breached) or (self.futile and not self.wins)


def decide(
    experiment: Experiment,
    checks: Sequence[TrustCheck],
    arms: Sequence[ArmSummary],
    primaries: Sequence[MetricResult],
    guardrails: Sequence[GuardrailResult],
    *,
    days_run: float,
) -> Verdict:
    """Apply the registered rule.

    Broken when a trust check failed. Ship a treatment when a primary metric is proven better
    (p-value corrected by Holm under alpha), none is proven worse and every guardrail holds. Do
    not ship when every treatment is proven worse, has breached a guardrail or is proven to gain
    less than the minimum effect, or when the plan is over without a proof. Else go on. Under the
    fixed rule nothing but "broken" and "go on" is said before the planned readers and days.
    """
    failed = [check for check in checks if check.state is CheckState.FAILED]
    if failed:
        faults = list(dict.fromkeys(check.fault or check.name.lower() for check in failed))
        more = "" if len(faults) < 3 else ", and more"
        return Verdict(
            VerdictKind.BROKEN,
            f"Broken: {' and '.join(faults[:2])}{more}.",
            tuple(f"{check.name}: {check.finding}" for check in failed),
        )
    readers = sum(arm.analysed for arm in arms)
    complete = readers >= experiment.planned_readers and days_run >= experiment.planned_days
    over = complete or experiment.status is Status.STOPPED
    progress = (
        f"{number(readers)} of {number(experiment.planned_readers)} planned readers,"
        f" day {number(days_run, 1)} of {experiment.planned_days}."
    )
    standings = [
        _standing(experiment, arm.name, primaries, guardrails) for arm in experiment.treatments
    ]
    may_decide = complete or experiment.stopping_rule is StoppingRule.SEQUENTIAL
    winners = [standing for standing in standings if standing.ships]
    if may_decide and winners:
        return _ship(experiment, winners, primaries, progress)
    if over or (may_decide and all(standing.lost for standing in standings)):
        return _refuse(experiment, standings, primaries, progress, complete=complete)
    reasons = [progress, *(_state_of(experiment, s, primaries) for s in standings)]
    return Verdict(VerdictKind.GO_ON, _go_on_sentence(experiment, standings), tuple(reasons))


def deciding_interval(experiment: Experiment, comparison: Comparison) -> Interval | None:
    """Return the relative interval that the registered rule reads."""
    if experiment.stopping_rule is StoppingRule.FIXED:
        return comparison.deciding.relative_interval
    return comparison.sequence.relative_interval if comparison.sequence else None


def describe_effect(result: MetricResult, treatment: str) -> str:
    """Say what a metric did in a treatment."""
    comparison = _of(result, treatment)
    effect = comparison.deciding
    title = result.metric.title
    lowered = title[0].lower() + title[1:]
    if effect.relative is None:
        return f"{lowered} cannot be compared ({effect.reason or 'control is zero'})"
    verb = "rose" if effect.relative > 0 else "fell" if effect.relative < 0 else "moved"
    return f"{lowered} {verb} by {percent(abs(effect.relative))}"


def describe_interval(experiment: Experiment, result: MetricResult, treatment: str) -> str:
    """Give the interval that decides, with what it may be used for."""
    interval = deciding_interval(experiment, _of(result, treatment))
    if interval is None:
        return f"{treatment}: there is no interval for {result.metric.title.lower()} yet"
    level = percent(1.0 - experiment.alpha, digits=0)
    use = "valid at every look" if experiment.stopping_rule is StoppingRule.SEQUENTIAL else "fixed"
    return (
        f"{treatment}, {result.metric.title.lower()}: {percent_interval(interval)}"
        f" ({level} interval, {use})"
    )


def _standing(
    experiment: Experiment,
    name: str,
    primaries: Sequence[MetricResult],
    guardrails: Sequence[GuardrailResult],
) -> _Standing:
    wins: list[MetricResult] = []
    losses: list[MetricResult] = []
    bounded: list[bool] = []
    for result in primaries:
        comparison = _of(result, name)
        sign = 1.0 if result.metric.direction == "higher_is_better" else -1.0
        proven = comparison.p_adjusted is not None and comparison.p_adjusted < experiment.alpha
        if proven:
            better = sign * (comparison.deciding.difference or 0.0) > 0
            (wins if better else losses).append(result)
        interval = deciding_interval(experiment, comparison)
        if interval is not None:
            best = interval.high if sign > 0 else -interval.low
            bounded.append(best < experiment.minimum_effect)
    mine = [g for g in guardrails if g.comparison.treatment == name]
    return _Standing(
        name,
        tuple(wins),
        tuple(losses),
        futile=len(bounded) == len(primaries) and all(bounded),
        breached=tuple(g for g in mine if g.outcome.verdict == "breached"),
        unproven=tuple(g for g in mine if g.outcome.verdict in {"unproven", "no_estimate"}),
    )


def _ship(
    experiment: Experiment,
    winners: Sequence[_Standing],
    primaries: Sequence[MetricResult],
    progress: str,
) -> Verdict:
    best = max(winners, key=lambda standing: _gain(standing.wins[0], standing.name))
    effect = describe_effect(best.wins[0], best.name)
    return Verdict(
        VerdictKind.SHIP,
        f"Ship {best.name}: {effect}, and every guardrail holds.",
        (progress, *(_state_of(experiment, standing, primaries) for standing in winners)),
        best.name,
    )


def _refuse(
    experiment: Experiment,
    standings: Sequence[_Standing],
    primaries: Sequence[MetricResult],
    progress: str,
    *,
    complete: bool,
) -> Verdict:
    first = standings[0]
    if first.losses:
        why = describe_effect(first.losses[0], first.name)
    elif first.breached:
        why = f"{first.breached[0].metric.title} got worse by more than its margin"
    elif first.wins:
        why = f"{first.unproven[0].metric.title} is not proven to be unharmed"
    else:
        why = f"no proven gain: {describe_effect(primaries[0], first.name)}"
    cut_short = not complete and experiment.status is Status.STOPPED
    early = " The experiment ended before its planned end." if cut_short else ""
    return Verdict(
        VerdictKind.DO_NOT_SHIP,
        f"Do not ship: {why}.{early}",
        (progress, *(_state_of(experiment, standing, primaries) for standing in standings)),
    )


def _go_on_sentence(experiment: Experiment, standings: Sequence[_Standing]) -> str:
    waiting = [standing for standing in standings if standing.wins and not standing.lost]
    if experiment.stopping_rule is StoppingRule.FIXED:
        return "Go on: the plan allows no verdict before its planned readers and days."
    if waiting:
        missing = ", ".join(g.metric.title.lower() for g in waiting[0].unproven)
        return f"Go on: the gain is proven, but it is not yet proven that {missing} is unharmed."
    return "Go on: nothing is proven yet, either way."


def _state_of(
    experiment: Experiment, standing: _Standing, primaries: Sequence[MetricResult]
) -> str:
    parts = [
        describe_interval(experiment, result, standing.name)
        + _in_reader_terms(experiment, result, standing)
        for result in primaries
    ]
    if standing.breached:
        parts.append("breached: " + ", ".join(g.metric.title for g in standing.breached))
    if standing.unproven:
        parts.append("not proven unharmed: " + ", ".join(g.metric.title for g in standing.unproven))
    if standing.futile and not standing.wins:
        parts.append(f"a gain of {percent(experiment.minimum_effect)} or more is ruled out")
    return f"{'; '.join(parts)}."


def _in_reader_terms(experiment: Experiment, result: MetricResult, standing: _Standing) -> str:
    comparison = _of(result, standing.name)
    difference = comparison.deciding.difference
    if deciding_interval(experiment, comparison) is None:
        return ""
    if result.metric.form != "number" or result.metric.denominator or not difference:
        return ""
    return f", {metric_difference(1000 * difference, 'count')} for every {number(1000)} readers"


def _gain(result: MetricResult, treatment: str) -> float:
    relative = _of(result, treatment).deciding.relative or 0.0
    return relative if result.metric.direction == "higher_is_better" else -relative


def _of(result: MetricResult, treatment: str) -> Comparison:
    return next(found for found in result.comparisons if found.treatment == treatment)
