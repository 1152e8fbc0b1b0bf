"""The sections around the effects: the verdict, the facts, the trust checks and the design."""

from __future__ import annotations

from feed.documents.document import (
    Block,
    Cell,
    DataTable,
    Fact,
    Folded,
    Heading,
    Headline,
    Paragraph,
    Row,
    Section,
    Verbatim,
)
from feed.domain import format_time
from feed.experiments.design.definitions import Experiment, OnBreach, StoppingRule
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.results import CheckState, Report, VerdictKind
from feed.experiments.judgement.standings import write_deciding_interval
from feed.experiments.judgement.wording import NONE, effect_change, number, percent
from feed.experiments.log.exposure import BOT_ACTS_A_MINUTE, Window
from feed.experiments.log.local_days import day_name

_OUTCOMES = {
    CheckState.PASSED: Cell("✓ passed", tone="good"),
    CheckState.WARNING: Cell("! warning", tone="warn"),
    CheckState.FAILED: Cell("✗ failed", tone="bad"),
}


def is_sequential(experiment: Experiment) -> bool:
    """Return whether a verdict may be given at any look."""
    return experiment.stopping_rule is StoppingRule.SEQUENTIAL


def titled(report: Report, metric: Metric, treatment: str) -> str:
    """Return the title of a metric, with the treatment where there are several."""
    several = len(report.experiment.treatments) > 1
    return f"{metric.title} in {treatment}" if several else metric.title


def kicker(report: Report) -> str:
    """Say whose report this is, and on which days of the newsroom's time zone."""
    experiment, window = report.experiment, report.window
    first, last = (day_name(day) for day in (window.first_day, window.last_day))
    return (
        f"A/B report · {experiment.name}, version {experiment.version} · {first} to {last}"
        f" · {experiment.owner}"
    )


def headline(report: Report) -> Headline:
    """Return the verdict."""
    kind, verdict = report.verdict.kind.value, report.verdict
    sentence = verdict.sentence.split(": ", maxsplit=1)[-1]
    return Headline(
        f"{kind} {verdict.variant}".strip(),
        kind.replace(" ", "-"),
        sentence[0].upper() + sentence[1:],
        verdict.reasons,
    )


def facts_of(report: Report) -> tuple[Fact, ...]:
    """Return the numbers of the first page."""
    experiment = report.experiment
    facts = []
    for result in report.primaries:
        for comparison in result.comparisons:
            title = titled(report, result.metric, comparison.treatment)
            effect = comparison.deciding
            value = effect_change(effect.relative, effect.difference, result.metric.form)
            note = write_deciding_interval(experiment, result, comparison.treatment)
            if report.verdict.kind is VerdictKind.BROKEN:
                value, note = NONE, "withheld: a trust check failed"
            facts.append(Fact(title, value, "" if note == NONE else note, wide=True))
    readers = sum(arm.analysed for arm in report.arms)
    facts += [
        Fact("Readers", number(readers), f"of {number(experiment.planned_readers)} planned"),
        Fact("Days", number(report.days_run, 1), f"of {experiment.planned_days} planned"),
    ]
    if report.guardrails:
        holding = sum(g.outcome.verdict == "holds" for g in report.guardrails)
        facts.append(Fact("Guardrails", f"{holding} of {len(report.guardrails)}", "hold"))
    states = [check.state for check in report.checks]
    passed, warned = states.count(CheckState.PASSED), states.count(CheckState.WARNING)
    note = f"passed, {warned} with a warning" if warned else "passed"
    return (*facts, Fact("Trust checks", f"{passed} of {len(states)}", note))


def trust_section(report: Report) -> Section:
    """Return the trust checks and what each variant holds."""
    note = (
        "A single failed check forbids a verdict. A check fails only at p < 0.001, so that false"
        " alarms are rare"
    )
    if is_sequential(report.experiment):
        note += "; all p-values here are valid at every look"
    found = ("Outcome", "What was found")
    tables = {
        passed: DataTable(
            ("Check", *found),
            [
                (check.name, _OUTCOMES[check.state], check.finding)
                for check in report.checks
                if (check.state is CheckState.PASSED) == passed
            ],
            prose=found,
            stacked=True,
        )
        for passed in (False, True)
    }
    blocks: list[Block] = [tables[False]] if tables[False].rows else []
    if count := len(tables[True].rows):
        title = f"✓ {count} of {len(report.checks)} trust checks passed"
        blocks.append(Folded(title, [tables[True]]))
    arms: list[Row] = []
    for arm in report.arms:
        changes = describe_variant(report.experiment, arm.name).split(": ", 1)[1]
        counts = map(number, (arm.exposed, arm.analysed, arm.views, arm.events))
        arms.append((Cell(arm.name, (changes,)), percent(arm.share), *counts))
    head = ("Variant", "Share", "Readers exposed", "In the estimates", "Feeds", "Events")
    blocks.append(DataTable(head, arms, stacked=True))
    return Section("Can these numbers be trusted?", "Trust", "trust", blocks, f"{note}.")


