"""Where each treatment stands under the registered rule, as a state and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.results import Comparison, GuardrailResult, MetricResult
from feed.experiments.judgement.wording import (
    NONE,
    effect_interval,
    join_words,
    metric_difference,
    number,
    percent,
)
from feed.experiments.statistics.effects import Interval

_MOST_NAMED = 2
"""Largest number of undecided primary metrics that a headline names one by one."""


class State(StrEnum):
    """What the rule says of one treatment; the first that applies, in this order."""

    HARMED = "harmed"
    """A guardrail is breached, or a primary metric is proven worse."""
    EARLY = "early"
    """The rule allows no primary metric to decide yet."""
    WAITING = "waiting"
    """A gain is proven, but not that every guardrail holds."""
    SHIPS = "ships"
    """A gain is proven and every guardrail holds."""
    FUTILE = "futile"
    """A gain as large as the minimum effect is ruled out in every primary metric."""
    OPEN = "open"
    """Nothing is proven."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one treatment stands.

    Attributes:
        name: Of the treatment.
        primaries: Every primary metric.
        wins: Primaries proven better, however early it is.
        losses: Primaries proven worse.
        futile: Whether a gain as large as the minimum effect is ruled out in every primary.
        breached: Guardrails that got worse by more than their margin.
        unproven: Guardrails that are not proven to hold.
        may_decide: Whether the rule allows primaries to decide at this look.
        may_breach: Whether it allows guardrails to.
    """

    name: str
    primaries: tuple[MetricResult, ...]
    wins: tuple[MetricResult, ...]
    losses: tuple[MetricResult, ...]
    futile: bool
    breached: tuple[GuardrailResult, ...]
    unproven: tuple[GuardrailResult, ...]
    may_decide: bool
    may_breach: bool

    @property
    def state(self) -> State:
        """What the rule says."""
        if (self.breached and self.may_breach) or (self.losses and self.may_decide):
            return State.HARMED
        if not self.may_decide:
            return State.EARLY
        if self.wins:
            return State.WAITING if self.unproven else State.SHIPS
        return State.FUTILE if self.futile else State.OPEN


def judge_treatments(
    experiment: Experiment,
    primaries: Sequence[MetricResult],
    guardrails: Sequence[GuardrailResult],
    *,
    complete: bool,
    days_run: float,
) -> list[Standing]:
    """Apply the registered rule to every treatment by itself.

    Under the fixed rule, nothing counts before the plan is complete. Under the sequential rule, a
    guardrail counts at any look, and a primary metric from the registered minimum of days on.
    """
    sequential = experiment.stopping_rule is StoppingRule.SEQUENTIAL
    may_decide = days_run >= experiment.minimum_days if sequential else complete
    found = []
    for arm in experiment.treatments:
        proven = [r for r in primaries if _is_proven(experiment, of(r, arm.name))]
        mine = [g for g in guardrails if g.comparison.treatment == arm.name]
        found.append(
            Standing(
                arm.name,
                tuple(primaries),
                tuple(r for r in proven if gain(r, arm.name) > 0),
                tuple(r for r in proven if gain(r, arm.name) < 0),
                all(_rules_out_gain(experiment, r, arm.name) for r in primaries),
                tuple(g for g in mine if g.outcome.verdict == "breached"),
                tuple(g for g in mine if g.outcome.verdict in {"unproven", "no_estimate"}),
                may_decide,
                may_breach=sequential or complete,
            )
        )
    return found


def of(result: MetricResult, treatment: str) -> Comparison:
    """Return the comparison of one treatment."""
    return next(found for found in result.comparisons if found.treatment == treatment)


def write_deciding_interval(
    experiment: Experiment, result: MetricResult, treatment: str, between: str = "to"
) -> str:
    """Write the interval that the registered rule reads, in the metric's unit if not in percent."""
    intervals = _deciding_intervals(experiment, of(result, treatment))
    return effect_interval(*intervals, result.metric.form, between)


def gain(result: MetricResult, treatment: str) -> float:
    """Return the difference to control, positive where it is for the better; 0 without one."""
    return result.metric.sign * (of(result, treatment).deciding.difference or 0.0)


def relative_gain(result: MetricResult, treatment: str) -> float:
    """Return the relative effect, positive where it is for the better; 0 without one."""
    return result.metric.sign * (of(result, treatment).deciding.relative or 0.0)


def describe_effect(result: MetricResult, treatment: str) -> str:
    """Say what a metric did in a treatment."""
    effect = of(result, treatment).deciding
    size = effect.difference if effect.relative is None else effect.relative
    if size is None:
        return f"{_lowered(result.metric)} cannot be estimated ({effect.reason or 'no data'})"
    if size == 0:
        return f"{_lowered(result.metric)} did not move"
    if effect.relative is None:
        by = metric_difference(abs(size), result.metric.form).removeprefix("+")
    else:
        by = percent(abs(size))
    return f"{_lowered(result.metric)} {'rose' if size > 0 else 'fell'} by {by}"


