"""Erased readers are counted by variant, without their names, and tested."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from lab.simulation.archive import World

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, Status, StoppingRule, Variant
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import CheckState, Report, TrustCheck
from feed.storage.archive_erasures import read_erased
from feed.storage.archive_upkeep import erase_users

WORLD = World(experiment="trial", readers=600, days=3, pre_days=2, visits=0.8)


def readers_of(data: Path, variant: str) -> list[str]:
    query = f"""
SELECT DISTINCT user_id FROM read_parquet('{data}/archive/served/*/*.parquet')
WHERE json_extract_string(experiments, '$.trial') = '{variant}' ORDER BY 1
"""
    return [row[0] for row in duckdb.connect().execute(query).fetchall()]


def report_of(data: Path, rule: StoppingRule) -> Report:
    design = Experiment(
        name="trial",
        hypothesis="h",
        owner="o",
        variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
        status=Status.RUNNING,
        started_at=WORLD.start_at,
        pre_days=WORLD.pre_days,
        planned_days=WORLD.days,
        planned_readers=400,
        stopping_rule=rule,
    )
    return analyse(data, design, now=WORLD.start_at + WORLD.days * DAY_S, threads=1)


def check_of(report: Report) -> TrustCheck:
    (found,) = [check for check in report.checks if check.name == "Erased readers"]
    return found


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_readers_erased_from_one_variant_alone_break_the_report(
    data_dirs: Callable[[World], Path], tmp_path: Path, rule: StoppingRule
) -> None:
    shutil.copytree(data_dirs(WORLD), tmp_path, dirs_exist_ok=True)
    assert check_of(report_of(tmp_path, rule)).finding == "No exposed reader was erased."
    gone = readers_of(tmp_path, "treatment")[:30]
    erase_users(tmp_path / "archive", gone[:20])
    erase_users(tmp_path / "archive", gone)
    found = check_of(report_of(tmp_path, rule))
    assert found.state is CheckState.FAILED
    assert "0 in control, 30 in treatment" in found.finding
    text = (tmp_path / "archive" / "erased.json").read_text()
    assert not any(user_id in text for user_id in gone)


def test_readers_erased_from_both_variants_are_counted_and_pass(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    shutil.copytree(data_dirs(WORLD), tmp_path, dirs_exist_ok=True)
    gone = [user for name in ("control", "treatment") for user in readers_of(tmp_path, name)[:8]]
    erase_users(tmp_path / "archive", gone)
    found = check_of(report_of(tmp_path, StoppingRule.SEQUENTIAL))
    assert found.state is CheckState.PASSED
    assert "8 in control, 8 in treatment" in found.finding
    counted = read_erased(tmp_path / "archive")["trial"]
    assert sum(sum(variants.values()) for variants in counted.values()) == 16