def shared_parts(experiment: Experiment) -> list[tuple[str, str]]:
    """Say what all variants share, where a variant changes what is counted; nothing elsewhere."""
    changed = any(v.overrides or v.model_version or v.interleaves for v in experiment.variants)
    if not changed:
        return []
    text = (
        "the counters, what is trending, and the live model: what the readers of one variant read"
        " moves the ranking of the others, so the effect on a whole site may be larger"
    )
    return [("Shared by all variants", text)]


def design_section(experiment: Experiment, window: Window) -> Section:
    """Return the definition as it was registered."""
    limits = ("platforms", "languages", "sections")
    chosen = [(name, getattr(experiment.audience, name)) for name in limits]
    chosen += [
        (name, [value or "not known" for value in values])
        for name, values in experiment.audience.attributes.items()
    ]
    audience = "; ".join(f"{name} {', '.join(values)}" for name, values in chosen if values)
    steps = experiment.opened_until(window.to_at)
    grown = ", ".join(f"{percent(s.traffic, digits=2)} from {format_time(s.at)}" for s in steps)
    ramp = ", ".join(
        f"{percent(step.traffic, digits=2)} after {step.after_days:g} days"
        for step in experiment.ramp
    )
    rule = (
        "at any look, by the always-valid interval"
        if is_sequential(experiment)
        else "once, at the planned readers and days; what came later is left out"
    )
    planned = (
        f"{number(experiment.planned_readers)} readers, {experiment.planned_days} days; no primary"
        f" metric decides before day {experiment.minimum_days}"
    )
    stops = experiment.on_breach is OnBreach.STOP
    rows = [
        ("Owner", experiment.owner),
        ("Unit", "reader"),
        *((f"Variant {v.name}", describe_variant(experiment, v.name)) for v in experiment.variants),
        ("Layer", experiment.layer),
        ("Traffic", f"{grown} (share of the layer's readers)"),
        *([("Planned steps", ramp)] if ramp else []),
        ("Audience", audience or "every reader with personalization on"),
        ("Held out of every experiment", percent(experiment.holdout_share)),
        ("Primary", ", ".join(experiment.metric(m).title for m in experiment.primary_metrics)),
        *((f"Metric {m.name}", f"{m.title}: {m.meaning}") for m in experiment.metrics.values()),
        ("Smallest effect worth finding", percent(experiment.minimum_effect)),
        ("Error and power", f"{percent(experiment.alpha)} and {percent(experiment.power)}"),
        ("Planned", planned),
        ("Days are those of", window.zone),
        *shared_parts(experiment),
        ("A verdict is given", rule),
        ("On a breach", "the watch stops it" if stops else "the watch raises an alert"),
        ("Started", format_time(experiment.started_at)),
        ("Stopped", format_time(experiment.stopped_at) if experiment.stopped_at else "not yet"),
        ("Test overrides", f"{number(len(experiment.excluded))} readers, never analysed"),
    ]
    table = DataTable(("Field", "Value"), rows, prose=("Value",), stacked=True)
    return Section("As registered", "Design", "design", [table])


def reproduction_section(report: Report) -> Section:
    """Return how to make the report again, and how its numbers are made."""
    looks = ""
    if is_sequential(report.experiment):
        looks = ", over all looks by the martingale of Lindon and Malek (2022)"
    blocks = (
        Verbatim(report.command or "This report was not made by a command."),
        Paragraph(" · ".join(f"{name} {found}" for name, found in report.versions.items()), "note"),
        Heading("How the numbers are made"),
        Paragraph(
            "A reader enters when a served feed carried the experiment, was personalized, and was"
            " made where the variants' settings apply. Only what happened after the first such"
            " feed counts. An event counts on the day it happened, however late it arrived, so the"
            " numbers for the same window may change a little later. Readers with a test override,"
            " in several variants, or doing one thing (clicking, reading, liking)"
            f" {BOT_ACTS_A_MINUTE} or more times in a minute are left out."
        ),
        Paragraph(
            "Ratios are ratios of means per reader with the delta method (Deng, Knoblich and Lu"
            " 2018). Relative intervals are Fieller's (1954). The adjusted estimate takes out the"
            f" same metric from the {report.experiment.pre_days} days before the start (CUPED, Deng"
            " et al. 2013). The always-valid interval is the asymptotic confidence sequence of"
            " Waudby-Smith et al. (2021). Several primary comparisons are corrected by Holm (1979)."
            " Guardrails are tested for non-inferiority (Schuirmann 1987). Sample ratios are tested"
            f" exactly (Fabijan et al. 2019){looks}. Segments are compared by Cochran's Q (1954)."
        ),
    )
    return Section("How to make this report again", "Reproduce", "reproduce", blocks)


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
