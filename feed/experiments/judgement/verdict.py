"""The verdict: applies the rule that was registered before the start to the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, Status, StoppingRule
from feed.experiments.judgement.forecast import forecast_days
from feed.experiments.judgement.results import (
    ArmSummary,
    Cause,
    CheckState,
    GuardrailResult,
    MetricResult,
    PowerSummary,
    TrustCheck,
    Verdict,
    VerdictKind,
)
from feed.experiments.judgement.standings import (
    Standing,
    State,
    describe_state,
    explain_standing,
    gain,
    judge_treatments,
    of,
    relative_gain,
)
from feed.experiments.judgement.wording import join_words, number, percent

_REFUSED = {State.HARMED: Cause.HARM, State.FUTILE: Cause.FUTILITY}
_GUARDRAIL = (
    "Suggestion: run a new version with more readers, so that the guardrails can be proven to hold,"
    " or accept the risk and say so."
)
_CHOSEN = (
    "Inconclusive: the window was chosen by hand, so the numbers are exploratory. A verdict needs"
    " all the time from the start on."
)
_CLOCK_S = 1.0
"""A window that ends so shortly before the stop ends with it: times are written less exactly."""
_UNDECIDED = (State.WAITING, State.OPEN, State.EARLY)


@dataclass(frozen=True, slots=True)
class _Case:
    """One experiment at one look."""

    experiment: Experiment
    standings: Sequence[Standing]
    readers: int
    days_run: float
    arrivals: float
    power: Sequence[PowerSummary]
    remarks: Sequence[tuple[str, str]]

    @property
    def several(self) -> bool:
        return len(self.standings) > 1

    @property
    def fixed(self) -> bool:
        return self.experiment.stopping_rule is StoppingRule.FIXED

    @property
    def stopped(self) -> bool:
        """Whether it had been stopped by the end of the window."""
        experiment, until = self.experiment, self.days_run * DAY_S + _CLOCK_S
        lived = experiment.stopped_at - experiment.started_at
        return experiment.status is Status.STOPPED and until >= lived

    @property
    def days_over(self) -> bool:
        return self.days_run >= self.experiment.planned_days

    @property
    def complete(self) -> bool:
        return self.readers >= self.experiment.planned_readers and self.days_over

    @property
    def progress(self) -> str:
        experiment = self.experiment
        return (
            f"{number(self.readers)} of {number(experiment.planned_readers)} planned readers,"
            f" day {number(self.days_run, 1)} of {experiment.planned_days}."
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        explained = (explain_standing(self.experiment, s) for s in self.standings)
        return (self.progress, *explained)

    @property
    def said(self) -> tuple[str, ...]:
        """The remarks on all treatments."""
        return tuple(text for _, text in self.remarks)

    def describe(self, standings: Sequence[Standing]) -> str:
        """Say why treatments stand where they do, with their names where there are several."""
        named: dict[str, list[str]] = {}
        for standing in standings:
            named.setdefault(describe_state(self.experiment, standing), []).append(standing.name)
        parts = [f"in {join_words(n)}, {text}" for text, n in named.items()]
        return _capital("; ".join(parts if self.several else named))


def decide(
    experiment: Experiment,
    checks: Sequence[TrustCheck],
    arms: Sequence[ArmSummary],
    primaries: Sequence[MetricResult],
    guardrails: Sequence[GuardrailResult],
    *,
    days_run: float,
    whole: bool = True,
    power: Sequence[PowerSummary] = (),
    arrivals: float = 0.0,
    remarks: Sequence[tuple[str, str]] = (),
) -> Verdict:
    """Apply the registered rule.

    `docs/experiments.md` has the table of all cases. Broken when a trust check failed. Ship a
    treatment when a primary metric is proven better (p-value corrected by Holm under alpha), none
    is proven worse and every guardrail holds. Do not ship when every treatment is proven to harm
    (a breached guardrail, a primary metric proven worse) or to gain less than the minimum effect.
    Else inconclusive when the planned days are over or the experiment was stopped, and go on
    before. `Standing` says when the rule lets a metric count.

    Args:
        experiment: As registered.
        checks: Trust checks.
        arms: For the number of readers.
        primaries: What decides.
        guardrails: What must not get worse.
        days_run: Days since the start, in whole and parts.
        whole: Whether the window begins with the experiment: the rule judges no other.
        power: Of the primaries, for the forecast of an undecided experiment.
        arrivals: New readers a day, lately, for the same.
        remarks: Treatments, each with a sentence that belongs beside the verdict, such as that
            its effect wears off.

    Returns:
        The verdict.
    """
    failed = [check for check in checks if check.state is CheckState.FAILED]
    if failed:
        return _call_broken(failed)
    readers = sum(arm.analysed for arm in arms)
    complete = readers >= experiment.planned_readers and days_run >= experiment.planned_days
    standings = judge_treatments(
        experiment, primaries, guardrails, complete=complete, days_run=days_run
    )
    case = _Case(experiment, standings, readers, days_run, arrivals, power, remarks)
    if not whole:
        return Verdict(VerdictKind.INCONCLUSIVE, _CHOSEN, (case.progress,))
    states = {standing.state for standing in standings}
    if State.SHIPS in states:
        return _ship(case)
    if states <= set(_REFUSED):
        return _refuse(case)
    if case.days_over or case.stopped:
        return _leave_open(case)
    return _go_on(case)


def _call_broken(failed: Sequence[TrustCheck]) -> Verdict:
    faults = list(dict.fromkeys(check.fault or check.name.lower() for check in failed))
    more = "" if len(faults) < 3 else ", and more"
    return Verdict(
        VerdictKind.BROKEN,
        f"Broken: {' and '.join(faults[:2])}{more}.",
        tuple(f"{check.name}: {check.finding}" for check in failed),
    )


def _ship(case: _Case) -> Verdict:
    ready = [standing for standing in case.standings if standing.state is State.SHIPS]
    ready.sort(
        key=lambda s: (relative_gain(s.wins[0], s.name), gain(s.wins[0], s.name)), reverse=True
    )
    best, *others = ready
    sentence = f"Ship {best.name}: {describe_state(case.experiment, best)}."
    if others:
        less = ", with less gain" if all(_gains_less(other, best) for other in others) else ""
        sentence += f" {join_words([s.name for s in others])} could be shipped too{less}."
    if any(name == best.name for name, _ in case.remarks):
        sentence += " The effect changes with time: see below."
    sentence += _others(case)
    early = tuple(_early_remark(standing) for standing in ready if _was_early(standing))
    reasons = (*case.reasons, *early, *case.said)
    return Verdict(VerdictKind.SHIP, sentence, reasons, variant=best.name)


def _gains_less(other: Standing, best: Standing) -> bool:
    """Return whether a treatment wins in the same metrics as the best one, and less in each."""
    return other.wins == best.wins and all(
        gain(result, other.name) < gain(result, best.name) for result in best.wins
    )


def _refuse(case: _Case) -> Verdict:
    causes = tuple(cause for state, cause in _REFUSED.items() if _in_state(case, state))
    proven = {Cause.HARM: "to do harm", Cause.FUTILITY: "to gain too little to matter"}
    each = "each of them" if case.several else case.standings[0].name
    opening = f"{each} is proven {' or '.join(proven[cause] for cause in causes)}"
    sentence = f"Do not ship: {opening}. {case.describe(case.standings)}."
    return Verdict(VerdictKind.DO_NOT_SHIP, sentence, (*case.reasons, *case.said), causes=causes)


def _leave_open(case: _Case) -> Verdict:
    undecided = [standing for standing in case.standings if standing.state not in _REFUSED]
    sentence = f"Inconclusive: {_why_undecided(case)}. {case.describe(undecided)}."
    sentence += _others(case, *_UNDECIDED)
    forecast: tuple[str, ...] = (_GUARDRAIL,)
    if not any(standing.state is State.WAITING for standing in undecided):
        forecast = forecast_days(
            case.experiment, case.power, readers=case.readers, arrivals=case.arrivals
        )
    return Verdict(VerdictKind.INCONCLUSIVE, sentence, (*case.reasons, *forecast, *case.said))


def _why_undecided(case: _Case) -> str:
    experiment = case.experiment
    came = f"only {number(case.readers)} of {number(experiment.planned_readers)} planned readers"
    if case.complete:
        return "the planned readers and days are over"
    if case.days_over and case.readers < experiment.planned_readers:
        unless = ", and the fixed rule decides only with all of them" if case.fixed else ""
        return f"the planned days are over, but {came} came{unless}"
    if case.fixed:
        return "it was stopped before its plan was complete, and the fixed rule decides only then"
    if case.days_run < experiment.minimum_days:
        return (
            f"it was stopped on day {number(case.days_run, 1)}, before the"
            f" {experiment.minimum_days} days that a verdict waits for"
        )
    return "it was stopped before its planned end"


def _go_on(case: _Case) -> Verdict:
    undecided = [standing for standing in case.standings if standing.state not in _REFUSED]
    waiting = [standing for standing in undecided if standing.state is State.WAITING]
    if undecided[0].state is State.EARLY:
        least = case.experiment.minimum_days
        sentence = (
            "the plan allows no verdict before its planned readers and days"
            if case.fixed
            else f"no primary metric may decide before {least} whole days are over"
        )
    elif waiting:
        sentence = (
            f"a gain is proven, but not yet that every guardrail holds. {case.describe(waiting)}"
        )
    else:
        sentence = "nothing is proven yet, either way"
    sentence = f"Go on: {sentence}.{_others(case, *_UNDECIDED)}"
    return Verdict(VerdictKind.GO_ON, sentence, (*case.reasons, *case.said))


def _others(case: _Case, *shown: State) -> str:
    """Name the treatments whose state the sentence does not tell."""
    words = {
        State.HARMED: "Out for harm",
        State.FUTILE: "Out for too small a gain",
        State.WAITING: "Waiting for a guardrail",
        State.OPEN: "Not decided",
        State.EARLY: "Not decided",
    }
    named = [(text, _in_state(case, state)) for state, text in words.items() if state not in shown]
    return "".join(f" {text}: {join_words(names)}." for text, names in named if names)


def _in_state(case: _Case, state: State) -> list[str]:
    return [standing.name for standing in case.standings if standing.state is state]


def _was_early(standing: Standing) -> bool:
    return of(standing.wins[0], standing.name).corrected is not None


def _early_remark(standing: Standing) -> str:
    comparison = of(standing.wins[0], standing.name)
    return (
        f"{standing.name}: an experiment that stops as soon as a gain is proven overstates it."
        f" If this is taken into account, {percent(comparison.deciding.relative, signed=True)}"
        f" becomes about {percent(comparison.corrected, signed=True)}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
