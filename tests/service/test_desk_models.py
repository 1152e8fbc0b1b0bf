"""The room Models: versions, live and back, training runs, calibration and drift."""

from __future__ import annotations

import fcntl
import sys
import time
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import pytest

from feed.config import Settings
from feed.domain import ConflictError
from feed.features.ids import IdMap
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.feature_drift import FeatureBins, bin_features
from feed.models.registry import ModelRegistry
from feed.models.schema import FEATURES
from feed.models.trainer_lock import one_trainer
from feed.models.training_runs import list_runs, recorded_run
from feed.service.drift import compare_features, known_bins
from feed.service.request_replay import KEPT_S
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from tests.service.conftest import NOW, Clock, Site
from tests.service.test_desk_access import keyed, sign_in, token_of

__all__ = ["keyed"]
GATE = {
    "verdict": "passed",
    "reason": "better than v1",
    "metric": "pool nDCG@10",
    "candidate": {"mean": 0.31, "n": 100},
    "other": {"mean": 0.28, "n": 100},
    "against": "v1",
    "rival": {"name": "clicks by age", "mean": 0.22, "n": 100},
}
NOTES = {
    "gate": GATE,
    "window": ["2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z"],
    "events": 12345,
    "readers": 99,
    "importance": {"pool": {"age_seen": 0.25, "clicks_2h": 0.75}},
    "held_out": {
        "lists": 100,
        "clicked": 120,
        "recall": 0.875,
        "sources": {"trending": {"recall": 0.5, "alone": 0.125}},
        "calibration": [
            {"n": 60, "clicks": 3, "foretold": 0.04, "observed": 0.05, "low": 0.017, "high": 0.137},
            {"n": 60, "clicks": 12, "foretold": 0.2, "observed": 0.2, "low": 0.118, "high": 0.318},
        ],
    },
}


def bundle(version: str, day: int, **notes: Any) -> ModelBundle:
    manifest = {"created_at": f"2026-01-0{day}T00:00:00Z", **notes}
    ids = IdMap(["a0"])
    factors, readers = np.zeros((1, 0), np.float32), np.zeros(1)
    made = replace(empty_bundle(), version=version, manifest=manifest)
    neighbours = {"neighbour_index": np.zeros((1, 0), np.int32)}
    weights = {"neighbour_weights": np.zeros((1, 0), np.float32)}
    return replace(made, article_ids=ids, factors=factors, readers=readers, **neighbours, **weights)


@pytest.fixture
def registry(store_settings: Any) -> ModelRegistry:
    """Version v1 of an earlier feed, which notes nothing, and v2, which is live."""
    directory = store_settings.data_dir / "models"
    directory.mkdir()
    made = ModelRegistry(directory)
    for one in (bundle("v1", 1), bundle("v2", 2, **NOTES)):
        made.publish(one)
        made.set_live(one.version)
    return made


def post(site: Site, path: str, **fields: str) -> Any:
    token = token_of(site.client.get("/desk/models").text)
    return site.client.post(path, data={"form_token": token, **fields})


def test_versions_are_shown_with_what_the_gate_said(registry: ModelRegistry, site: Site) -> None:
    page = site.client.get("/desk/models").text
    assert "v2 is live" in page
    said = "Passed: better than v1 (pool nDCG@10: 0.3100, against 0.2800 for v1)."
    assert f"{said} Clicks and age alone, without any model, reach 0.2200." in page
    assert "12,345 events" in page
    assert "The gate did not judge it." in page, "v1 has no verdict"


def test_a_version_shows_sources_importance_and_calibration(
    registry: ModelRegistry, site: Site
) -> None:
    page = site.client.get("/desk/models/versions/v2").text
    assert "87.5 %" in page
    assert "12.5 %" in page
    assert page.index("clicks_2h") < page.index("age_seen"), "the greatest first"
    assert "75.0 %" in page
    assert '<svg class="plot"' in page
    assert "1.70 to 13.70 %" in page


def test_of_a_plugins_ranker_the_room_says_that_only_the_plugin_knows(
    registry: ModelRegistry, site: Site
) -> None:
    registry.publish(bundle("v3", 3, importance={"pool": {}}))
    assert "A plugin has learned it" in site.client.get("/desk/models/versions/v3").text


def test_of_an_old_version_the_room_says_that_nothing_is_known(
    registry: ModelRegistry, site: Site
) -> None:
    page = site.client.get("/desk/models/versions/v1")
    assert page.status_code == 200
    assert page.text.count("was trained by an earlier version of feed") == 3
    registry.set_live("v1")
    site.services.keeper.refresh()
    assert "does not say what it learnt from" in site.client.get("/desk/models/drift").text
    assert site.client.get("/desk/models/versions/v9").status_code == 404


