"""The report as one HTML file that needs nothing else: styles and figures are inside."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader

from feed.domain import format_time
from feed.experiments.design.definitions import StoppingRule
from feed.experiments.judgement.results import (
    Comparison,
    MetricResult,
    Report,
    SlotTable,
    VerdictKind,
)
from feed.experiments.judgement.wording import (
    NONE,
    metric_value,
    number,
    p_value,
    percent,
    share_range,
)
from feed.experiments.log.exposure import BOT_ACTS_A_MINUTE
from feed.experiments.report.plots import (
    Bar,
    Drawing,
    draw_course,
    draw_days,
    draw_intervals,
    draw_positions,
)
from feed.experiments.report.rows import (
    CSS,
    MARKS,
    describe_variant,
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

_LOADER = PackageLoader("feed.experiments.report")
_ENVIRONMENT = Environment(loader=_LOADER, autoescape=True)


def style_sheet() -> str:
    """Return the style sheet shared by reports and the pages that list them."""
    return _LOADER.get_source(_ENVIRONMENT, "report.css")[0]


def render_html(report: Report) -> str:
    """Return a report as a self-contained HTML document."""
    return _ENVIRONMENT.get_template("report.html").render(_context(report))


def _context(report: Report) -> dict[str, Any]:
    experiment = report.experiment
    tables = {table.title: table for table in report.slot_tables}
    positions = tables.pop("Position", None)
    variants = [arm.name for arm in report.arms]
    context: dict[str, Any] = {
        "css": style_sheet(),
        "report": report,
        "experiment": experiment,
        "window": window_text(report),
        "broken": report.verdict.kind is VerdictKind.BROKEN,
        "verdict_class": report.verdict.kind.value.replace(" ", "-"),
        "verdict_text": _after_colon(report.verdict.sentence),
        "facts": facts_of(report),
        "control": experiment.control.name,
        "level": percent(1.0 - experiment.alpha, digits=0),
        "checks": [
            {
                "name": check.name,
                "state": check.state.value,
                "css": CSS[check.state],
                "mark": MARKS[check.state],
                "finding": check.finding,
            }
            for check in report.checks
        ],
        "arms": _arm_rows(report),
        "primaries": _primary_blocks(report),
        "guardrails": [guardrail_row(result) for result in report.guardrails],
        "secondaries": [_secondary_block(report, arm.name) for arm in experiment.treatments],
        "treated": experiment.treatments[0].name if len(experiment.arms) == 2 else "treatment",
        "many": len(experiment.treatments) > 1,
        "courses": _courses(report),
        "segments": _segment_blocks(report),
        "positions": draw_positions(positions, variants) if positions else None,
        "variants": variants,
        "slot_tables": [_slot_block(table, variants) for table in tables.values()],
        "boost": _boost_block(report),
        "holdout": holdout_text(report.holdout) if report.holdout is not None else "",
        "holdout_rows": holdout_rows(report),
        "teams": [team_row(result) for result in report.teams],
        "power": _power_rows(report),
        "power_wanted": percent(experiment.power, digits=0),
        "sequential": experiment.stopping_rule is StoppingRule.SEQUENTIAL,
        "design": design_rows(experiment),
        "generated": format_time(report.generated_at)[:19].replace("T", " "),
        "bot_acts": BOT_ACTS_A_MINUTE,
    }
    context["sections"] = _sections(report)
    return context


def _sections(report: Report) -> list[tuple[str, str]]:
    sections = [
        ("trust", "Trust"),
        ("primary", "Primary"),
        ("guardrails", "Guardrails"),
        ("secondary", "Secondary"),
        ("time", "Over time"),
        ("segments", "Segments"),
        ("slots", "Clicks"),
    ]
    if report.boost is not None:
        sections.append(("boost", "Trending boost"))
    if report.holdout is not None:
        sections.append(("holdout", "Held out"))
    if report.teams:
        sections.append(("teams", "Interleaving"))
    return [*sections, ("power", "Power"), ("design", "Design"), ("reproduce", "Reproduce")]


def _after_colon(sentence: str) -> str:
    text = sentence.split(": ", maxsplit=1)[-1]
    return text[0].upper() + text[1:]


def _arm_rows(report: Report) -> list[dict[str, str]]:
    return [
        {
            "name": arm.name,
            "note": describe_variant(report.experiment, arm.name).split(": ", 1)[1],
            "share": percent(arm.share),
            "exposed": number(arm.exposed),
            "analysed": number(arm.analysed),
            "views": number(arm.views),
            "events": number(arm.events),
        }
        for arm in report.arms
    ]


def _primary_blocks(report: Report) -> list[dict[str, Any]]:
    experiment = report.experiment
    blocks = []
    compared = sum(len(result.comparisons) for result in report.primaries)
    for result in report.primaries:
        for comparison in result.comparisons:
            title = result.metric.title
            if len(experiment.treatments) > 1:
                title = f"{title} in {comparison.treatment}"
            caption = ""
            if compared > 1 and comparison.p_adjusted is not None:
                caption = (
                    f"Corrected for {compared} comparisons (Holm):"
                    f" {p_value(comparison.p_adjusted)}."
                )
            blocks.append(
                {
                    "title": title,
                    "treatment": comparison.treatment,
                    "note": result.metric.note,
                    "caption": caption,
                    "drawing": _primary_drawing(report, result, comparison),
                    "rows": primary_rows(experiment, comparison, result.metric.form),
                }
            )
    return blocks


def _primary_drawing(
    report: Report, result: MetricResult, comparison: Comparison
) -> Drawing | None:
    if comparison.raw.relative is None:
        return None
    sign = _sign(result)
    sequential = report.experiment.stopping_rule is StoppingRule.SEQUENTIAL
    bars = [_bar("Raw", comparison.raw.relative, comparison.raw.relative_interval, sign)]
    if comparison.adjusted is not None:
        effect = comparison.adjusted.effect
        bars.append(
            _bar(
                "Adjusted (CUPED)",
                effect.relative,
                effect.relative_interval,
                sign,
                strong=not sequential,
            )
        )
    if comparison.sequence is not None and comparison.sequence.relative_interval is not None:
        interval = comparison.sequence.relative_interval
        bars.append(
            _bar("Always valid", comparison.deciding.relative, interval, sign, strong=sequential)
        )
    target = sign * report.experiment.minimum_effect
    return draw_intervals(bars, target=target, target_name="worth finding")


def _secondary_block(report: Report, treatment: str) -> dict[str, Any]:
    rows = secondary_rows(report.secondaries, treatment)
    bars = []
    for result, row in rows:
        found = next(c for c in result.comparisons if c.treatment == treatment)
        if found.deciding.relative is not None and found.deciding.relative_interval is not None:
            effect = found.deciding
            bars.append(_bar(row.label, effect.relative, effect.relative_interval, _sign(result)))
    return {
        "treatment": treatment,
        "rows": [row for _, row in rows],
        "drawing": draw_intervals(bars) if bars else None,
    }


def _courses(report: Report) -> list[dict[str, Any]]:
    blocks = []
    for course in report.courses:
        title = course.metric.title
        if len(report.experiment.treatments) > 1:
            title = f"{title} in {course.treatment}"
        known = any(look.effect.relative is not None for look in course.cumulative)
        target = report.experiment.minimum_effect
        if course.metric.direction == "lower_is_better":
            target = -target
        blocks.append(
            {
                "title": title,
                "cumulative": draw_course(course, target) if known else None,
                "daily": draw_days(course.daily, axis="day of the experiment", first=1),
                "since": draw_days(
                    course.since_exposure, axis="days since first exposure", first=0
                ),
            }
        )
    return blocks


def _segment_blocks(report: Report) -> list[dict[str, Any]]:
    blocks = []
    for treatment in dict.fromkeys(family.treatment for family in report.segments):
        families = [family for family in report.segments if family.treatment == treatment]
        bars: list[Bar] = []
        for family in families:
            sign = 1.0 if family.metric.direction == "higher_is_better" else -1.0
            bars.append(Bar(family.title, heading=True))
            bars += [
                _bar(name, effect.relative, effect.relative_interval, sign)
                for name, effect in family.effects.items()
            ]
        rows = [
            {
                "title": family.title,
                "count": len(family.effects),
                "p": p_value(family.interaction.p_value)
                if family.interaction.p_value is not None
                else NONE,
                "i_squared": percent(family.interaction.i_squared, digits=0),
                "remark": segment_remark(family, report.experiment.alpha),
            }
            for family in families
        ]
        drawing = draw_intervals(bars) if any(bar.value is not None for bar in bars) else None
        blocks.append({"treatment": treatment, "drawing": drawing, "rows": rows})
    return blocks


def _slot_block(table: SlotTable, variants: list[str]) -> dict[str, Any]:
    labels = list(dict.fromkeys(cell.label for cell in table.cells))
    found = {(cell.label, cell.variant): cell for cell in table.cells}
    rows = []
    for label in labels:
        cells = []
        for variant in variants:
            cell = found.get((label, variant))
            rate = cell.click_through if cell else None
            examined = number(cell.examined) if cell else "0"
            interval = share_range(cell.interval) if cell and cell.interval else ""
            rate_text = metric_value(rate, "share")
            cells.append({"examined": examined, "rate": rate_text, "interval": interval})
        rows.append({"label": label.replace("_", " "), "cells": cells})
    return {"title": table.title, "rows": rows}


def _boost_block(report: Report) -> dict[str, Any] | None:
    boost = report.boost
    if boost is None:
        return None
    names = [boost.without, boost.with_boost]
    totals = {n: sum(c.shown for c in boost.cells if c.variant == n) for n in names}
    found = {(cell.label, cell.variant): cell for cell in boost.cells}
    rows = []
    for label in dict.fromkeys(cell.label for cell in boost.cells):
        cells = []
        for name in names:
            cell = found.get((label, name))
            shown = cell.shown if cell else 0
            rate = cell.click_through if cell else None
            cells.append(
                {
                    "shown": number(shown),
                    "share": percent(shown / totals[name] if totals[name] else None),
                    "rate": metric_value(rate, "share"),
                    "interval": share_range(cell.interval) if cell and cell.interval else "",
                }
            )
        rows.append({"label": label, "cells": cells})
    text = (
        f"{boost.without} ranks without the trending boost, {boost.with_boost} with a strength"
        f" of {boost.strength:g}. What the boost is worth to readers is the primary metric above;"
        " this is what it does to the feed."
    )
    return {"text": text, "names": names, "rows": rows}


def _power_rows(report: Report) -> list[dict[str, str]]:
    titles = {result.metric.name: result.metric.title for result in report.primaries}
    return [
        {
            "metric": titles[row.metric],
            "treatment": row.treatment,
            "registered": percent(row.registered_effect),
            "power": percent(row.power),
            "detectable": percent(row.detectable),
        }
        for row in report.power
    ]


def _bar(
    label: str,
    value: float | None,
    interval: tuple[float, float] | None,
    sign: float,
    *,
    strong: bool = False,
) -> Bar:
    low, high = interval if interval is not None else (None, None)
    return Bar(label, value, low, high, strong=strong, sign=sign)


def _sign(result: MetricResult) -> float:
    return 1.0 if result.metric.direction == "higher_is_better" else -1.0
