"""`feed watch` on a data directory with a simulated archive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lab.simulation.archive import World, write_simulated_log
from receiver import SECRET, Receiver

from feed.commands.watch import watch
from feed.experiments.design.definitions import Experiment, OnBreach, Status, Variant
from feed.experiments.design.lifecycle import (
    create_experiment,
    read_experiment,
    start_experiment,
)
from feed.models.registry import ModelRegistry
from feed.watching.watcher import LEASE

DAY = 86_400
TODAY = time.time() // DAY * DAY
WORLD = World(
    experiment="trial",
    readers=900,
    start_at=TODAY - 2 * DAY,
    days=2,
    pre_days=2,
    visits=0.8,
    lost_exposures=0.5,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    write_simulated_log(folder, WORLD)
    return folder


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, store_url: str) -> Iterator[Receiver]:
    with Receiver.running() as running:
        monkeypatch.setenv("FEED_REDIS_URL", store_url)
        monkeypatch.setenv("FEED_ALERT_URL", running.url)
        monkeypatch.setenv("FEED_ALERT_SECRET", SECRET)
        yield running


def begin(store: Any, data: Path, name: str = "trial", **changes: Any) -> None:
    design = Experiment(
        name=name,
        hypothesis="h",
        owner="o",
        layer=name,
        variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
        equal_arms=True,
        pre_days=2,
    )
    create_experiment(store, replace(design, **changes), now=WORLD.start_at, by="desk")
    registry = ModelRegistry(data / "models")
    start_experiment(store, name, registry=registry, now=WORLD.start_at, by="desk")


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(watch, ["--data", str(data), *arguments])


def test_one_round_reports_tells_and_stops(data: Path, store: Any, receiver: Receiver) -> None:
    begin(store, data, on_breach=OnBreach.STOP)
    found = run(data)
    assert found.exit_code == 0, found.output
    assert "trial" in found.stdout
    assert "broken" in found.stdout
    assert "stopped" in found.stdout
    assert (data / "reports" / "trial.html").is_file()
    assert read_experiment(store, "trial").status is Status.STOPPED
    (body,) = [b for b in receiver.bodies if b["subject"] == "Sample ratio"]
    assert body["action"] == "stopped"
    assert store.lease_holder(LEASE) is None
    assert "no experiment is running" in run(data).stdout


def test_it_says_how_many_alerts_wait(data: Path, store: Any, receiver: Receiver) -> None:
    begin(store, data)
    receiver.answers = [503] * 10
    found = run(data)
    assert found.exit_code == 0, found.output
    assert "wait for their delivery" in found.stdout


def test_settings_that_cannot_work_are_refused(
    data: Path, store: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_ALERT_SECRET", "short")
    found = run(data)
    assert found.exit_code == 2
    assert "FEED_ALERT_SECRET: must have 32 bytes or more" in found.output


def test_it_looks_again_and_again_until_ctrl_c(
    data: Path, store: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        pause(seconds)
        looks.add(store.read_watched()["trial"]["at"])
        if len(looks) == 2:
            raise KeyboardInterrupt

    begin(store, data)
    looks: set[float] = set()
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", sleep)
    found = run(data, "--every", "0.001")
    assert found.exit_code == 0, found.output
    assert found.stdout.count("trial") == 2
    assert store.lease_holder(LEASE) is None
