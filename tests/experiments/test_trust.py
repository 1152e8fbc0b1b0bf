"""Every trust check fails on the fault it is there for, and passes a sound log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.trust import run_checks
from feed.experiments.log.exposure import Window, create_exposed
from feed.experiments.log.source import Log

WORLD = World(experiment="trusted", readers=900, days=3, pre_days=4, visits=0.7)
END = WORLD.start_at + WORLD.days * DAY_S
WINDOW = Window(WORLD.start_at - WORLD.pre_days * DAY_S, WORLD.start_at, END)
DESIGN = Experiment(
    name=WORLD.experiment,
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
    status=Status.RUNNING,
    started_at=WORLD.start_at,
    planned_readers=900,
)


@pytest.fixture(scope="module")
def sound(data_dirs: Callable[[World], Path]) -> Iterator[Log]:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        yield opened


@pytest.fixture
def log(sound: Log) -> Iterator[Log]:
    """The sound log; what a test changes in its tables is undone."""
    sound.connection.execute("BEGIN")
    yield sound
    sound.connection.execute("ROLLBACK")


def check(log: Log, name: str, design: Experiment = DESIGN) -> TrustCheck:
    checks = run_checks(log, design, WINDOW, generated_at=END)
    (found,) = [each for each in checks if each.name == name]
    return found


def test_a_sound_log_passes_every_check(log: Log) -> None:
    checks = run_checks(log, DESIGN, WINDOW, generated_at=END)
    assert {
        found.name: found.state for found in checks if found.state is not CheckState.PASSED
    } == {}


def test_without_a_reader_nobody_was_exposed(log: Log) -> None:
    log.connection.execute("DELETE FROM exposed")
    found = check(log, "Exposures")
    assert (found.state, found.fault) == (CheckState.FAILED, "nobody was exposed")


def test_a_variant_without_readers_is_named(log: Log) -> None:
    log.connection.execute("DELETE FROM exposed WHERE variant = 'treatment'")
    found = check(log, "Exposures")
    assert (found.state, found.fault) == (CheckState.FAILED, "nobody was exposed to treatment")


def test_exposed_readers_are_counted_by_variant(log: Log) -> None:
    counts = dict(
        log.connection.execute("SELECT variant, count(*) FROM exposed GROUP BY 1").fetchall()
    )
    assert check(log, "Exposures").finding == (
        f"Readers exposed: {counts['control']} in control, {counts['treatment']} in treatment."
    )


@pytest.mark.parametrize(
    ("one_in", "state"), [(10, CheckState.FAILED), (10_000, CheckState.WARNING)]
)
def test_readers_in_two_variants_are_found(log: Log, one_in: int, state: CheckState) -> None:
    connection = log.connection
    connection.execute("INSERT INTO exposed SELECT e.* FROM exposed AS e, range(20)")
    connection.execute("UPDATE exposed SET sound = rowid % ? <> 0", [one_in])
    found = check(log, "One variant per reader")
    assert (found.state, found.fault) == (state, "readers were in more than one variant")


def test_a_reader_who_is_served_another_variant_is_not_sound(log: Log) -> None:
    connection = log.connection
    connection.execute("DROP TABLE exposed; DROP TABLE bots")
    connection.execute(
        "UPDATE requests SET experiments = replace(replace(replace(experiments, 'control', 'x'),"
        " 'treatment', 'control'), 'x', 'treatment') WHERE request = (SELECT max_by(request,"
        " moment) FROM requests WHERE user_id IN (SELECT user_id FROM requests WHERE moment >= ?"
        " GROUP BY user_id HAVING count(*) > 1 ORDER BY user_id LIMIT 1))",
        [WORLD.start_at],
    )
    create_exposed(connection)
    (strays,) = connection.execute(
        "SELECT list(variants_seen) FROM exposed WHERE NOT sound"
    ).fetchone() or ([],)
    assert strays == [2]
    assert check(log, "One variant per reader").state is not CheckState.PASSED


def test_many_programs_in_every_variant_are_a_fault(log: Log) -> None:
    log.connection.execute("UPDATE readers SET bot = hash(user_id) % 10 < 3")
    found = check(log, "Bots")
    assert found.state is CheckState.FAILED
    assert "Tolerated: 20" in found.finding


def test_programs_in_one_variant_alone_are_a_fault(log: Log) -> None:
    log.connection.execute(
        "UPDATE readers SET bot = variant = 'treatment' AND hash(user_id) % 10 < 1"
    )
    found = check(log, "Bots", replace(DESIGN, planned_readers=800))
    assert found.state is CheckState.FAILED
    assert "In treatment it differs from control" in found.finding
    assert found.fault == "programs read in one variant more than in another"


def test_a_few_programs_everywhere_are_no_fault(log: Log) -> None:
    log.connection.execute("UPDATE readers SET bot = hash(user_id) % 20 = 0")
    assert check(log, "Bots").state is CheckState.PASSED


def test_readers_who_differed_before_the_start_are_a_fault(log: Log) -> None:
    log.connection.execute(
        "UPDATE readers SET pre_qualified_reads = pre_qualified_reads + 3"
        " WHERE variant = 'treatment'"
    )
    found = check(log, "Before the start")
    assert found.state is CheckState.FAILED
    assert found.fault == "the variants' readers differed before the start"
    assert "in treatment differed from control by" in found.finding


def test_without_activity_before_the_start_there_is_a_warning(log: Log) -> None:
    log.connection.execute("UPDATE readers SET pre_qualified_reads = 0")
    found = check(log, "Before the start")
    assert found.state is CheckState.WARNING
    assert "no activity before the start" in found.finding


def test_two_primary_metrics_are_compared_each(log: Log) -> None:
    both = replace(DESIGN, primary_metrics=("qualified_reads", "clicks"))
    assert check(log, "Before: qualified_reads", both).state is CheckState.PASSED
    assert check(log, "Before: clicks", both).state is CheckState.PASSED


def serve(log: Log, variant: str, version: str, where: str = "true") -> None:
    """Let some of a variant's feeds have been made by a model."""
    log.connection.execute(
        "UPDATE requests SET model_version = ?"
        f" WHERE json_extract_string(experiments, '$.trusted') = ? AND {where}",
        [version, variant],
    )


