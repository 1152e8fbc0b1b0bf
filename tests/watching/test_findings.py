"""What one look finds in simulated archives whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab.simulation.archive import World, write_simulated_log

from feed.config import DAY_S, Settings
from feed.domain import ArchiveError, format_time
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.safety import is_breach
from feed.experiments.report.files import REPORTS, report_files
from feed.experiments.statistics.noninferiority import Guardrail
from feed.watching.findings import FindingKind, WatchLook
from feed.watching.look import look_at

SOUND = World(experiment="sound", readers=900, days=3, pre_days=2, visits=0.7)
HARM = replace(SOUND, experiment="harm", lift=-0.6)
LOST = replace(SOUND, experiment="lost", lost_exposures=0.3, repeated=0.2)
READS = (GuardrailSpec(metric="clicks", margin=0.05),)


def registered(world: World, **changes: Any) -> Experiment:
    design = Experiment(
        name=world.experiment,
        hypothesis="h",
        owner="o",
        variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
        status=Status.RUNNING,
        started_at=world.start_at,
        pre_days=world.pre_days,
        planned_readers=900,
        guardrails=READS,
    )
    return replace(design, **changes)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[World], Path]:
    made: dict[World, Path] = {}

    def find(world: World) -> Path:
        if world not in made:
            made[world] = tmp_path_factory.mktemp("world")
            write_simulated_log(made[world], world)
        return made[world]

    return find


@pytest.fixture
def look(folder_of: Callable[[World], Path]) -> Callable[..., WatchLook]:
    def run(world: World, after_days: float = 3.0, **changes: Any) -> WatchLook:
        settings = Settings(data_dir=folder_of(world))
        return look_at(settings, registered(world, **changes), world.start_at + after_days * DAY_S)

    return run


def kinds(look: WatchLook) -> list[tuple[str, str, bool]]:
    return [(f.kind.value, f.subject, f.may_stop) for f in look.findings]


def test_in_a_sound_experiment_there_is_nothing_to_tell(look: Any) -> None:
    found = look(SOUND)
    assert kinds(found) == []
    assert (found.day, found.verdict) == (3.0, "go on")


def test_the_report_is_written_as_the_command_writes_it(look: Any, folder_of: Any) -> None:
    look(SOUND)
    files = report_files(folder_of(SOUND) / REPORTS, "sound")
    assert all(path.is_file() for path in (files.html, files.markdown, files.json))
    assert "feed report sound --version 1 --to " in files.markdown.read_text()


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_harm_is_found_under_either_rule(look: Any, rule: StoppingRule) -> None:
    found = look(HARM, stopping_rule=rule, planned_readers=10_000, planned_days=14)
    (breach,) = [f for f in found.findings if f.kind is FindingKind.GUARDRAIL]
    assert (breach.subject, breach.may_stop) == ("clicks in treatment", True)
    assert breach.sentence.startswith("In treatment, clicks")
    assert "the guardrail tolerates 5.0" in breach.sentence
    assert ("do not ship" in found.verdict) == (rule is StoppingRule.SEQUENTIAL)


def test_a_breach_by_too_few_readers_stops_nothing(look: Any) -> None:
    few = replace(HARM, experiment="few", readers=320, lift=-0.9)
    (breach,) = [f for f in look(few).findings if f.kind is FindingKind.GUARDRAIL]
    assert not breach.may_stop


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_a_sample_ratio_mismatch_may_stop_and_other_checks_only_tell(
    look: Any, rule: StoppingRule
) -> None:
    found = {f.subject: f for f in look(LOST, stopping_rule=rule).findings}
    assert found["Sample ratio"].sentence.startswith("Sample ratio: ")
    assert "Duplicate events" in found
    assert [subject for subject, f in found.items() if f.may_stop] == ["Sample ratio"]


def test_breaches_are_held_against_an_always_valid_sequence_under_the_fixed_rule(
    folder_of: Any,
) -> None:
    """A loss that a single test at 5 % would prove is not enough for a look every hour."""
    slight = replace(SOUND, experiment="slight", lift=-0.14, seed=5)
    design = registered(slight, stopping_rule=StoppingRule.FIXED, planned_readers=10_000)
    end = slight.start_at + 3 * DAY_S
    fixed = analyse(folder_of(slight), design, now=end, threads=1)
    assert [g.outcome.verdict for g in fixed.guardrails] == ["breached"]
    found = look_at(Settings(data_dir=folder_of(slight)), design, end)
    assert [f for f in found.findings if f.kind is FindingKind.GUARDRAIL] == []


def test_the_error_is_shared_by_all_guardrails_and_variants() -> None:
    outcome = Guardrail("breached", 0.1, 1.0, 0.02)
    assert is_breach(outcome, 0.05, 2)
    assert not is_breach(outcome, 0.05, 3)
    assert not is_breach(Guardrail("no_estimate", 0.1), 0.05, 1)


def test_on_the_first_day_a_few_readers_raise_no_alert(look: Any, folder_of: Any) -> None:
    nobody = replace(SOUND, experiment="nobody", readers=20, lost_exposures=1.0)
    assert kinds(look(nobody, after_days=0.9)) == []
    assert ("trust_check_failed", "Exposures", False) in kinds(look(nobody, after_days=1.5))


def test_a_missing_day_is_told_and_does_not_stop(folder_of: Any, tmp_path: Path) -> None:
    write_simulated_log(tmp_path, SOUND)
    (day,) = (tmp_path / "archive" / "events").glob(f"day={_date(SOUND.start_at + DAY_S)}")
    (day / "simulated.parquet").unlink()
    found = look_at(Settings(data_dir=tmp_path), registered(SOUND), SOUND.start_at + 3 * DAY_S)
    assert ("trust_check_failed", "Archive complete", False) in kinds(found)


def test_verdict_and_planned_end_are_told(look: Any) -> None:
    ended = {f.kind: f for f in look(SOUND, planned_days=3, minimum_days=1).findings}
    assert FindingKind.PLAN not in ended
    assert ended[FindingKind.VERDICT].subject == "inconclusive"
    lifted = replace(SOUND, experiment="lifted", lift=0.6)
    found = look(lifted, planned_days=3, minimum_days=1, guardrails=())
    assert {f.kind: f.subject for f in found.findings} == {
        FindingKind.VERDICT: "ship treatment",
        FindingKind.PLAN: "planned days",
    }


def test_a_damaged_archive_is_an_error_here(tmp_path: Path) -> None:
    write_simulated_log(tmp_path, SOUND)
    (day,) = (tmp_path / "archive" / "events").glob(f"day={_date(SOUND.start_at)}")
    (day / "simulated.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArchiveError):
        look_at(Settings(data_dir=tmp_path), registered(SOUND), SOUND.start_at + 3 * DAY_S)


def _date(at: float) -> str:
    return format_time(at)[:10]
