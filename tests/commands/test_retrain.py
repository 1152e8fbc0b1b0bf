"""`feed retrain` and `feed models`, run as people run them, on a simulated newsroom."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from simulated_newsroom import NOW, write_newsroom

from feed.catalogue.ranking_changes import change_ranking
from feed.cli import feed
from feed.commands.retrain import in_force, prune, read_config
from feed.config import RankingConfig
from feed.domain import InvalidInputError
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.design.lifecycle import create_experiment
from feed.models.bundle import empty_bundle
from feed.models.registry import ModelRegistry, with_manifest
from feed.models.training_runs import list_runs, read_log
from feed.service.followers import ModelFollower
from feed.training_config import TrainingConfig

QUICK = (
    "--set", "factors=8", "--set", "iterations=3", "--set", "ranker_trees=10",
    "--set", "ranker_min_impressions=100", "--threads", "1",
)  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(feed, [*arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def archived(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("newsroom")
    write_newsroom(directory / "archive")
    return directory


@pytest.fixture
def data(archived, tmp_path) -> Path:
    """A data directory of its own with the newsroom's archive and no model."""
    (tmp_path / "archive").symlink_to(archived / "archive")
    return tmp_path


@pytest.fixture(scope="module")
def trained(archived) -> Path:
    """The newsroom's data directory with two models, the second forced and live."""
    assert run("retrain", "--data", str(archived), *QUICK).exit_code == 0
    strict = ("--set", "gate_margin=-1")
    refused = run("retrain", "--data", str(archived), *QUICK, *strict)
    assert refused.exit_code == 3
    assert "was not published: " in refused.stderr
    assert "Error" not in refused.output
    assert run("retrain", "--data", str(archived), *QUICK, *strict, "--force").exit_code == 0
    return archived


def listed(directory: Path) -> list[dict]:
    result = run("models", "list", "--data", str(directory), "--json")
    assert result.exit_code == 0
    return orjson.loads(result.output)


def test_a_first_model_is_learnt_judged_and_live(data):
    result = run("retrain", "--data", str(data), *QUICK)
    assert result.exit_code == 0, result.output
    assert "the day-one weights" in result.output
    assert "is live." in result.output
    live = ModelRegistry(data / "models").load_live()
    assert live is not None
    assert live.ranker is not None
    assert live.factors.shape[1] == 8
    assert live.manifest["gate"]["candidate"]["n"] > 50