def describe_state(experiment: Experiment, standing: Standing) -> str:
    """Say in a clause why a treatment stands where it stands."""
    name = standing.name
    wins = join_words([describe_effect(r, name) for r in standing.wins])
    losses = join_words([describe_effect(r, name) for r in standing.losses])
    breached = join_words([_lowered(g.metric) for g in standing.breached])
    unproven = join_words([_lowered(g.metric) for g in standing.unproven])
    match standing.state:
        case State.HARMED:
            harms = [losses] if losses and standing.may_decide else []
            if breached and standing.may_breach:
                harms.append(f"{breached} got worse by more than tolerated")
            though = f", although {wins}" if wins and standing.may_decide else ""
            return f"{join_words(harms)}{though}"
        case State.WAITING:
            return f"{wins}, but it is not proven that {unproven} did not suffer"
        case State.SHIPS:
            held = (
                "every guardrail holds" if experiment.guardrails else "no guardrail was registered"
            )
            small = f", though {_ruled_out(experiment, standing)}" if standing.futile else ""
            return f"{wins}{small}, and {held}"
        case State.FUTILE:
            return _ruled_out(experiment, standing)
        case State.OPEN:
            many = f"none of the {len(standing.primaries)} primary metrics is proven to move"
            each = [_describe_open(experiment, r, name) for r in standing.primaries]
            return many if len(each) > _MOST_NAMED else join_words(each)
    effects = join_words([describe_effect(r, name) for r in standing.primaries])
    worse = f", and {breached} got worse by more than tolerated" if breached else ""
    return f"so far {effects}{worse}, which decides nothing at this look"


def explain_standing(experiment: Experiment, standing: Standing) -> str:
    """Give the numbers behind a treatment's state, for the list of reasons."""
    parts = [_describe_interval(experiment, r, standing.name) for r in standing.primaries]
    if standing.breached:
        parts.append(f"breached: {join_words([g.metric.title for g in standing.breached])}")
    if standing.unproven:
        unproven = join_words([g.metric.title for g in standing.unproven])
        parts.append(f"not proven to hold: {unproven}")
    if standing.futile:
        parts.append(_ruled_out(experiment, standing))
    level = percent(1.0 - experiment.alpha, digits=0)
    use = "valid at every look" if experiment.stopping_rule is StoppingRule.SEQUENTIAL else "fixed"
    if experiment.comparisons > 1:
        use += ", for all primary comparisons together"
    early = ", so far" if standing.state is State.EARLY else ""
    return f"{standing.name}{early} ({level} intervals, {use}): {'; '.join(parts)}."


def _ruled_out(experiment: Experiment, standing: Standing) -> str:
    metrics = join_words([_lowered(r.metric) for r in standing.primaries])
    return f"a gain of {percent(experiment.minimum_effect)} or more in {metrics} is ruled out"


def _describe_open(experiment: Experiment, result: MetricResult, name: str) -> str:
    interval = write_deciding_interval(experiment, result, name, "and")
    if interval == NONE:
        return f"{describe_effect(result, name)}, with no interval that could prove anything"
    return (
        f"the effect on {_lowered(result.metric)} is between {interval}, and anything beyond is"
        " ruled out"
    )


def _describe_interval(experiment: Experiment, result: MetricResult, name: str) -> str:
    comparison = of(result, name)
    relative, difference = _deciding_intervals(experiment, comparison)
    if relative is None and difference is None:
        reason = comparison.deciding.reason
        if not reason and comparison.sequence is not None:
            reason = comparison.sequence.reason
        because = f" ({reason})" if reason else ""
        return f"there is no interval for {_lowered(result.metric)}{because}"
    terms = _in_reader_terms(result, comparison)
    if relative is None:
        terms += _no_share(comparison)
    interval = effect_interval(relative, difference, result.metric.form)
    return f"{_lowered(result.metric)} {interval}{terms}"


def _no_share(comparison: Comparison) -> str:
    """Say why the effect has no interval in percent, so that futility cannot be judged."""
    mean = comparison.deciding.control.mean or 0.0
    control = "below 0" if mean < 0 else "0" if mean == 0 else "too close to 0"
    return (
        f" (control is {control}, so there is no interval in percent, and the rule cannot say"
        " whether the gain is too small)"
    )


def _in_reader_terms(result: MetricResult, comparison: Comparison) -> str:
    difference = comparison.deciding.difference
    if result.metric.form != "number" or result.metric.denominator or not difference:
        return ""
    return f", {metric_difference(1000 * difference, 'count')} for every {number(1000)} readers"


def _is_proven(experiment: Experiment, comparison: Comparison) -> bool:
    return comparison.p_adjusted is not None and comparison.p_adjusted < experiment.alpha


def _rules_out_gain(experiment: Experiment, result: MetricResult, name: str) -> bool:
    interval, _ = _deciding_intervals(experiment, of(result, name))
    if interval is None:
        return False
    best = interval.high if result.metric.sign > 0 else -interval.low
    return best < experiment.minimum_effect


def _deciding_intervals(
    experiment: Experiment, comparison: Comparison
) -> tuple[Interval | None, Interval | None]:
    """Return the intervals of the relative effect and of the difference that the rule reads.

    They hold for all primary comparisons together, as the correction of the p-values does.
    """
    together = comparison.simultaneous, comparison.simultaneous_difference
    if together != (None, None):
        return together
    fixed = experiment.stopping_rule is StoppingRule.FIXED
    own = comparison.deciding if fixed else comparison.sequence
    return (own.relative_interval, own.interval) if own is not None else (None, None)


def _lowered(metric: Metric) -> str:
    return metric.title[0].lower() + metric.title[1:]
