"""A report's numbers in words and columns, for both the HTML and the Markdown view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feed.domain import format_time
from feed.experiments.design.assignment import BUCKETS
from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.design.metrics import Form, metric_named
from feed.experiments.judgement.results import (
    CheckState,
    Comparison,
    GuardrailResult,
    HoldoutResult,
    MetricResult,
    Report,
    SegmentFamily,
    TeamResult,
    VerdictKind,
)
from feed.experiments.judgement.verdict import deciding_interval
from feed.experiments.judgement.wording import (
    NONE,
    metric_difference,
    metric_value,
    number,
    p_value,
    percent,
    percent_interval,
)
from feed.experiments.statistics.effects import Effect, Interval
from feed.experiments.statistics.sample_ratio import ALARM_BELOW

MARKS = {CheckState.PASSED: "✓", CheckState.WARNING: "!", CheckState.FAILED: "✗"}
CSS = {CheckState.PASSED: "good", CheckState.WARNING: "warn", CheckState.FAILED: "bad"}
_OUTCOMES = {
    "holds": ("✓ holds", "good"),
    "breached": ("✗ breached", "bad"),
    "unproven": ("? not proven", "warn"),
    "no_estimate": ("? no estimate", "warn"),
}


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One estimate of one metric, as text."""

    label: str
    control: str
    treatment: str
    difference: str
    relative: str
    interval: str
    p: str
    note: str = ""
    decides: bool = False


