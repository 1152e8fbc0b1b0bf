"""What a report says of worlds whose truth is known, and of inputs that are broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from lab.simulation.archive import World

from feed.config import DAY_S
from feed.documents.views import render_html, render_markdown
from feed.domain import ConflictError, InvalidInputError
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.traffic import TrafficStep
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import CheckState, Report, VerdictKind
from feed.experiments.judgement.wording import number
from feed.experiments.report.writing import dump_json, experiment_document
from feed.storage.archive_ledger import Commit, Ledger

SMALL = World(experiment="trial", readers=900, days=4, pre_days=4, visits=0.6)
LIFTED = replace(SMALL, readers=4000, lift=0.4)

ReportOn = Callable[..., Report]


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.state is CheckState.FAILED}


def readable(report: Report, *, html: bool = False) -> str:
    """The views of a report, after making sure that none of them shows a broken number."""
    document = experiment_document(report)
    text = dump_json(report).decode() + render_markdown(document)
    if html:
        text += render_html(document)
    json.loads(dump_json(report), parse_constant=pytest.fail)
    for word in ("nan", "Traceback", "None%", "inf%"):
        assert word not in text.replace("finance", "").replace("nance", ""), word
    return text


def test_a_true_lift_ships(report_on: ReportOn) -> None:
    report = report_on(LIFTED)
    assert report.verdict.kind is VerdictKind.SHIP
    assert report.verdict.variant == "treatment"
    assert failed(report) == set()
    readable(report, html=True)


def test_the_interval_covers_the_true_lift(report_on: ReportOn) -> None:
    comparison = report_on(LIFTED).primaries[0].comparisons[0]
    assert comparison.raw.relative_interval is not None
    assert comparison.raw.relative_interval.covers(LIFTED.lift)
    assert comparison.sequence is not None
    assert comparison.sequence.relative_interval is not None
    assert comparison.sequence.relative_interval.covers(LIFTED.lift)
    assert comparison.adjusted is not None
    assert comparison.adjusted.variance_reduction is not None
    assert comparison.adjusted.variance_reduction > 0.02


def test_no_lift_does_not_ship(report_on: ReportOn) -> None:
    report = report_on(SMALL)
    assert report.verdict.kind is VerdictKind.INCONCLUSIVE
    assert failed(report) == set()


def test_at_the_end_of_the_plan_without_proof_nothing_ships(report_on: ReportOn) -> None:
    report = report_on(SMALL, planned_readers=100)
    assert report.verdict.kind is VerdictKind.INCONCLUSIVE
    assert "and anything beyond is ruled out" in report.verdict.sentence
    assert any("new readers a day" in reason for reason in report.verdict.reasons)


def test_days_that_are_over_without_the_readers_are_inconclusive(report_on: ReportOn) -> None:
    report = report_on(SMALL, planned_readers=2_000, minimum_effect=0.3)
    assert report.verdict.kind is VerdictKind.INCONCLUSIVE
    missing = 2_000 - sum(arm.analysed for arm in report.arms)
    forecast = next(r for r in report.verdict.reasons if "more readers are needed" in r)
    assert number(missing) in forecast
    assert any("Suggestion: " in reason for reason in report.verdict.reasons)


def test_the_fixed_rule_says_nothing_before_the_planned_readers(report_on: ReportOn) -> None:
    early = report_on(LIFTED, stopping_rule=StoppingRule.FIXED, planned_readers=10_000)
    assert early.verdict.kind is VerdictKind.INCONCLUSIVE
    late = report_on(LIFTED, stopping_rule=StoppingRule.FIXED)
    assert late.verdict.kind is VerdictKind.SHIP


def test_the_fixed_rule_looks_once_however_late_it_is_asked(
    data_dirs: Callable[[World], Path], report_on: ReportOn
) -> None:
    days = {"planned_days": 2, "minimum_days": 2}
    late = report_on(LIFTED, stopping_rule=StoppingRule.FIXED, planned_readers=2_500, **days)
    assert late.window.to_at == LIFTED.start_at + 2 * DAY_S
    on_time = analyse(data_dirs(LIFTED), late.experiment, now=late.window.to_at, threads=1)
    assert on_time.primaries == late.primaries
    assert on_time.verdict == late.verdict
    waiting = report_on(LIFTED, stopping_rule=StoppingRule.FIXED, planned_readers=3_700, **days)
    assert LIFTED.start_at + 2 * DAY_S < waiting.window.to_at
    assert sum(arm.analysed for arm in waiting.arms) == 3_700


def test_a_guardrail_that_is_not_shown_to_hold_keeps_a_gain_from_shipping(
    report_on: ReportOn,
) -> None:
    report = report_on(LIFTED, guardrails=(GuardrailSpec(metric="hides", margin=0.02),))
    assert report.verdict.kind is not VerdictKind.SHIP
    assert "Hides" in " ".join([report.verdict.sentence, *report.verdict.reasons])


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"lost_exposures": 0.35}, "Sample ratio"),
        ({"lost_keys": 0.1}, "Join keys"),
        ({"repeated": 0.05}, "Duplicate events"),
        ({"fallbacks": 0.1}, "Fallback feeds"),
    ],
)
def test_a_torn_log_is_called_broken(
    report_on: ReportOn, fault: dict[str, float], check: str
) -> None:
    report = report_on(replace(SMALL, lift=0.35, **fault))  # type: ignore[arg-type]
    assert check in failed(report)
    assert report.verdict.kind is VerdictKind.BROKEN
    assert "Ship" not in report.verdict.sentence
    readable(report)


def test_repeated_events_count_once(report_on: ReportOn) -> None:
    clean, repeated = report_on(SMALL), report_on(replace(SMALL, repeated=0.05))
    for before, after in zip(clean.secondaries, repeated.secondaries, strict=True):
        assert before.comparisons[0].raw == after.comparisons[0].raw


def test_two_treatments_are_compared_with_control_each(report_on: ReportOn) -> None:
    world = replace(SMALL, variants=("control", "b", "c"))
    report = report_on(world)
    comparisons = report.primaries[0].comparisons
    assert [comparison.treatment for comparison in comparisons] == ["b", "c"]
    for comparison in comparisons:
        assert comparison.p_adjusted is not None
        assert comparison.p_value is not None
        assert comparison.p_adjusted >= comparison.p_value
    readable(report)


def test_a_variant_without_the_boost_brings_its_own_section(report_on: ReportOn) -> None:
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="treatment", share=0.5, overrides={"trending_boost": 0.0}),
    )
    report = report_on(SMALL, variants=variants)
    assert report.boost is not None
    assert report.boost.without == "treatment"
    assert "without the trending boost" in readable(report, html=True)


def test_held_out_readers_are_compared_with_every_variant_and_with_all(
    report_on: ReportOn,
) -> None:
    world = replace(LIFTED, held_out=0.3)
    report = report_on(world, holdout_share=0.3, alpha=0.001)
    assert failed(report) == set()
    assert sum(arm.exposed for arm in report.arms) < 0.75 * world.readers
    found = report.holdout
    assert found is not None
    assert found.p_value is not None
    assert found.p_value > 0.001
    assert found.readers == pytest.approx(found.expected, rel=0.1)
    reads = {c.treatment: c.deciding.relative_interval for c in found.metrics[0].comparisons}
    truths = {"control": 0.0, "treatment": world.lift, "everyone in it": world.lift / 2}
    for name, truth in truths.items():
        interval = reads[name]
        assert interval is not None
        assert interval.covers(truth)
    assert [r.metric.name for r in found.metrics] == ["qualified_reads", "section_entropy"]
    assert "kept out of every experiment" in readable(report, html=True)


RAMPED = replace(LIFTED, held_out=0.3, days=8, steps=((0, 0.2), (4, 1.0)))
GROWN = {
    "holdout_share": 0.3,
    "alpha": 0.001,
    "planned_readers": 2_500,
    "steps": tuple(
        TrafficStep(RAMPED.start_at + day * DAY_S, share) for day, share in RAMPED.steps
    ),
}


def test_readers_who_join_in_a_later_step_count_from_their_own_start(report_on: ReportOn) -> None:
    report = report_on(RAMPED, **GROWN)
    assert failed(report) == set()
    reads = report.primaries[0].comparisons[0].deciding.relative_interval
    assert reads is not None
    assert reads.covers(RAMPED.lift)
    assert reads.low > 0
    joined = [look.effect.control.n for look in report.courses[0].daily]
    assert joined[4] > 3 * joined[3]
    assert report.verdict.kind is VerdictKind.SHIP


def test_held_out_readers_enter_by_the_same_steps_as_all_others(report_on: ReportOn) -> None:
    found = report_on(RAMPED, **GROWN).holdout
    assert found is not None
    assert found.p_value is not None
    assert found.p_value > 0.001
    reads = {c.treatment: c.deciding.relative_interval for c in found.metrics[0].comparisons}
    for name, truth in {"control": 0.0, "treatment": RAMPED.lift}.items():
        interval = reads[name]
        assert interval is not None
        assert interval.covers(truth)


def test_the_steps_stand_in_the_report(report_on: ReportOn) -> None:
    text = readable(report_on(RAMPED, **GROWN), html=True)
    assert "20.00\u202f% from 2024-10-04T00:00:00.000Z, 100.00\u202f% from 2024-10-08" in text
    assert "An upright line marks a day on which the traffic grew." in text
    assert '"steps":' in text
    assert 'class="line muted dashed"' in text
    for word in ("upright line", "line muted dashed"):
        assert word not in readable(report_on(LIFTED), html=True)


def test_new_readers_a_day_are_counted_since_the_traffic_last_grew(report_on: ReportOn) -> None:
    """Nearly all come on the last day, and none of them is of the holdout."""
    late = replace(RAMPED, lift=0.0, steps=((0, 0.05), (7, 1.0)))
    steps = tuple(TrafficStep(late.start_at + day * DAY_S, share) for day, share in late.steps)
    report = report_on(late, steps=steps, holdout_share=0.3, planned_readers=6_000)
    *_, before, now = (
        look.effect.control.n + look.effect.treatment.n for look in report.courses[0].daily
    )
    rate = f"at the present rate of {number(now - before)} new readers a day"
    assert rate in " ".join(report.verdict.reasons)


def test_a_holdout_of_which_nobody_is_marked_is_said_to_be_empty(report_on: ReportOn) -> None:
    report = report_on(SMALL, holdout_share=0.05)
    assert report.holdout is not None
    assert report.holdout.metrics == ()
    assert "No held-out reader" in readable(report, html=True)
    assert report_on(SMALL).holdout is None


def test_readers_with_a_test_override_never_enter(report_on: ReportOn) -> None:
    everyone = report_on(SMALL)
    testers = tuple(f"reader-{i}" for i in range(200))
    without = report_on(SMALL, excluded=testers)
    missing = sum(a.exposed for a in everyone.arms) - sum(a.exposed for a in without.arms)
    assert 120 < missing <= 200


def test_html_needs_nothing_from_outside(report_on: ReportOn) -> None:
    page = render_html(experiment_document(report_on(LIFTED)))
    for mark in ("src=", "<link", "@import", "url(http", 'href="http', "<script"):
        assert mark not in page


def test_what_people_wrote_is_escaped(report_on: ReportOn) -> None:
    text = "<script>alert(1)</script>"
    page = render_html(experiment_document(report_on(SMALL, hypothesis=text, owner=text)))
    assert text not in page
    assert "&lt;script&gt;" in page


def test_json_and_html_tell_the_same_verdict(report_on: ReportOn) -> None:
    report = report_on(LIFTED)
    data = json.loads(dump_json(report))
    assert data["verdict"]["kind"] == "ship"
    relative = data["primaries"][0]["comparisons"][0]["raw"]["relative"]
    assert relative == report.primaries[0].comparisons[0].raw.relative
    assert data["experiment"]["excluded"] == []


def broken_copy(source: Path, target: Path, table: str, change: str) -> Path:
    """Copy a data directory with one table rewritten by an SQL query over `t`."""
    shutil.copytree(source, target)
    for file in sorted((target / "archive" / table).glob("day=*/*.parquet")):
        t = duckdb.read_parquet(str(file))  # noqa: F841 - the query names it
        duckdb.sql(change).write_parquet(str(file.with_suffix(".new")))
        file.with_suffix(".new").replace(file)
    return target


def at_end(folder: Path, experiment: Experiment) -> Report:
    return analyse(folder, experiment, now=SMALL.start_at + SMALL.days * DAY_S, threads=1)


@pytest.fixture
def trial(report_on: ReportOn) -> Experiment:
    return report_on(SMALL).experiment


def test_without_exposures_the_report_says_so(tmp_path: Path, trial: Experiment) -> None:
    report = at_end(tmp_path, trial)
    assert report.verdict.kind is VerdictKind.BROKEN
    assert "nobody was exposed" in readable(report, html=True)


def test_an_empty_variant_is_named(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment
) -> None:
    folder = broken_copy(
        data_dirs(SMALL),
        tmp_path / "x",
        "served",
        "SELECT * REPLACE (replace(experiments, 'treatment', 'control') AS experiments) FROM t",
    )
    report = at_end(folder, trial)
    assert report.verdict.kind is VerdictKind.BROKEN
    assert "No reader was exposed to treatment" in readable(report)


def test_all_zeros_give_no_estimate_and_no_verdict_to_ship(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment
) -> None:
    folder = broken_copy(
        data_dirs(SMALL), tmp_path / "x", "events", "SELECT * FROM t WHERE kind = 'impression'"
    )
    report = at_end(folder, trial)
    assert report.verdict.kind is not VerdictKind.SHIP
    assert report.primaries[0].comparisons[0].raw.interval is None
    assert "every reader has the same value" in readable(report, html=True)


def test_one_reader_with_a_flood_of_clicks_changes_nothing(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment, report_on: ReportOn
) -> None:
    folder = broken_copy(
        data_dirs(SMALL),
        tmp_path / "x",
        "events",
        "SELECT * FROM t UNION ALL SELECT u.* REPLACE ('bot-' || i AS event_id, 'click' AS kind,"
        " u.occurred_at + i * INTERVAL 1 MILLISECOND AS occurred_at) FROM"
        " (SELECT * FROM t WHERE user_id = 'reader-7' LIMIT 1) AS u, range(40000) AS r(i)",
    )
    report, clean = at_end(folder, trial), report_on(SMALL, excluded=("reader-7",))
    assert sum(arm.exposed - arm.analysed for arm in report.arms) == 1
    assert report.primaries[0].comparisons[0].raw == clean.primaries[0].comparisons[0].raw
    readable(report)


def test_what_happens_after_the_one_look_changes_nothing(
    data_dirs: Callable[[World], Path], tmp_path: Path, report_on: ReportOn
) -> None:
    days = {"planned_days": 2, "minimum_days": 2, "planned_readers": 780}
    clean = report_on(SMALL, stopping_rule=StoppingRule.FIXED, **days)
    look = clean.window.to_at
    assert SMALL.start_at + 2 * DAY_S < look < SMALL.start_at + 3 * DAY_S
    folder = broken_copy(
        data_dirs(SMALL),
        tmp_path / "x",
        "events",
        "SELECT * FROM t UNION ALL SELECT u.* REPLACE (u.event_id || i AS event_id, 'click' AS"
        " kind) FROM (SELECT * FROM t WHERE request_id IS NOT NULL AND hash(user_id) % 2 = 0"
        f" AND epoch(occurred_at) >= {look!r} AND epoch(received_at) >= {look!r}) AS u,"
        " range(30) AS r(i)",
    )
    flooded = at_end(folder, clean.experiment)
    assert flooded.window == clean.window
    assert flooded.checks == clean.checks
    assert flooded.primaries == clean.primaries
    assert flooded.slot_tables == clean.slot_tables


def test_readers_who_are_shown_another_variant_after_the_one_look_do_not_move_it(
    data_dirs: Callable[[World], Path], tmp_path: Path, report_on: ReportOn
) -> None:
    days = {"planned_days": 2, "minimum_days": 2, "planned_readers": 780}
    clean = report_on(SMALL, stopping_rule=StoppingRule.FIXED, **days)
    a, b = (arm.name for arm in clean.experiment.arms)
    swapped = "experiments"
    for before, after in ((a, "#"), (b, a), ("#", b)):
        swapped = f"replace({swapped}, '\"{before}\"', '\"{after}\"')"
    folder = broken_copy(
        data_dirs(SMALL),
        tmp_path / "x",
        "served",
        f"SELECT * REPLACE (CASE WHEN epoch(served_at) >= {clean.window.to_at!r} THEN {swapped}"
        " ELSE experiments END AS experiments) FROM t",
    )
    strayed = at_end(folder, clean.experiment)
    assert strayed.window == clean.window
    assert strayed.checks == clean.checks
    assert strayed.primaries == clean.primaries


def test_clocks_that_jump_are_counted_when_the_event_came(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment, report_on: ReportOn
) -> None:
    folder = broken_copy(
        data_dirs(SMALL),
        tmp_path / "x",
        "events",
        "SELECT * REPLACE (CASE WHEN hash(event_id) % 4 = 0 THEN TIMESTAMPTZ '1970-01-01'"
        " WHEN hash(event_id) % 4 = 1 THEN occurred_at + INTERVAL 400 DAY"
        " ELSE occurred_at END AS occurred_at) FROM t",
    )
    report, clean = at_end(folder, trial), report_on(SMALL)
    clocks = next(check for check in report.checks if check.name == "Clocks")
    assert clocks.state is not CheckState.PASSED
    assert [arm.events for arm in report.arms] == [arm.events for arm in clean.arms]
    readable(report)


def test_a_log_with_half_of_its_days_is_called_broken(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment
) -> None:
    folder = tmp_path / "x"
    shutil.copytree(data_dirs(SMALL), folder)
    for day in sorted((folder / "archive" / "served").glob("day=*"))[-4::2]:
        shutil.rmtree(day)
    report = at_end(folder, trial)
    assert failed(report) == {"Archive complete"}
    assert report.verdict.kind is VerdictKind.BROKEN
    readable(report)


def archive_of_a_worker(source: Path, target: Path, quiet: int | None) -> Path:
    """Copy an archive with one numbered commit a day, without anything on the day `quiet`."""
    shutil.copytree(source, target)
    archive = target / "archive"
    number = 0
    for place, day in enumerate(sorted((archive / "events").glob("day=*"))):
        folders = (day, archive / "served" / day.name)
        if place == quiet:
            for folder in folders:
                shutil.rmtree(folder)
            continue
        number += 1
        for folder in folders:
            (folder / "simulated.parquet").rename(folder / f"{number:012d}.parquet")
    articles = next((archive / "articles").rglob("*.parquet"))
    articles.rename(articles.with_name("000000000001.parquet"))
    Ledger(archive).add(Commit(number, "worker", {}, "", {}, {"events/x.parquet": 1}))
    return target


def completeness(report: Report) -> CheckState:
    return next(c.state for c in report.checks if c.name == "Archive complete")


@pytest.mark.parametrize("quiet", [5, 7])
def test_a_day_without_traffic_is_no_lost_day(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment, quiet: int
) -> None:
    folder = archive_of_a_worker(data_dirs(SMALL), tmp_path / "x", quiet)
    report = at_end(folder, trial)
    assert completeness(report) is CheckState.WARNING
    assert report.verdict.kind is not VerdictKind.BROKEN
    assert "Nobody came on 1 of 4 whole days" in readable(report)


@pytest.mark.parametrize("lost", [5, 7])
def test_a_day_whose_commits_are_gone_is_lost(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment, lost: int
) -> None:
    folder = archive_of_a_worker(data_dirs(SMALL), tmp_path / "x", None)
    for table in ("events", "served"):
        shutil.rmtree(sorted((folder / "archive" / table).glob("day=*"))[lost])
    report = at_end(folder, trial)
    assert completeness(report) is CheckState.FAILED
    assert report.verdict.kind is VerdictKind.BROKEN


def test_files_lost_within_days_are_missed_by_their_numbers(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment
) -> None:
    folder = archive_of_a_worker(data_dirs(SMALL), tmp_path / "x", None)
    archive = folder / "archive"
    for place, day in enumerate(sorted((archive / "events").glob("day=*"))):
        for table in ("events", "served"):
            file = next((archive / table / day.name).glob("*.parquet"))
            first, gap = 100 * place + 1, 40 * (place == 6)
            file.rename(file.with_name(f"{first:012d}-{first + 99 - gap:012d}.parquet"))
    report = at_end(folder, trial)
    assert completeness(report) is CheckState.FAILED
    assert "commits to the archive, 40 left no file" in readable(report)


def test_where_files_carry_no_numbers_an_empty_day_counts_as_lost(
    data_dirs: Callable[[World], Path], tmp_path: Path, trial: Experiment
) -> None:
    folder = tmp_path / "x"
    shutil.copytree(data_dirs(SMALL), folder)
    for table in ("events", "served"):
        shutil.rmtree(sorted((folder / "archive" / table).glob("day=*"))[-2])
    assert completeness(at_end(folder, trial)) is CheckState.FAILED


def test_experiments_that_never_started_and_empty_windows_are_refused(
    tmp_path: Path, trial: Experiment
) -> None:
    with pytest.raises(ConflictError):
        analyse(tmp_path, replace(trial, started_at=0.0, status=Status.DRAFT), now=1.0)
    with pytest.raises(InvalidInputError):
        analyse(tmp_path, trial, now=trial.started_at)


def test_a_window_that_begins_later_takes_no_covariate_from_treated_days(
    report_on: ReportOn, data_dirs: Callable[[World], Path]
) -> None:
    """The days from the start to the window are treated: adjusting by them hides the effect."""
    world = World(experiment="late", readers=3000, days=10, pre_days=7, lift=0.3)
    whole = report_on(world)
    begin, end = world.start_at + 5 * DAY_S, world.start_at + world.days * DAY_S
    late = analyse(data_dirs(world), whole.experiment, now=end, from_at=begin, threads=1)
    (comparison,) = late.primaries[0].comparisons
    assert late.window.pre_to == world.start_at
    assert comparison.adjusted is not None
    adjusted, raw = comparison.adjusted.effect, comparison.raw
    assert adjusted.relative is not None
    assert raw.relative is not None
    assert adjusted.relative > 0.85 * raw.relative
    assert whole.verdict.kind is VerdictKind.SHIP
    assert late.verdict.kind is VerdictKind.INCONCLUSIVE
    assert "the window was chosen by hand" in late.verdict.sentence
    assert "are exploratory: no verdict follows" in readable(late)
    assert "exploratory: no verdict" not in readable(whole)
