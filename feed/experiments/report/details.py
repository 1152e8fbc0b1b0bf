"""The sections with details: effects over time and by segment, and clicks by slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from feed.documents.charts import Bar, LineChart
from feed.documents.document import (
    Block,
    Cell,
    DataTable,
    Figure,
    Folded,
    Heading,
    Paragraph,
    Section,
)
from feed.experiments.judgement.drifts import describe_drift
from feed.experiments.judgement.results import (
    BoostComparison,
    Look,
    Report,
    SegmentFamily,
    SlotCell,
    TimeCourse,
)
from feed.experiments.judgement.wording import (
    metric_value,
    number,
    percent,
    percent_interval,
    share_range,
)
from feed.experiments.log.local_days import day_of
from feed.experiments.report.comparisons import write_p
from feed.experiments.report.figures import (
    course_chart,
    days_chart,
    effect_bar,
    effects_chart,
    positions_chart,
)
from feed.experiments.report.front import titled

_COURSE_LEGEND = (
    ("series-1", 0.45, "single look"),
    ("series-1", 0.2, "valid at every look"),
    ("accent", 1.0, "smallest effect worth finding"),
)

_NO_DAY = "There is no day yet with readers in both variants and a control above 0."
_NO_WHOLE_DAY = "There is no whole day yet with readers in both variants and a control above 0."
_DRIFT = "A falling line suggests a novelty that wears off, a rising one a habit that forms."
_ONCE = (
    "A reader counts on the first day only. The more readers have done it, the fewer are left who"
    " can, so the line of an effect that stays falls, too."
)


def time_section(report: Report) -> Section:
    """Return the primary metrics over the days of the experiment."""
    blocks: list[Block] = []
    for course in report.courses:
        title = titled(report, course.metric, course.treatment)
        blocks.append(Heading(title))
        if _has_effects(course.cumulative):
            blocks += _course(course, title, report)
        else:
            blocks.append(Paragraph(_NO_DAY))
    return Section("Over time", "Over time", "time", blocks)


def _course(course: TimeCourse, title: str, report: Report) -> list[Block]:
    experiment, window = report.experiment, report.window
    target = course.metric.sign * experiment.minimum_effect
    drift = describe_drift(course, experiment.alpha)
    said = [Paragraph(drift, "warning")] if drift else []
    steps = experiment.opened_until(window.to_at)[1:]
    grown_on = [day_of(step.at, window.zone) - window.first_day + 1 for step in steps]
    cumulative = course_chart(course, target, grown_on)
    grew = " An upright line marks a day on which the traffic grew." if grown_on else ""
    cut = (
        " An arrow at the edge marks a day on which a band goes further."
        if _is_cut(cumulative)
        else ""
    )
    return [
        Figure(
            cumulative,
            f"{title}, cumulative effect by day",
            "The wide band may be read on any day; the narrow one only once, on the day that was"
            f" planned.{grew}{cut}",
            _COURSE_LEGEND,
        ),
        Folded("All days so far", [_looks_table(course.cumulative)]),
        Heading("By single day"),
        *_single_days(course, title),
        Heading("By days since first exposure"),
        *said,
        *_days_since_exposure(course, title),
    ]


def _is_cut(chart: LineChart) -> bool:
    return any(chart.cuts(series) for series in chart.series)


def _single_days(course: TimeCourse, title: str) -> list[Block]:
    if not _has_effects(course.daily):
        return [Paragraph(_NO_WHOLE_DAY)]
    chart = days_chart(course.daily, title="day of the experiment", first=1)
    return [
        Figure(chart, f"{title}, effect of single days"),
        Paragraph("Each day by itself; readers without activity count as zero.", "note"),
        Folded("All single days", [_looks_table(course.daily)]),
    ]


def _days_since_exposure(course: TimeCourse, title: str) -> list[Block]:
    if not _has_effects(course.since_exposure):
        return [Paragraph(_NO_WHOLE_DAY)]
    chart = days_chart(course.since_exposure, title="days since first exposure", first=0)
    note = _ONCE if course.metric.once else _DRIFT
    return [
        Figure(chart, f"{title}, effect by days since exposure", note),
        Folded("All days since first exposure", [_looks_table(course.since_exposure)]),
    ]


def _has_effects(looks: Sequence[Look]) -> bool:
    return any(look.effect.relative is not None for look in looks)


def _looks_table(looks: Sequence[Look]) -> DataTable:
    """Return looks as rows, with the always-valid interval and p-value where there are some."""
    rows = []
    for look in looks:
        found = look.effect if look.sequence is None else look.sequence
        effect, interval = percent(look.effect.relative, signed=True), found.relative_interval
        rows.append((look.label, effect, percent_interval(interval), write_p(look.p_value)))
    if all(look.sequence is None for look in looks):
        return DataTable(("Day", "Relative effect", "Interval"), [row[:3] for row in rows])
    head = ("Day", "Relative effect", "Always-valid interval", "Smallest p so far")
    return DataTable(head, rows)


def segments_section(report: Report) -> Section:
    """Return the first primary metric by properties of the readers."""
    note = (
        "Exploratory: with this many segments, some will look special by chance. Only the test of a"
        " difference between segments says whether one of them is."
    )
    blocks: list[Block] = []
    if not report.segments:
        blocks.append(Paragraph("There are not two segments with readers in both variants."))
    for treatment in dict.fromkeys(family.treatment for family in report.segments):
        if len(report.experiment.treatments) > 1:
            blocks.append(Heading(treatment))
        families = [family for family in report.segments if family.treatment == treatment]
        blocks += _families(families, report.experiment.alpha)
    return Section("Segments", "Segments", "segments", blocks, note)


def _families(families: Sequence[SegmentFamily], alpha: float) -> list[Block]:
    bars, numbers = [], []
    for family in families:
        bars.append(Bar(family.title, heading=True))
        for name, effect in family.effects.items():
            bars.append(
                effect_bar(name, effect.relative, effect.relative_interval, family.metric.sign)
            )
            relative = percent(effect.relative, signed=True)
            interval = percent_interval(effect.relative_interval)
            readers = number(effect.control.n + effect.treatment.n)
            numbers.append((Cell(name, (family.title,)), relative, interval, readers))
    rows = [
        (
            family.title,
            str(len(family.effects)),
            write_p(family.interaction.p_value),
            percent(family.interaction.i_squared, digits=0),
            _remark(family, alpha),
        )
        for family in families
    ]
    blocks: list[Block] = []
    if any(bar.value is not None for bar in bars):
        blocks.append(Figure(effects_chart(bars), "Effects in segments"))
    head = ("Property", "Segments", "p of any difference", "I²", "Remark")
    segments = DataTable(("Segment", "Relative effect", "Interval", "Readers"), numbers)
    return [*blocks, DataTable(head, rows, prose=("Remark",)), Folded("All segments", [segments])]


def _remark(family: SegmentFamily, alpha: float) -> str:
    """Say what a family of segments shows, in a sentence."""
    test, simpson = family.interaction, family.simpson
    if simpson.reversed:
        return "The total points the opposite way from every segment: look at the mix."
    if simpson.mix_p_value is not None and simpson.mix_p_value < 0.001:
        return "The variants hold different mixes of these segments."
    if test.p_value is None:
        return "There are not two segments with an estimate."
    if test.p_value < alpha:
        return "The segments may differ in the effect."
    return "No sign that the effect differs."


def slots_section(report: Report) -> Section:
    """Return click-through by properties of the slots."""
    variants = [arm.name for arm in report.arms]
    note = (
        "Clicks over examined slots, with 95\u00a0% intervals over readers and the number of slots."
        " What stands further up is clicked more, whatever it is. So by reason and by source, a"
        " line compares the clicks with the rate of all slots at the same positions, whatever they"
        " hold. Better articles stand further up, so this also removes some of their own merit."
        " Descriptive: which slots a reader examines depends on what they hold, so a difference"
        " between rows is not an effect."
    )
    blocks: list[Block] = []
    for table in report.slot_tables:
        blocks.append(Heading(f"By {table.title.lower()}"))
        if table.title != "Position":
            blocks.append(_by_variant(table.title, table.cells, variants, _placed_cell))
            continue
        shown = _by_variant(table.title, table.cells, variants, _slot_cell)
        legend = [(f"series-{min(place, 3)}", 1.0, name) for place, name in enumerate(variants)]
        figure = Figure(
            positions_chart(table, variants), "Click-through by position", legend=legend
        )
        blocks += [figure, Folded("All positions", [shown])]
    if not report.slot_tables:
        blocks.append(Paragraph("There is no examined slot after the first exposures."))
    return Section("Where clicks come from", "Clicks", "slots", blocks, note)


def _slot_cell(cell: SlotCell) -> Cell:
    return Cell(
        metric_value(cell.click_through, "share"),
        (
            share_range(cell.interval) if cell.interval else "",
            f"{number(cell.clicked)} of {number(cell.examined)}",
            f"{number(cell.readers)} readers",
        ),
    )


def _placed_cell(cell: SlotCell) -> Cell:
    """Return a cell with its clicks beside those that its positions let one expect."""
    plain = _slot_cell(cell)
    if cell.against_place is None:
        return plain
    low, high = cell.against_place
    ratio = (
        f"{cell.clicked / cell.expected:.2f} times its positions' rate ({low:.2f} to {high:.2f})"
    )
    return replace(plain, notes=(*plain.notes, ratio))


def boost_section(boost: BoostComparison) -> Section:
    """Return what the trending boost does to the feed."""
    names = (boost.without, boost.with_boost)
    totals = {n: sum(c.shown for c in boost.cells if c.variant == n) for n in names}

    def write(cell: SlotCell) -> Cell:
        total = totals[cell.variant]
        share = percent(cell.shown / total if total else None)
        interval = share_range(cell.interval) if cell.interval else ""
        shown = f"{share} of shown: {number(cell.shown)}"
        return Cell(metric_value(cell.click_through, "share"), (interval, shown))

    text = (
        f"{boost.without} ranks without the trending boost, {boost.with_boost} with a strength"
        f" of {boost.strength:g}. The primary metric above says what the boost is worth to readers;"
        " this table says what it does to the feed."
    )
    blocks = Paragraph(text), _by_variant("Slots", boost.cells, names, write)
    note = "Click-through with 95\u00a0% intervals over readers, and the share of all slots shown."
    return Section("With and without the trending boost", "Trending boost", "boost", blocks, note)


def _by_variant(
    title: str,
    cells: Sequence[SlotCell],
    variants: Sequence[str],
    write: Callable[[SlotCell], Cell],
) -> DataTable:
    """Return cells with their labels as rows and the variants as columns."""
    found = {(cell.label, cell.variant): cell for cell in cells}
    rows = [
        [
            Cell(label.replace("_", " ")),
            *(write(found.get((label, n), SlotCell(label, n, 0, 0, 0))) for n in variants),
        ]
        for label in dict.fromkeys(cell.label for cell in cells)
    ]
    return DataTable((title, *variants), rows)