@dataclass(frozen=True, slots=True)
class GuardrailRow:
    """One guardrail in one treatment, as text."""

    title: str
    treatment_name: str
    outcome: str
    css: str
    control: str
    treatment: str
    change: str
    interval: str
    margin: str
    p: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the first page."""

    title: str
    value: str
    note: str = ""
    wide: bool = False


def window_text(report: Report) -> str:
    """Return the window in whole days for people."""
    begin, end = (format_time(at)[:10] for at in (report.window.from_at, report.window.to_at - 1))
    return f"{begin} to {end}"


def facts_of(report: Report) -> list[Fact]:
    """Return the numbers of the first page."""
    experiment = report.experiment
    readers = sum(arm.analysed for arm in report.arms)
    facts = []
    for result in report.primaries:
        for comparison in result.comparisons:
            title = result.metric.title
            if len(experiment.treatments) > 1:
                title = f"{title}, {comparison.treatment}"
            value = percent(comparison.deciding.relative, signed=True)
            note = percent_interval(deciding_interval(experiment, comparison))
            if report.verdict.kind is VerdictKind.BROKEN:
                value, note = NONE, "withheld: a trust check failed"
            facts.append(Fact(title, value, "" if note == NONE else note, wide=True))
    planned = f"of {number(experiment.planned_readers)} planned"
    facts.append(Fact("Readers", number(readers), planned))
    days = f"of {experiment.planned_days} planned"
    facts.append(Fact("Days", number(report.days_run, 1), days))
    holding = sum(g.outcome.verdict == "holds" for g in report.guardrails)
    if report.guardrails:
        facts.append(Fact("Guardrails", f"{holding} of {len(report.guardrails)}", "hold"))
    states = [check.state for check in report.checks]
    passed, warned = states.count(CheckState.PASSED), states.count(CheckState.WARNING)
    note = f"passed, {warned} with a warning" if warned else "passed"
    facts.append(Fact("Trust checks", f"{passed} of {len(states)}", note))
    return facts


def primary_rows(experiment: Experiment, comparison: Comparison, form: Form) -> list[EstimateRow]:
    """Return the raw, adjusted and always-valid estimates of a primary metric."""
    sequential = experiment.stopping_rule is StoppingRule.SEQUENTIAL
    rows = [_row("Raw", comparison.raw, form)]
    if comparison.adjusted is not None:
        saved = comparison.adjusted.variance_reduction
        note = f"variance less by {percent(saved)}" if saved is not None else ""
        decides = not sequential
        effect = comparison.adjusted.effect
        rows.append(_row("Adjusted (CUPED)", effect, form, note=note, decides=decides))
    elif not sequential:
        rows[0] = _row("Raw", comparison.raw, form, decides=True)
    sequence = comparison.sequence
    if sequence is not None:
        rows.append(
            _row(
                "Always valid",
                comparison.deciding,
                form,
                interval=sequence.relative_interval,
                p=p_value(sequence.p_value) if sequence.p_value is not None else NONE,
                note=sequence.reason or "may be read at every look",
                decides=sequential,
            )
        )
    return rows


def secondary_rows(
    results: Sequence[MetricResult], treatment: str
) -> list[tuple[MetricResult, EstimateRow]]:
    """Return one row per secondary metric for one treatment."""
    rows = []
    for result in results:
        found = next(c for c in result.comparisons if c.treatment == treatment)
        p = p_value(found.p_adjusted) if found.p_adjusted is not None else NONE
        row = _row(result.metric.title, found.deciding, result.metric.form, p=p)
        rows.append((result, row))
    return rows


def guardrail_row(result: GuardrailResult) -> GuardrailRow:
    """Return one guardrail as text."""
    effect, form = result.comparison.deciding, result.metric.form
    outcome, css = _OUTCOMES[result.outcome.verdict]
    worse = "less" if result.metric.direction == "higher_is_better" else "more"
    margin = (
        percent(result.spec.margin)
        if result.spec.relative
        else (metric_value(result.spec.margin, form))
    )
    relative = effect.relative is not None and result.spec.relative
    interval = (
        percent_interval(effect.relative_interval)
        if relative
        else _difference_interval(effect.interval, form)
    )
    return GuardrailRow(
        title=result.metric.title,
        treatment_name=result.comparison.treatment,
        outcome=outcome,
        css=css,
        control=metric_value(effect.control.mean, form),
        treatment=metric_value(effect.treatment.mean, form),
        change=percent(effect.relative, signed=True)
        if relative
        else metric_difference(effect.difference, form),
        interval="" if interval == NONE else interval,
        margin=f"{margin} {worse}",
        p=p_value(result.outcome.p_holds) if result.outcome.p_holds is not None else NONE,
        reason=result.outcome.reason,
    )


def segment_remark(family: SegmentFamily, alpha: float) -> str:
    """Say what a family of segments shows, in a sentence."""
    test, simpson = family.interaction, family.simpson
    if simpson.reversed:
        return "The total points the other way than every segment: look at the mix."
    if simpson.mix_p_value is not None and simpson.mix_p_value < 0.001:
        return "The variants hold different mixes of these segments."
    if test.p_value is None:
        return "Not two segments with an estimate."
    if test.p_value < alpha:
        return "The segments may differ in the effect."
    return "No sign that the effect differs."


def holdout_rows(report: Report) -> list[list[str]]:
    """Return the comparison with held-out readers: metric, variant, means, change, interval, p."""
    if report.holdout is None:
        return []
    return [
        [
            result.metric.title,
            found.treatment,
            metric_value(found.deciding.control.mean, result.metric.form),
            metric_value(found.deciding.treatment.mean, result.metric.form),
            percent(found.deciding.relative, signed=True),
            percent_interval(found.deciding.relative_interval),
            p_value(found.deciding.p_value) if found.deciding.p_value is not None else NONE,
        ]
        for result in report.holdout.metrics
        for found in result.comparisons
    ]


def holdout_text(holdout: HoldoutResult) -> str:
    """Say who is held out, and whether their number is right."""
    if not holdout.readers:
        return "No held-out reader was served a feed that this experiment could have changed."
    text = (
        f"{number(holdout.readers)} readers are kept out of every experiment; by the registered"
        f" shares {number(round(holdout.expected))} were to be expected"
        f" ({p_value(holdout.p_value)})."
    )
    if holdout.p_value is not None and holdout.p_value < ALARM_BELOW:
        text += " That is too far off: do not trust the comparison."
    return text


def team_row(result: TeamResult) -> list[str]:
    """Return one interleaving as text: rankings, readers, wins, share, p-value, meaning."""
    found = result.preference
    p = found.sign_p_value if result.sequence is None else result.sequence.p_value
    ahead = found.wins_b - found.wins_a if result.sequence is None else found.credit or 0.0
    if found.share_b is None:
        said = "no credited click decides between them"
    elif p is None:
        said = (result.sequence.reason if result.sequence else "") or "every reader is tied"
    elif p < 0.05:
        said = f"readers click {result.b if ahead > 0 else result.a} more"
    else:
        said = "no preference shown"
    return [
        f"{result.a} against {result.b}",
        number(found.readers),
        f"{number(found.wins_a)} : {number(found.wins_b)} ({number(found.ties)} ties)",
        percent(found.share_b),
        p_value(p) if p is not None else NONE,
        said,
    ]


def design_rows(experiment: Experiment) -> list[tuple[str, str]]:
    """Return the definition as it was registered."""
    audience = [
        f"{name} {', '.join(values)}"
        for name, values in (
            ("platforms", experiment.audience.platforms),
            ("languages", experiment.audience.languages),
            ("sections", experiment.audience.sections),
        )
        if values
    ]
    low, high = experiment.buckets
    traffic = (high - low) / BUCKETS or experiment.traffic
    rule = (
        "at any look, by the always-valid interval"
        if experiment.stopping_rule is StoppingRule.SEQUENTIAL
        else "once, at the planned readers and days; what came later is left out"
    )
    rows = [("Owner", experiment.owner), ("Unit", "reader")]
    rows += [
        (f"Variant {v.name}", describe_variant(experiment, v.name)) for v in experiment.variants
    ]
    rows += [
        ("Layer", f"{experiment.layer}, {percent(traffic, digits=2)} of its readers"),
        ("Audience", "; ".join(audience) or "every reader with personalization on"),
        ("Held out of every experiment", percent(experiment.holdout_share)),
        ("Primary", ", ".join(metric_named(m).title for m in experiment.primary_metrics)),
        ("Smallest effect worth finding", percent(experiment.minimum_effect)),
        ("Error and power", f"{percent(experiment.alpha)} and {percent(experiment.power)}"),
        (
            "Planned",
            f"{number(experiment.planned_readers)} readers, {experiment.planned_days} days",
        ),
        ("A verdict falls", rule),
        ("Started", format_time(experiment.started_at)),
        ("Stopped", format_time(experiment.stopped_at) if experiment.stopped_at else "not yet"),
        ("Test overrides", f"{number(len(experiment.excluded))} readers, never analysed"),
    ]
    return rows


def describe_variant(experiment: Experiment, name: str) -> str:
    """Say what a variant changes."""
    variant = experiment.variant(name)
    parts = [f"{key} = {value}" for key, value in variant.overrides.items()]
    if variant.model_version:
        parts.append(f"model {variant.model_version}")
    if variant.interleaves:
        parts.append(f"interleaving of {' and '.join(variant.interleaves)}")
    what = ", ".join(parts) or "the installation's ranking"
    return f"{percent(variant.share)}: {what}"


def _row(
    label: str,
    effect: Effect,
    form: Form,
    *,
    interval: Interval | str | None = "",
    p: str = "",
    note: str = "",
    decides: bool = False,
) -> EstimateRow:
    chosen = effect.relative_interval if isinstance(interval, str) else interval
    own = p_value(effect.p_value) if effect.p_value is not None else NONE
    return EstimateRow(
        label,
        metric_value(effect.control.mean, form),
        metric_value(effect.treatment.mean, form),
        metric_difference(effect.difference, form),
        percent(effect.relative, signed=True),
        percent_interval(chosen),
        p or own,
        note or effect.reason,
        decides,
    )


def _difference_interval(interval: Interval | None, form: Form) -> str:
    if interval is None:
        return NONE
    return " to ".join(metric_difference(bound, form) for bound in interval)