def test_a_dry_run_publishes_nothing(data):
    result = run("retrain", "--data", str(data), *QUICK, "--engine", "none", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Nothing was published" in result.output
    assert listed(data) == []


def test_a_refused_model_is_not_published_unless_forced(trained):
    second, first = listed(trained)
    assert (second["live"], first["live"]) == (True, False)
    assert first["gate"]["verdict"] == "passed"
    assert first["gate"]["against"] == "the day-one weights"
    assert second["gate"]["verdict"] == "refused"
    assert second["gate"]["forced"] is True
    assert second["gate"]["against"] == first["version"]
    assert isinstance(second["gate"]["candidate"]["mean"], float)
    assert isinstance(second["gate"]["other"]["mean"], float)


def test_each_run_is_recorded_with_its_outcome_and_its_log(trained):
    runs = list_runs(trained / "models")
    assert [run.outcome for run in runs] == ["published", "refused", "published"]
    second, first = listed(trained)
    assert (runs[0].detail, runs[2].detail) == (second["version"], first["version"])
    assert runs[1].detail.startswith(("may be worse", "is worse"))
    assert runs[0].by.startswith("command line (")
    log = read_log(trained / "models", runs[0].id)
    for stage in ("reading the archive", "learning", "judging", "publishing"):
        assert stage in log
    assert "The gate, on" in log


def test_a_model_says_what_it_learnt_from_and_how_it_does(trained):
    manifest = ModelRegistry(trained / "models").list()[1]
    assert manifest["held_out"]["lists"] == manifest["gate"]["candidate"]["n"]
    assert manifest["importance"]["pool"]
    assert manifest["feature_bins"]["age_seen"]["edges"]


def test_the_list_shows_the_verdict_with_both_numbers_and_show_tells_all(trained):
    newest = listed(trained)[0]
    table = CliRunner(env={"COLUMNS": "200"}).invoke(
        feed, ["models", "list", "--data", str(trained)]
    )
    for number in ("candidate", "other"):
        assert f"{newest['gate'][number]['mean']:.4f}" in table.output
    shown = orjson.loads(run("models", "show", newest["version"], "--data", str(trained)).output)
    assert shown["parameters"]["factors"] == 8
    assert run("models", "show", "v0", "--data", str(trained)).exit_code == 2


def test_a_rollback_is_served(trained):
    follower = ModelFollower(ModelRegistry(trained / "models"))
    second, first = (m["version"] for m in listed(trained))
    follower.follow()
    assert follower.bundle.version == second
    result = run("models", "rollback", "--data", str(trained))
    assert (result.exit_code, result.output) == (0, f"{first} is live\n")
    assert follower.follow()
    assert follower.bundle.version == first
    assert run("models", "rollback", "--data", str(trained)).exit_code == 2
    assert run("models", "rollback", second, "--data", str(trained)).exit_code == 0
    assert follower.follow()
    assert follower.bundle.version == second


def test_a_second_trainer_says_that_another_is_at_work(data):
    (data / "models").mkdir()
    with (data / "models" / ".retrain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("retrain", "--data", str(data), *QUICK)
    assert result.exit_code == 1
    assert "another retrain is at work" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere"), "there is no installation in"),
        (("--data", "."), "holds no archived events yet"),
        (("--data", ".", "--set", "colour=red"), "is not a setting"),
        (("--data", ".", "--set", "factors"), "must be NAME=VALUE"),
        (("--data", ".", "--set", "factors=many"), "must be a whole number"),
        (("--data", ".", "--window-days", "0"), "must be more than 0"),
    ],
)
def test_input_at_fault_is_one_line_and_exit_code_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run("retrain", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_options_become_training_parameters():
    config = read_config(["alpha=3", "kind_weights.like=4"], 7.0, "als")
    assert (config.alpha, config.window_days, config.factors) == (3.0, 7.0, 64)
    assert config.kind_weights == TrainingConfig().kind_weights | {"like": 4.0}
    assert read_config([], None, "none").factors == 0
    with pytest.raises(InvalidInputError):
        read_config(["window_days=soon"], None, "als")


def test_training_uses_the_settings_in_force_or_says_that_it_cannot(store, store_settings, capsys):
    change_ranking(store, store_settings.ranking, {"session_minutes": 30}, now=NOW, by="ed")
    assert in_force(store_settings, Console()).ranking.session_minutes == 30.0
    away = replace(store_settings, redis_url="unix:///nowhere", store_timeout_ms=10)
    assert in_force(away, Console()).ranking == RankingConfig()
    assert "are those of the environment" in capsys.readouterr().out


@pytest.fixture
def many_models(tmp_path):
    """Ten versions, the last one live."""
    registry = ModelRegistry(tmp_path / "models")
    (tmp_path / "models").mkdir()
    for number in range(10):
        bundle = replace(empty_bundle(), version=f"v{number}")
        registry.publish(with_manifest(bundle, created_at=f"2026-01-0{number}"))
    registry.set_live("v9")
    return registry


def versions(registry):
    return sorted(str(found["version"]) for found in registry.list())


def test_old_models_are_deleted_but_none_that_an_experiment_names(
    store, store_settings, many_models
):
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="old", share=0.5, model_version="v1"),
    )
    design = Experiment(name="models", hypothesis="h", owner="o", variants=variants)
    create_experiment(store, design, now=NOW, by="desk")
    prune(many_models, store_settings, Console(quiet=True))
    assert versions(many_models) == ["v1", "v5", "v6", "v7", "v8", "v9"]


def test_without_the_store_no_model_is_deleted(store_settings, many_models, capsys):
    away = replace(store_settings, redis_url="unix:///nowhere", store_timeout_ms=10)
    prune(many_models, away, Console())
    assert len(versions(many_models)) == 10
    assert "No old model was deleted" in capsys.readouterr().out
