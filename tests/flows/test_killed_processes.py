"""`feed serve` whose processes are killed as events come in; `scripts/lab/run chaos` does more."""

import multiprocessing
from dataclasses import replace

import pytest
from lab.faults.bundles import LOUD, tellable_bundle
from lab.faults.crashes import kill_in_turn
from lab.faults.retrains import kill_retrain

from feed.models.registry import ModelRegistry


@pytest.mark.timeout(280)
def test_whatever_dies_every_acknowledged_event_is_archived_and_counted_once(tmp_path):
    outcome = kill_in_turn(
        tmp_path / "site",
        events=5_000,
        rate=1_000,
        seed=3,
        victims=("worker", "store", "web"),
        pause_s=(0.1, 0.5),
    )
    assert outcome.failures == []
    assert outcome.times >= 3
    assert outcome.acknowledged >= 4_400


def test_two_trainers_at_once_leave_whole_models_and_a_live_one(tmp_path):
    bundle = replace(tellable_bundle("draft", [f"a{n}" for n in range(2_000)], LOUD), ranker=None)
    fork = multiprocessing.get_context("fork")
    trainers = [
        fork.Process(target=publish, args=(tmp_path, bundle, name)) for name in ("left", "right")
    ]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    assert [trainer.exitcode for trainer in trainers] == [0, 0]
    registry = ModelRegistry(tmp_path)
    versions = {manifest["version"] for manifest in registry.list()}
    assert len(versions) == 20
    assert all(registry.load(version).version == version for version in versions)
    assert registry.live_version() in versions
    assert registry.rollback() in versions


@pytest.mark.timeout(280)
def test_a_retrain_that_dies_leaves_the_live_model_whole_and_nothing_half_written(tmp_path):
    outcome = kill_retrain(tmp_path / "site", times=1, seed=5)
    assert outcome.failures == []


def publish(directory, bundle, name):
    registry = ModelRegistry(directory)
    for number in range(10):
        registry.set_live(registry.publish(replace(bundle, version=f"{name}-{number}")))