def test_a_version_is_made_live_and_the_undo_takes_it_back(
    registry: ModelRegistry, site: Site
) -> None:
    assert post(site, "/desk/models/versions/v1/live").status_code == 303
    assert registry.live_version() == "v1"
    site.services.keeper.refresh()
    assert site.services.snapshot.model_version == "v1"
    entry = site.store.read_audit(1, "models")[0]
    assert (entry.before, entry.after) == ({"live": "v2"}, {"live": "v1"})
    assert post(site, "/desk/undo", entry=entry.id).status_code == 303
    assert registry.live_version() == "v2"
    late = post(site, "/desk/undo", entry=entry.id)
    assert late.status_code == 409
    assert "v1 is not live any more" in late.text


def test_a_roll_back_over_the_api_is_in_the_audit_log(registry: ModelRegistry, site: Site) -> None:
    answer = site.client.post("/v1/models/rollback")
    assert (answer.status_code, answer.json["live"]) == (200, "v1")
    assert site.store.read_audit(1, "models")[0].action == "rolled back"
    assert site.client.post("/v1/models/rollback").status_code == 404
    assert site.client.post("/v1/models/v1/live").status_code == 409
    assert site.client.post("/v1/models/v2/live").json["live"] == "v2"
    assert site.client.post("/v1/models/v9/live").status_code == 404


def test_an_analyst_sees_the_models_and_changes_nothing(
    registry: ModelRegistry, keyed: Site
) -> None:
    sign_in(keyed, "ann")
    page = keyed.client.get("/desk/models").text
    assert "Make live" not in page
    token = {"form_token": token_of(page)}
    for path in ("versions/v1/live", "rollback", "runs"):
        assert keyed.client.post(f"/desk/models/{path}", data=token).status_code == 403
    assert registry.live_version() == "v2"


def test_runs_are_listed_with_progress_outcome_and_log(site: Site) -> None:
    models = site.settings.data_dir / "models"
    with recorded_run(models, "boss", lambda: NOW) as run:
        run.progress("learning", 0.4)
        part = site.client.get("/desk/models/runs").text
        assert '<progress max="1" value="0.4">' in part
        assert "<html" not in part
        run.end("refused", "is worse than v1")
    assert "is worse than v1" in site.client.get("/desk/models").text
    (found,) = list_runs(models)
    assert "refused: is worse than v1" in site.client.get(f"/desk/models/runs/{found.id}").text
    told = site.client.get(f"/v1/training-runs/{found.id}").json
    assert (told["outcome"], told["by"]) == ("refused", "boss")
    assert "learning" in told["log"]
    assert site.client.get("/desk/models/runs/none").status_code == 404


