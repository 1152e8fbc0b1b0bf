"""The table of all treatments by all metrics that decide, where there are several treatments."""

from __future__ import annotations

from dataclasses import replace

from feed.documents.document import Cell, DataTable, Row, Section
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.results import Comparison, MetricResult, Report
from feed.experiments.judgement.standings import gain, of, write_deciding_interval
from feed.experiments.judgement.wording import NONE, effect_change
from feed.experiments.report.comparisons import OUTCOMES


def overview_section(report: Report) -> Section:
    """Return every primary metric and every guardrail in every treatment."""
    names = [arm.name for arm in report.experiment.treatments]
    rows: list[Row] = [
        (Cell(result.metric.title, ("primary",)), *(_primary(report, result, n) for n in names))
        for result in report.primaries
    ]
    for spec in report.experiment.guardrails:
        mine = {g.comparison.treatment: g for g in report.guardrails if g.spec == spec}
        found = [mine[name] for name in names if name in mine]
        if found:
            title = Cell(found[0].metric.title, ("guardrail",))
            cells = [
                replace(OUTCOMES[g.outcome.verdict], notes=(_change(g.comparison, g.metric),))
                for g in found
            ]
            if report.chosen_by_hand:  # nothing is proven in such a window
                cells = [replace(cell, tone="") for cell in cells]
            rows.append((title, *cells))
    note = (
        "Each variant against control. A primary metric is marked where its effect is proven after"
        " the correction for all primary comparisons."
    )
    table = DataTable(("Metric", *names), rows)
    return Section("All variants at a glance", "Variants", "variants", [table], note)


def _primary(report: Report, result: MetricResult, treatment: str) -> Cell:
    comparison, experiment = of(result, treatment), report.experiment
    interval = write_deciding_interval(experiment, result, treatment)
    change = _change(comparison, result.metric)
    proven = comparison.p_adjusted is not None and comparison.p_adjusted < experiment.alpha
    if not proven or report.chosen_by_hand:
        return Cell(change, ("" if interval == NONE else interval, "not proven"))
    better = gain(result, treatment) > 0
    verdict = "proven better" if better else "proven worse"
    return Cell(change, (interval, verdict), tone="good" if better else "bad")


def _change(comparison: Comparison, metric: Metric) -> str:
    effect = comparison.deciding
    return effect_change(effect.relative, effect.difference, metric.form)
