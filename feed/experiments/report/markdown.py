"""The report as Markdown, for a commit, a ticket or a chat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from feed.experiments.judgement.results import Report
from feed.experiments.judgement.wording import (
    NONE,
    metric_value,
    number,
    p_value,
    percent,
    percent_interval,
    share_range,
)
from feed.experiments.report.rows import (
    MARKS,
    design_rows,
    facts_of,
    guardrail_row,
    holdout_rows,
    holdout_text,
    primary_rows,
    secondary_rows,
    segment_remark,
    team_row,
    window_text,
)


def render_markdown(report: Report) -> str:
    """Return a report as Markdown."""
    experiment = report.experiment
    parts = [
        f"# {_cell(experiment.name)}, version {experiment.version}: {report.verdict.kind.value}",
        f"**{_cell(report.verdict.sentence)}**",
        "\n".join(f"- {_cell(reason)}" for reason in report.verdict.reasons),
        f"{window_text(report)}. {_cell(experiment.hypothesis)}",
        _table(
            ["number", "value", "note"],
            ([fact.title, fact.value, fact.note] for fact in facts_of(report)),
        ),
        "## Trust checks",
        _table(
            ["check", "outcome", "finding"],
            ([c.name, f"{MARKS[c.state]} {c.state.value}", c.finding] for c in report.checks),
        ),
        _table(
            ["variant", "share", "exposed", "in the estimates", "feeds", "events"],
            (
                [
                    arm.name,
                    percent(arm.share),
                    number(arm.exposed),
                    number(arm.analysed),
                    number(arm.views),
                    number(arm.events),
                ]
                for arm in report.arms
            ),
        ),
        "## Primary",
        *_primaries(report),
        "## Guardrails",
        _guardrails(report),
        "## Secondary",
        *_secondaries(report),
        "## Over time",
        *_courses(report),
        "## Segments (exploratory)",
        *_segments(report),
        *_slots(report),
        "## Power reached",
        _power(report),
        "## As registered",
        _table(["field", "value"], (list(row) for row in design_rows(experiment))),
        "## Reproduce",
        f"```\n{report.command or 'not made by a command'}\n```",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _primaries(report: Report) -> list[str]:
    parts = []
    for result in report.primaries:
        for comparison in result.comparisons:
            parts.append(f"{result.metric.title}, {comparison.treatment}:")
            rows = primary_rows(report.experiment, comparison, result.metric.form)
            parts.append(
                _table(
                    [
                        "estimate",
                        report.experiment.control.name,
                        comparison.treatment,
                        "difference",
                        "relative",
                        "interval",
                        "p",
                        "note",
                    ],
                    (
                        [
                            f"**{row.label}**" if row.decides else row.label,
                            row.control,
                            row.treatment,
                            row.difference,
                            row.relative,
                            row.interval,
                            row.p,
                            row.note,
                        ]
                        for row in rows
                    ),
                )
            )
    return parts


def _guardrails(report: Report) -> str:
    if not report.guardrails:
        return "None was registered."
    rows = [guardrail_row(result) for result in report.guardrails]
    return _table(
        ["guardrail", "treatment", "outcome", "change", "interval", "margin", "p"],
        ([r.title, r.treatment_name, r.outcome, r.change, r.interval, r.margin, r.p] for r in rows),
    )


def _secondaries(report: Report) -> list[str]:
    control = report.experiment.control.name
    return [
        _table(
            ["metric", control, arm.name, "relative", "interval", "corrected p"],
            (
                [row.label, row.control, row.treatment, row.relative, row.interval, row.p]
                for _, row in secondary_rows(report.secondaries, arm.name)
            ),
        )
        for arm in report.experiment.treatments
    ]


def _courses(report: Report) -> list[str]:
    parts = []
    for course in report.courses:
        parts.append(f"{course.metric.title}, {course.treatment}, all days so far:")
        parts.append(
            _table(
                ["day", "relative", "always-valid interval", "smallest p so far"],
                (
                    [
                        look.label,
                        percent(look.effect.relative, signed=True),
                        percent_interval(
                            look.sequence.relative_interval if look.sequence else None
                        ),
                        p_value(look.p_value) if look.p_value is not None else NONE,
                    ]
                    for look in course.cumulative
                ),
            )
        )
    return parts


def _segments(report: Report) -> list[str]:
    if not report.segments:
        return ["There are not two segments with readers in both variants."]
    parts = []
    for family in report.segments:
        remark = segment_remark(family, report.experiment.alpha)
        parts.append(f"{family.title}, {family.treatment}. {remark}")
        parts.append(
            _table(
                ["segment", "relative", "interval", "readers"],
                (
                    [
                        name,
                        percent(effect.relative, signed=True),
                        percent_interval(effect.relative_interval),
                        number(effect.control.n + effect.treatment.n),
                    ]
                    for name, effect in family.effects.items()
                ),
            )
        )
    return parts


def _slots(report: Report) -> list[str]:
    parts = []
    for table in report.slot_tables:
        parts.append(f"## Click-through by {table.title.lower()}")
        parts.append(
            _table(
                [
                    table.title.lower(),
                    "variant",
                    "readers",
                    "examined",
                    "clicked",
                    "click-through",
                    "95 % interval",
                ],
                (
                    [
                        cell.label,
                        cell.variant,
                        number(cell.readers),
                        number(cell.examined),
                        number(cell.clicked),
                        metric_value(cell.click_through, "share"),
                        share_range(cell.interval),
                    ]
                    for cell in table.cells
                ),
            )
        )
    if report.boost is not None:
        parts.append("## With and without the trending boost")
        parts.append(
            _table(
                ["slots", "variant", "shown", "click-through", "95 % interval"],
                (
                    [
                        c.label,
                        c.variant,
                        number(c.shown),
                        metric_value(c.click_through, "share"),
                        share_range(c.interval),
                    ]
                    for c in report.boost.cells
                ),
            )
        )
    if report.holdout is not None:
        parts.append("## Against readers held out")
        parts.append(holdout_text(report.holdout))
        if report.holdout.metrics:
            head = ["metric", "variant", "held out", "in it", "relative", "interval", "p"]
            parts.append(_table(head, holdout_rows(report)))
    if report.teams:
        parts.append("## Interleaving")
        head = ["rankings", "readers", "readers won", "share of the second", "p", "says"]
        parts.append(_table(head, (team_row(result) for result in report.teams)))
    return parts


def _power(report: Report) -> str:
    return _table(
        ["metric", "treatment", "registered effect", "chance to find it", "detectable"],
        (
            [
                row.metric,
                row.treatment,
                percent(row.registered_effect),
                percent(row.power),
                percent(row.detectable),
            ]
            for row in report.power
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(_cell(name) for name in head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
