"""`feed experiment` and `feed report` on a data directory with a simulated archive."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from lab.simulation.archive import World, write_simulated_log

from feed.commands.ab_report import ab_report
from feed.commands.audit import audit
from feed.commands.experiment import experiment
from feed.commands.experiment_metrics import metrics
from feed.commands.export import export
from feed.domain import format_time
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.lifecycle import create_experiment, start_experiment, stop_experiment
from feed.models.registry import ModelRegistry

DAY = 86_400
TODAY = time.time() // DAY * DAY
WORLD = World(experiment="trial", readers=400, start_at=TODAY - 3 * DAY, days=3, pre_days=2)
DESIGN = {
    "name": "trial",
    "hypothesis": "h",
    "owner": "o",
    "variants": [{"name": "control", "share": 0.5}, {"name": "treatment", "share": 0.5}],
    "pre_days": 2,
    "equal_arms": True,
}
STARTED: dict[str, Any] = {**DESIGN, "status": "running", "started_at": format_time(WORLD.start_at)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    write_simulated_log(folder, WORLD)
    return folder


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, store_url: str, store: Any) -> Iterator[None]:
    monkeypatch.setenv("FEED_REDIS_URL", store_url)
    return


def run(*arguments: str, given: Any = None) -> Result:
    text = None if given is None else json.dumps(given)
    return CliRunner().invoke(experiment, list(arguments), input=text)


def shown(name: str, data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", name, "--data", str(data)).stdout)
    return found


@pytest.mark.usefixtures("configured")
def test_the_life_of_an_experiment_from_the_command_line(data: Path) -> None:
    where = ("--data", str(data))
    planned = {**DESIGN, "planned_readers": 1000, "planned_days": 7}
    made = run("create", "-", *where, given=planned)
    assert made.exit_code == 0, made.output
    assert "version 1, is a draft" in made.output
    assert run("start", "trial", *where).exit_code == 0
    assert "running" in run("list", *where).output
    assert "never analysed" in run("override", "trial", "qa", "treatment", *where).output
    running = shown("trial", data)
    assert (running["status"], running["excluded"]) == ("running", ["qa"])
    again = run("create", "-", *where, given=planned)
    assert again.exit_code == 2
    assert "frozen" in again.output
    assert run("stop", "trial", *where).exit_code == 0


@pytest.mark.usefixtures("configured")
def test_ramping_copying_and_archiving_from_the_command_line(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ida")
    where = ("--data", str(data))
    planned = {**DESIGN, "planned_readers": 1000, "planned_days": 7, "traffic": 0.05}
    run("create", "-", *where, given=planned)
    run("start", "trial", *where)
    grown = run("ramp", "trial", "--traffic", "0.2", *where)
    assert "20.00%" in grown.output
    assert [step["traffic"] for step in shown("trial", data)["steps"]] == [0.05, 0.2]
    smaller = run("ramp", "trial", "--traffic", "0.1", *where)
    assert (smaller.exit_code, smaller.output.count("\n")) == (2, 1)
    assert run("archive", "trial", *where).exit_code == 2
    assert run("duplicate", "trial", "again", *where).exit_code == 0
    assert run("archive", "again", *where).exit_code == 0
    assert "again" not in run("list", *where).output
    assert "draft, archived" in run("list", "--archived", *where).output
    assert "trial" not in run("list", "--status", "draft", *where).output
    assert run("unarchive", "again", *where).exit_code == 0
    assert "again" in run("list", *where).output
    lines = CliRunner().invoke(audit, ["--subject", "experiments/trial", *where]).output
    assert "command line (ida)" in lines
    for action in ("created", "started", "ramped"):
        assert action in lines
    assert "duplicated" not in lines


@pytest.mark.usefixtures("configured")
def test_readers_and_days_are_planned_from_the_archive(data: Path) -> None:
    planned = {**DESIGN, "planned_days": 2, "minimum_effect": 0.2}
    made = run("create", "-", "--data", str(data), given=planned)
    assert "readers, about" in made.output
    small = shown("trial", data)["planned_readers"]
    run("create", "-", "--data", str(data), given={**planned, "minimum_effect": 0.1})
    large = shown("trial", data)["planned_readers"]
    assert large > 3 * small > 0
    assert "readers" in run("plan", "-", "--data", str(data), given=planned).output


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("create", "-"), {**DESIGN, "name": "Bad Name"}),
        (("create", "-"), [1]),
        (("start", "nothing"), None),
        (("show", "nothing"), None),
        (("report", "nothing"), None),
    ],
)
def test_wrong_input_ends_with_one_line_and_code_2(
    data: Path, arguments: tuple[str, ...], given: Any
) -> None:
    result = run(*arguments, "--data", str(data), given=given)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_report_is_written_in_three_forms(data: Path, tmp_path: Path) -> None:
    design = tmp_path / "trial.json"
    design.write_text(json.dumps(STARTED))
    numbers = tmp_path / "numbers.json"
    arguments = ["trial", "--data", str(data), "--definition", str(design)]
    arguments += ["--out", str(tmp_path), "--to", format_time(TODAY), "--json", str(numbers)]
    result = CliRunner().invoke(ab_report, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(numbers.read_text())
    assert report["verdict"]["sentence"].split()[0] in {"Ship", "Do", "Go", "Inconclusive:"}
    assert report["command"].startswith("feed report trial")
    assert "<!DOCTYPE html>" in (tmp_path / "trial.html").read_text()
    assert (tmp_path / "trial.md").read_text().startswith("# trial")


def test_a_definition_that_is_no_object_is_named_by_its_option(data: Path, tmp_path: Path) -> None:
    design = tmp_path / "trial.json"
    design.write_text("[]")
    arguments = ["trial", "--data", str(data), "--definition", str(design), "--out", str(tmp_path)]
    result = CliRunner().invoke(ab_report, arguments)
    assert result.exit_code == 2
    assert "--definition: must be an object" in result.output


@pytest.mark.usefixtures("configured")
def test_what_is_not_the_verdict_is_written_elsewhere(
    data: Path, tmp_path: Path, store: Any
) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    registry = ModelRegistry(folder / "models")
    for at in (WORLD.start_at, WORLD.start_at + DAY):
        create_experiment(store, experiment_from_json(DESIGN), now=at, by="desk")
        start_experiment(store, "trial", registry=registry, now=at, by="desk")
        stop_experiment(store, "trial", now=at + DAY, by="desk")
    design = tmp_path / "trial.json"
    design.write_text(json.dumps(STARTED))
    arguments = ["trial", "--data", str(folder)]
    for option, given in {
        "--definition": str(design),
        "--from": format_time(TODAY - DAY),
        "--to": format_time(TODAY - DAY),
        "--version": "1",
    }.items():
        for place in ([], ["--out", str(folder / "models" / ".." / "reports")]):
            refused = CliRunner().invoke(ab_report, [*arguments, option, given, *place])
            assert refused.exit_code == 2
            assert "--out" in refused.output
            assert option in refused.output
            assert not (folder / "reports").exists()
    for more in ([], ["--version", "2"]):
        made = CliRunner().invoke(ab_report, [*arguments, *more])
        assert made.exit_code == 0, made.output
    stored = json.loads((folder / "reports" / "trial.json").read_text())
    assert stored["experiment"]["version"] == 2
    again = shlex.split(stored["command"])[2:]
    assert CliRunner().invoke(ab_report, [*again, "--out", str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize("memory", ["1", "0"])
def test_too_little_memory_is_said_in_one_line(data: Path, tmp_path: Path, memory: str) -> None:
    design = tmp_path / "trial.json"
    design.write_text(json.dumps(STARTED))
    arguments = ["trial", "--data", str(data), "--definition", str(design), "--memory-mb", memory]
    arguments += ["--out", str(tmp_path)]
    result = CliRunner().invoke(ab_report, arguments)
    assert result.exit_code == 2
    assert "memory" in result.output.splitlines()[-1]
    assert "Traceback" not in result.output


def test_a_missing_directory_is_said_in_one_line() -> None:
    result = CliRunner().invoke(ab_report, ["trial", "--data", "/nowhere"])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1


@pytest.mark.usefixtures("configured")
def test_a_plan_that_takes_years_is_refused_in_words(data: Path) -> None:
    result = run("create", "-", "--data", str(data), given={**DESIGN, "minimum_effect": 0.01})
    assert result.exit_code == 2
    assert "planned_days" in result.output


def test_a_damaged_archive_is_said_in_one_line(tmp_path: Path) -> None:
    day = tmp_path / "archive" / "served" / f"day={STARTED['started_at'][:10]}"
    day.mkdir(parents=True)
    (day / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    design = tmp_path / "trial.json"
    design.write_text(json.dumps(STARTED))
    arguments = ["trial", "--data", str(tmp_path), "--definition", str(design)]
    result = CliRunner().invoke(ab_report, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "cannot be read" in result.output


@pytest.mark.usefixtures("configured")
def test_the_readers_of_an_experiment_are_exported(data: Path, tmp_path: Path, store: Any) -> None:
    arguments = ["readers", "trial", "--data", str(data), "--out", str(tmp_path / "r.parquet")]
    design = experiment_from_json(DESIGN)
    create_experiment(store, design, now=WORLD.start_at - 1, by="desk")
    early = CliRunner().invoke(export, arguments)
    assert early.exit_code == 2
    assert list(tmp_path.iterdir()) == []
    registry = ModelRegistry(data / "models")
    start_experiment(store, "trial", registry=registry, now=WORLD.start_at, by="desk")
    made = CliRunner().invoke(export, arguments)
    assert made.exit_code == 0, made.output
    rows = duckdb.sql(f"FROM '{tmp_path}/r.parquet'").fetchall()
    assert len(rows) > 300
    assert f"r.parquet: {len(rows)} readers" in made.output


OWN = """[subscriptions]
title = "Subscriptions per reader"
kind = "mean"
count = "custom:subscribe"
better = "up"
"""


@pytest.mark.usefixtures("configured")
def test_a_design_takes_the_declaration_of_the_file_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    monkeypatch.setenv("FEED_METRICS_FILE", str(file))
    planned = {**DESIGN, "name": "own", "planned_readers": 1000, "planned_days": 7}
    made = run(
        "create",
        "-",
        "--data",
        str(tmp_path),
        given={**planned, "primary_metrics": ["subscriptions"]},
    )
    assert made.exit_code == 0, made.output
    file.unlink()
    shown = json.loads(run("show", "own", "--data", str(tmp_path)).output)
    assert shown["metrics"]["subscriptions"]["count"] == "custom:subscribe"


def test_metrics_are_listed_with_those_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text(OWN)
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(metrics, ["--data", str(tmp_path)])
    assert listed.exit_code == 0, listed.output
    assert "qualified_reads" in listed.output
    assert "custom:subscribe per reader" in listed.output


def test_a_file_of_metrics_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    assert CliRunner().invoke(metrics, ["check", str(file)]).exit_code == 0
    file.write_text(OWN.replace("up", "upwards"))
    refused = CliRunner().invoke(metrics, ["check", str(file)])
    assert refused.exit_code == 2
    assert "own.toml, line 5: subscriptions.better: must be one of up, down" in refused.output
