"""A report's document holds every number of the analysis, for each view of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html import unescape

import pytest
from lab.simulation.archive import World

from feed.documents.charts import IntervalChart, LineChart
from feed.documents.document import Block, Cell, DataTable, Document, Figure, Folded, Paragraph, Row
from feed.documents.views import render_html, render_markdown
from feed.experiments.design.definitions import Experiment, StoppingRule, Variant
from feed.experiments.judgement.estimates import apply_rule
from feed.experiments.judgement.results import (
    CheckState,
    Comparison,
    Look,
    Report,
    TeamResult,
    VerdictKind,
)
from feed.experiments.judgement.wording import (
    NONE,
    THIN,
    metric_difference,
    metric_value,
    number,
    p_value,
    percent,
    percent_interval,
)
from feed.experiments.log.local_days import day_name, day_of
from feed.experiments.report.front import shared_parts
from feed.experiments.report.overview import overview_section
from feed.experiments.report.writing import experiment_document
from feed.experiments.statistics.effects import ArmMean, Interval, compare_means
from feed.experiments.statistics.interleaving import Preference

SMALL = World(experiment="trial", readers=900, days=4, pre_days=4, visits=0.6)

ReportOn = Callable[..., Report]


def blocks_of(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Folded):
            yield from blocks_of(block.blocks)


def tables(document: Document, anchor: str) -> list[DataTable]:
    (section,) = [found for found in document.sections if found.anchor == anchor]
    return [block for block in blocks_of(section.blocks) if isinstance(block, DataTable)]


def words(row: Row) -> list[str]:
    return [str(cell.text if isinstance(cell, Cell) else cell) for cell in row]


def deciding(document: Document) -> list[str]:
    rows = [row for table in tables(document, "primary") for row in table.rows]
    return [words(row)[0] for row in rows if isinstance(row[0], Cell) and row[0].strong]


@pytest.fixture
def everything(report_on: ReportOn) -> Report:
    """A report that has every section."""
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="treatment", share=0.5, overrides={"trending_boost": 0.0}),
    )
    report = report_on(SMALL, variants=variants, holdout_share=0.05)
    team = TeamResult("mixed", "old", "fresh", Preference(300, 120, 160, 20, 0.5666))
    return replace(report, teams=(team,), command="feed report trial")


def test_both_views_hold_every_table_and_every_sentence(everything: Report) -> None:
    document = experiment_document(everything)
    page = unescape(re.sub(r"<[^>]+>", " ", render_html(document)))
    text = unescape(render_markdown(document)).replace("\\|", "|").replace("**", "")
    views = [" ".join(view.split()) for view in (page, text)]
    anchors = [section.anchor for section in document.sections]
    assert anchors == [
        "trust", "primary", "guardrails", "secondary", "time", "segments", "slots", "boost",
        "holdout", "teams", "power", "design", "reproduce",
    ]  # fmt: skip
    for section in document.sections:
        wanted = [section.title, section.note]
        for block in blocks_of(section.blocks):
            if isinstance(block, DataTable):
                cells = [c if isinstance(c, Cell) else Cell(c) for row in block.rows for c in row]
                wanted += [part for cell in cells for part in (str(cell.text), *cell.notes)]
            else:
                wanted += [str(getattr(block, name, "")) for name in ("text", "title")]
        for sentence in wanted:
            for view in views:
                assert " ".join(sentence.split()) in view


def test_several_variants_stand_in_one_table_and_intervals_agree_with_the_correction(
    report_on: ReportOn,
) -> None:
    world = replace(SMALL, variants=("control", "b", "c"), lift=0.3, readers=3000)
    primaries = ("qualified_reads", "clicks", "click_through", "likes")
    report = report_on(world, primary_metrics=primaries, stopping_rule=StoppingRule.FIXED)
    document = experiment_document(report)
    (table,) = tables(document, "variants")
    assert table.columns == ("Metric", "b", "c")
    assert [words(row)[0] for row in table.rows[:4]] == [r.metric.title for r in report.primaries]
    assert len(table.rows) == 4 + len(report.experiment.guardrails)
    flat = [c for result in report.primaries for c in result.comparisons]
    assert len(flat) == 8
    text = " ".join(render_markdown(document).split())
    shrunk = 0
    for found in flat:
        single, together = found.deciding.relative_interval, found.simultaneous
        assert single is not None
        assert together is not None
        assert found.p_adjusted is not None
        assert together.low < single.low
        assert single.high < together.high
        assert together.covers(0.0) or found.p_adjusted < 0.05
        shrunk += not single.covers(0.0) and found.p_adjusted >= 0.05
    assert deciding(document) == ["All together"] * 8
    assert text.count("the effect is not proven") == shrunk
    facts = [fact.note for fact in document.facts[:8]]
    assert facts == [percent_interval(found.simultaneous) for found in flat]


def test_a_gain_over_a_control_of_0_is_better_and_has_its_interval_everywhere(
    everything: Report,
) -> None:
    (result,) = everything.primaries
    raw = compare_means(ArmMean(500, 0.0, 0.0), ArmMean(500, 0.5, 0.01), 0.95)
    found = replace(
        apply_rule(everything.experiment, Comparison("treatment", raw)), p_adjusted=0.001
    )
    report = replace(everything, primaries=(replace(result, comparisons=(found,)),))
    document = experiment_document(report)
    assert found.simultaneous_difference is not None
    low, high = (metric_difference(end, "number") for end in found.simultaneous_difference)
    assert (document.facts[0].value, document.facts[0].note) == ("+0.500", f"{low} to {high}")
    (estimates,) = tables(document, "primary")
    assert words(estimates.rows[1])[4] == f"{low} to {high}"
    (table,) = [b for b in overview_section(report).blocks if isinstance(b, DataTable)]
    assert table.rows[0][1] == Cell("+0.500", (f"{low} to {high}", "proven better"), tone="good")


def test_a_guardrail_has_the_interval_and_the_p_value_of_its_outcome(everything: Report) -> None:
    (first, *others) = everything.guardrails
    outcome = replace(
        first.outcome,
        verdict="breached",
        p_holds=1.0,
        p_breached=0.012,
        interval=Interval(1.0, 2.0),
        relative_interval=Interval(0.25, 0.5),
    )
    for spec, interval in (
        (replace(first.spec, relative=True), percent_interval(outcome.relative_interval)),
        (replace(first.spec, relative=False), f"+1.0{THIN}ms to +2.0{THIN}ms"),
    ):
        changed = replace(first, spec=spec, outcome=outcome)
        report = replace(everything, guardrails=(changed, *others))
        row = tables(experiment_document(report), "guardrails")[0].rows[0]
        assert isinstance(row[4], Cell)
        assert row[4].notes == (interval,)
        assert words(row)[-1] == p_value(0.012)


def test_passed_checks_are_one_line_and_others_stand_open(everything: Report) -> None:
    fault = replace(everything.checks[0], state=CheckState.FAILED)
    document = experiment_document(replace(everything, checks=(fault, *everything.checks[1:])))
    (section,) = [found for found in document.sections if found.anchor == "trust"]
    shown, folded, _ = section.blocks
    assert isinstance(shown, DataTable)
    assert [words(row)[0] for row in shown.rows] == [fault.name]
    assert isinstance(folded, Folded)
    passed = sum(check.state is CheckState.PASSED for check in everything.checks[1:])
    assert f"{passed} of {len(everything.checks)} trust checks passed" in str(folded.title)


def test_secondary_metrics_have_a_colour_only_where_they_are_proven(everything: Report) -> None:
    assert {"share_trending", "clicks"} <= {r.metric.name for r in everything.secondaries}
    away = Interval(-0.3, -0.1)

    def moved(p: float) -> list[tuple[str, str]]:
        results = []
        for result in everything.secondaries:
            (found,) = result.comparisons
            raw = replace(found.raw, p_value=p, relative=-0.2, relative_interval=away)
            changed = replace(found, raw=raw, adjusted=None, p_adjusted=p)
            results.append(replace(result, comparisons=(changed,)))
        document = experiment_document(replace(everything, secondaries=tuple(results)))
        (section,) = [found for found in document.sections if found.anchor == "secondary"]
        (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
        assert isinstance(figure.chart, IntervalChart)
        return [(bar.label, bar.colour) for bar in figure.chart.bars]

    assert {colour for _, colour in moved(0.2)} == {"muted"}
    colours = dict(moved(0.001))
    assert colours["Clicks per reader"] == "bad"
    assert colours["Trending share of what was shown"] == "muted"


def test_a_metric_without_a_difference_is_one_line_and_no_empty_row(everything: Report) -> None:
    (table,) = tables(experiment_document(everything), "secondary")
    assert all(words(row)[-1] != NONE for row in table.rows)
    page = render_html(experiment_document(everything))
    assert "Without a difference to measure: Trending share of what was shown (25.00" in page


def test_before_the_first_whole_day_the_report_says_so_and_draws_no_empty_chart(
    everything: Report,
) -> None:
    courses = [
        replace(course, daily=(), since_exposure=(), cumulative=course.cumulative[:1])
        for course in everything.courses
    ]
    document = experiment_document(replace(everything, courses=tuple(courses)))
    (section,) = [found for found in document.sections if found.anchor == "time"]
    blocks = list(blocks_of(section.blocks))
    (figure,) = [block for block in blocks if isinstance(block, Figure)]
    assert isinstance(figure.chart, LineChart)
    assert all(series.whisker for series in figure.chart.series), "one day spans no area"
    said = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert sum("There is no whole day yet" in str(text) for text in said) == 2


def test_the_figures_are_those_of_the_sections(everything: Report) -> None:
    document = experiment_document(everything)
    labels = [
        block.label
        for section in document.sections
        for block in blocks_of(section.blocks)
        if isinstance(block, Figure)
    ]
    title = everything.primaries[0].metric.title
    assert labels == [
        f"{title}: intervals of the relative effect",
        "Relative effects on secondary metrics in treatment",
        f"{title}, cumulative effect by day",
        f"{title}, effect of single days",
        f"{title}, effect by days since exposure",
        "Effects in segments",
        "Click-through by position",
    ]
    assert render_html(document).count("<figure") == len(labels)


def test_every_day_is_on_the_figure_and_a_band_that_is_cut_has_an_arrow(
    everything: Report,
) -> None:
    (course,) = everything.courses
    first = course.cumulative[0]

    def chart(look: Look) -> tuple[LineChart, str]:
        looks = (look, *course.cumulative[1:])
        report = replace(everything, courses=(replace(course, cumulative=looks),))
        document = experiment_document(report)
        (section,) = [found for found in document.sections if found.anchor == "time"]
        figure = next(block for block in section.blocks if isinstance(block, Figure))
        assert isinstance(figure.chart, LineChart)
        return figure.chart, render_html(document)

    far, wide = replace(first.effect, relative=3.0), Interval(-0.9, 9.0)
    found, _ = chart(replace(first, effect=far))
    assert all(found.y.holds(point.y) for point in found.series[1].points)
    narrow = replace(first.effect, relative_interval=Interval(-0.01, 0.01))
    plain, page = chart(Look(0, first.label, narrow, first.sequence))
    assert plain.cuts(plain.series[1]) == []
    cut, cut_page = chart(replace(first, effect=replace(first.effect, relative_interval=wide)))
    assert cut.cuts(cut.series[1]) == [(1, True), (1, False)]
    assert "An arrow at the edge" in cut_page
    assert cut_page.count("M-4,7L0,0L4,7Z") == page.count("M-4,7L0,0L4,7Z") + 1


def test_the_estimate_that_decides_follows_the_stopping_rule(report_on: ReportOn) -> None:
    sequential = experiment_document(report_on(SMALL))
    fixed = experiment_document(report_on(SMALL, stopping_rule=StoppingRule.FIXED))
    assert deciding(sequential) == ["Always valid"]
    assert deciding(fixed) == ["Adjusted (CUPED)"]
    assert "all p-values here are valid at every look" in render_html(sequential)
    assert "all p-values here" not in render_html(fixed)


def test_estimates_and_looks_are_those_of_the_analysis(everything: Report) -> None:
    document = experiment_document(everything)
    (comparison,) = everything.primaries[0].comparisons
    raw, form = comparison.raw, everything.primaries[0].metric.form
    (estimates,) = tables(document, "primary")
    assert words(estimates.rows[0])[:5] == [
        "Raw",
        metric_value(raw.control.mean, form),
        metric_value(raw.treatment.mean, form),
        percent(raw.relative, signed=True),
        percent_interval(raw.relative_interval),
    ]
    assert comparison.sequence is not None
    assert words(estimates.rows[2])[4] == percent_interval(comparison.sequence.relative_interval)
    cumulative, daily, since = tables(document, "time")
    course = everything.courses[0]
    for look, row in zip(course.cumulative, cumulative.rows, strict=True):
        assert look.sequence is not None
        assert words(row)[2] == percent_interval(look.sequence.relative_interval)
    for looks, table in ((course.daily, daily), (course.since_exposure, since)):
        found = [words(row)[2] for row in table.rows]
        assert found == [percent_interval(look.effect.relative_interval) for look in looks]


def test_slots_stand_by_variant_and_a_missing_one_is_empty(everything: Report) -> None:
    first = everything.slot_tables[0]
    kept = replace(first, cells=first.cells[1:])
    (table,) = tables(experiment_document(replace(everything, slot_tables=(kept,))), "slots")
    variants = ["control", "treatment"]
    assert list(table.columns[1:]) == variants
    gone = first.cells[0]
    labels = [words(found)[0] for found in table.rows]
    cells = dict(
        zip(variants, table.rows[labels.index(gone.label.replace("_", " "))][1:], strict=True)
    )
    assert cells[gone.variant] == Cell(NONE, ("", "0 of 0", "0 readers"))
    other = next(c for c in kept.cells if c.label == gone.label)
    shown = cells[other.variant]
    assert isinstance(shown, Cell)
    assert shown.text == metric_value(other.click_through, "share")
    assert shown.notes[1] == f"{number(other.clicked)} of {number(other.examined)}"


def test_clicks_by_reason_stand_beside_the_rate_of_their_positions(everything: Report) -> None:
    table = next(t for t in everything.slot_tables if t.title == "Reason")
    document = experiment_document(replace(everything, slot_tables=(table,)))
    (shown,) = tables(document, "slots")
    cell = next(c for c in table.cells if c.variant == "control" and c.against_place)
    row = next(r for r in shown.rows if words(r)[0] == cell.label.replace("_", " "))
    ratio = f"{cell.clicked / cell.expected:.2f} times its positions' rate"
    assert isinstance(row[1], Cell)
    assert row[1].notes[-1].startswith(ratio)


def test_a_broken_report_withholds_the_effect(everything: Report) -> None:
    check = replace(everything.checks[0], state=CheckState.FAILED)
    verdict = replace(everything.verdict, kind=VerdictKind.BROKEN, sentence="Broken: a | b.")
    document = experiment_document(replace(everything, checks=(check,), verdict=verdict))
    assert document.facts[0].value == NONE
    assert "withheld" in document.facts[0].note
    assert document.headline is not None
    assert document.headline.sentence == "A | b."
    assert "The numbers from here on are for finding the fault" in render_markdown(document)
    assert '<td class="state bad">✗ failed</td>' in render_html(document)


@pytest.mark.parametrize(
    ("alpha", "said"), [(0.05, "readers click fresh more"), (0.01, "no preference shown")]
)
def test_a_preference_is_shown_at_the_level_that_was_registered(
    everything: Report, alpha: float, said: str
) -> None:
    design = replace(everything.experiment, alpha=alpha)
    teams = (replace(everything.teams[0], p_value=0.03),)
    document = experiment_document(replace(everything, experiment=design, teams=teams))
    (row,) = tables(document, "teams")[0].rows
    assert words(row)[-2:] == [p_value(0.03), said]


def test_the_heading_names_the_days_of_the_time_zone(everything: Report) -> None:
    late = everything.window.from_at - 3600.0
    window = replace(everything.window, from_at=late, zone="Pacific/Auckland")
    first, last = window.first_day, window.last_day
    kicker = experiment_document(replace(everything, window=window)).kicker
    assert f" · {day_name(first)} to {day_name(last)} · " in kicker
    assert day_name(first) != day_name(day_of(late))


def test_what_the_variants_share_is_said_where_one_changes_what_is_counted() -> None:
    plain = Variant(name="control", share=0.5), Variant(name="new", share=0.5)
    design = Experiment(name="e", hypothesis="h", owner="o", variants=plain)
    assert shared_parts(design) == []
    for change in ({"overrides": {"trending_boost": 0.0}}, {"model_version": "v2"}):
        variants = plain[0], replace(plain[1], **change)  # type: ignore[arg-type]
        ((label, text),) = shared_parts(replace(design, variants=variants))
        assert label == "Shared by all variants"
        assert "counters" in text