def naming(version: str) -> Experiment:
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="treatment", share=0.5, model_version=version),
    )
    return replace(DESIGN, variants=variants)


def test_a_variant_served_with_another_model_than_it_names_is_a_fault(log: Log) -> None:
    serve(log, "treatment", "v9")
    assert check(log, "Models named", naming("v9")).state is CheckState.PASSED
    serve(log, "treatment", "v8", "request % 20 = 0")
    found = check(log, "Models named", naming("v9"))
    assert found.state is CheckState.FAILED
    assert "in treatment" in found.finding
    assert "in control" not in found.finding


def test_both_sides_of_an_interleaving_must_be_served_with_their_models(log: Log) -> None:
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="side", share=0.0, model_version="v9"),
        Variant(name="treatment", share=0.5, interleaves=("control", "side")),
    )
    design = replace(DESIGN, variants=variants)
    serve(log, "treatment", "v1+v9")
    assert check(log, "Models named", design).state is CheckState.PASSED
    serve(log, "treatment", "v1")
    assert check(log, "Models named", design).state is CheckState.FAILED


@pytest.mark.parametrize(("every", "state"), [(200, CheckState.WARNING), (10, CheckState.FAILED)])
def test_feeds_that_could_not_be_served_as_dealt_are_counted(
    log: Log, every: int, state: CheckState
) -> None:
    assert not [c for c in run_checks(log, DESIGN, WINDOW, generated_at=END) if "join" in c.name]
    log.connection.execute(
        'UPDATE requests SET experiments = \'{"trusted": "(not joined)"}\''
        f" WHERE request % {every} = 0 AND moment >= getvariable('from_at')"
    )
    found = check(log, "Failed joins")
    assert found.state is state
    assert "left out" in found.finding


def test_readers_whose_join_failed_are_not_exposed(log: Log) -> None:
    (before,) = log.connection.execute("SELECT count(*) FROM exposed").fetchone() or (0,)
    log.connection.execute(
        'UPDATE requests SET experiments = \'{"trusted": "(not joined)"}\''
        " WHERE user_id IN (SELECT user_id FROM exposed ORDER BY user_id LIMIT 10)"
    )
    log.connection.execute("DROP TABLE bots; DROP TABLE exposed")
    create_exposed(log.connection)
    assert log.connection.execute("SELECT count(*) FROM exposed").fetchone() == (before - 10,)


def test_a_model_that_changed_for_one_variant_only_is_a_warning(log: Log) -> None:
    half = f"moment >= {WORLD.start_at + 1.5 * DAY_S}"
    for variant in ("control", "treatment"):
        serve(log, variant, "v1")
    assert not [c for c in run_checks(log, DESIGN, WINDOW, generated_at=END) if "Model" in c.name]
    serve(log, "control", "v2", half)
    pinned = check(log, "Model changes", naming("v1"))
    assert pinned.state is CheckState.WARNING
    assert "v1 (" in pinned.finding
    assert "v2 (" in pinned.finding
    serve(log, "treatment", "v2", half)
    assert check(log, "Model changes").state is CheckState.PASSED