def test_without_events_or_beside_another_trainer_no_run_starts(site: Site) -> None:
    refused = site.client.post("/v1/training-runs")
    assert refused.status_code == 409
    assert "holds no events" in refused.json["detail"]
    site.publish(1)
    site.send({"event_id": "e1", "user_id": "r", "article_id": "a0", "kind": "click"})
    site.clock.now += 60
    site.work()
    models = site.settings.data_dir / "models"
    models.mkdir()
    with (models / ".retrain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert post(site, "/desk/models/runs").status_code == 409
    assert list_runs(models) == []
    assert site.store.read_audit(5, "models") == [], "only the start that won is logged"


def test_a_run_that_cannot_be_logged_does_not_start(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    with EmbeddedStore(tmp_path / "own") as server:
        changed = replace(settings, redis_url=server.url)
        own = Site(changed, RedisStore(changed), clock)
        own.publish(1)
        own.send({"event_id": "e1", "user_id": "r", "article_id": "a0", "kind": "click"})
        own.clock.now += 60
        own.work()
        token = token_of(own.client.get("/desk/models").text)
    started = own.client.post("/desk/models/runs", data={"form_token": token})
    assert started.status_code == 503
    with one_trainer(own.settings.data_dir / "models"):
        pass  # nobody holds the lock
    own.store.close()


def test_the_lock_of_whoever_starts_a_trainer_passes_to_it(tmp_path: Path) -> None:
    code = (
        "import sys; from feed.models.trainer_lock import one_trainer\nfrom pathlib import Path\n"
    )
    code += "with one_trainer(Path(sys.argv[1]), int(sys.argv[2])): print(1, flush=True); input()"
    with one_trainer(tmp_path) as lock:
        command = [sys.executable, "-c", code, str(tmp_path), str(lock)]
        trainer = Popen(command, pass_fds=(lock,), stdin=PIPE, stdout=PIPE)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == b"1\n"
    with pytest.raises(ConflictError, match="at work"), one_trainer(tmp_path):
        pass
    trainer.communicate(b"\n")
    with one_trainer(tmp_path):
        pass


def test_an_admin_starts_a_run_that_lives_on_its_own(site: Site) -> None:
    """With one event nothing can be learnt: what counts is that the run tells so itself."""
    site.publish(1)
    site.send({"event_id": "e1", "user_id": "r", "article_id": "a0", "kind": "click"})
    site.clock.now += 60
    site.work()
    assert post(site, "/desk/models/runs").status_code == 303
    assert site.store.read_audit(1, "models")[0].action == "training started"
    models, deadline = site.settings.data_dir / "models", time.monotonic() + 120
    while not any(run.ended_at for run in list_runs(models)):
        assert time.monotonic() < deadline, list_runs(models)
        time.sleep(0.1)
    (run,) = list_runs(models)
    assert run.by == "open access"
    assert run.outcome in {"published", "failed"}


def test_drift_is_the_index_of_candidates_against_the_bins_of_training(
    registry: ModelRegistry, site: Site
) -> None:
    """Training saw articles of days; the 30 articles here are minutes old."""
    rng = np.random.default_rng(1)
    features = rng.random((3000, len(FEATURES))).astype(np.float32)
    bins = {name: one.to_json() for name, one in bin_features(features).items()}
    registry.publish(bundle("v3", 3, feature_bins=bins | {"age_seen": AGES.to_json()}))
    registry.set_live("v3")
    site.publish(30)
    for number in range(60):
        site.feed(f"r{number}")
    site.services.keeper.refresh()
    report = site.services.drift.measure(site.services.snapshot)
    assert (report.requests, report.rows) == (60, 60 * 20)
    found = {one.name: one for one in report.features}
    assert len(found) == len(FEATURES)
    indexes = [one.index for one in report.features]
    assert indexes == sorted(indexes, reverse=True)
    by_hand = (1 - 0.5) * np.log(1 / 0.5) + (0 + 1e-9 - 0.5) * np.log((0.5 / 31.5) / 0.5)
    assert found["age_seen"].index == pytest.approx(by_hand, rel=0.02)
    assert found["age_seen"].word == "shifted"
    page = site.client.get("/desk/models/drift").text
    assert "Train a new model" in page
    told = site.client.get("/v1/models/drift").json
    assert told["features"][0]["index"] == indexes[0], told


def test_too_few_requests_or_days_give_no_verdict(registry: ModelRegistry, site: Site) -> None:
    bins = {"age_seen": AGES.to_json()}
    short = ["2026-01-01T00:00:00Z", "2026-01-02T18:00:00Z"]
    registry.publish(bundle("v3", 3, feature_bins=bins, window=short))
    registry.set_live("v3")
    site.publish(30)
    site.services.keeper.refresh()
    for number in range(49):
        site.feed(f"r{number}")
    page = site.client.get("/desk/models/drift").text
    assert "Too few requests to tell: there were 49 in the last 24 hours" in page
    site.feed("r49")
    site.clock.now += KEPT_S + 1
    told = site.client.get("/v1/models/drift").json
    assert "the model learnt from 42 hours" in told["verdict"]
    assert {one["word"] for one in told["features"]} == {"unclear"}


def test_chance_alone_seldom_counts_as_drift() -> None:
    """All rows of a request are alike here, which is the worst case."""
    rng = np.random.default_rng(1)
    training = rng.random((40_000, len(FEATURES))).astype(np.float32)
    bins, words, raw = bin_features(training), list[str](), list[float]()
    for _ in range(100):
        requests = rng.random((50, len(FEATURES))).astype(np.float32)
        found = compare_features(bins, np.repeat(requests, 20, axis=0), 50)
        words += [one.word for one in found]
        raw += [one.index for one in found]
    assert np.mean([word != "stable" for word in words]) < 0.005
    assert np.mean(raw) == pytest.approx(9 / 50, rel=0.25), "nine bins more than one, 1/50"
    assert np.mean([index >= 0.25 for index in raw]) > 0.1, "the bare marks would have alarmed"
    moved = np.repeat(rng.random((50, len(FEATURES))).astype(np.float32), 20, axis=0) ** 3
    found = compare_features(bins, moved, 50)
    assert np.mean([one.word == "shifted" for one in found]) > 0.9


AGES = FeatureBins(edges=(3.0,), shares=(0.5, 0.5), unknown=0.0, rows=100_000)
"""Half of the articles in training were older than 19 hours, ln(1 + 19) = 3."""


def test_features_like_those_of_training_need_nothing_done() -> None:
    rng = np.random.default_rng(1)
    features = rng.random((3000, len(FEATURES))).astype(np.float32)
    bins = bin_features(features)
    found = compare_features(bins, rng.random((2000, len(FEATURES))).astype(np.float32), 100)
    assert {one.word for one in found} == {"stable"}
    assert known_bins({"feature_bins": {"age_seen": {"edges": [1]}}}) == {}
    assert known_bins({"feature_bins": 3}) == {}
