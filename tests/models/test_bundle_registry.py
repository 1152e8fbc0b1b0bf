import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from feed.domain import Article, BundleError, ConflictError, NotFoundError
from feed.features.ids import IdMap
from feed.features.pool import PoolBuilder
from feed.models.bundle import ModelBundle, empty_bundle, load_bundle, save_bundle
from feed.models.ranker import LightGBMRanker, LinearRanker, WeightedSum
from feed.models.registry import ModelRegistry, with_manifest
from feed.models.schema import FEATURES, FEWEST_BUILT_IN, fingerprint
from feed.models.view import build_view


def make_ranker(names: list[str] | None = None, start: WeightedSum | None = None) -> LightGBMRanker:
    rng = np.random.default_rng(0)
    names = names or [f.name for f in FEATURES]
    features = rng.normal(size=(400, len(names))).astype(np.float32)
    clicked = features[:, 3] + rng.normal(size=400) > 0
    data = lightgbm.Dataset(features, clicked, feature_name=names)
    parameters = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, data, 5)
    neutral = np.zeros(len(names), np.float32)
    return LightGBMRanker(booster.model_to_string(), neutral, start)


def make_bundle(version: str = "v1", *, ranker: bool = False) -> ModelBundle:
    rng = np.random.default_rng(1)
    return ModelBundle(
        version=version,
        manifest={"created_at": f"2026-01-0{len(version)}"},
        article_ids=IdMap(["a", "b", "c"]),
        factors=rng.normal(size=(3, 4)).astype(np.float32),
        readers=np.array([5.0, 1.0, 0.0]),
        content_map=rng.normal(size=(2, 4)).astype(np.float32),
        content_bias=np.zeros(4, np.float32),
        content_mean=np.zeros(6, np.float32),
        content_projection=rng.normal(size=(6, 2)).astype(np.float32),
        neighbour_index=np.array([[1, -1], [0, 2], [-1, -1]], np.int32),
        neighbour_weights=np.array([[0.5, 0], [0.5, 0.1], [0, 0]], np.float32),
        ranker=make_ranker() if ranker else None,
    )


def test_a_bundle_comes_back_as_it_was(tmp_path):
    bundle = make_bundle(ranker=True)
    save_bundle(bundle, tmp_path / "v1")
    back = load_bundle(tmp_path / "v1")
    assert back.version == "v1"
    assert back.article_ids.ids == ["a", "b", "c"]
    for name in ("factors", "readers", "content_map", "content_projection", "neighbour_index"):
        np.testing.assert_array_equal(getattr(back, name), getattr(bundle, name))
    np.testing.assert_allclose(back.gramian, bundle.factors.T @ bundle.factors)
    features = np.random.default_rng(2).normal(size=(9, len(FEATURES))).astype(np.float32)
    np.testing.assert_array_equal(back.ranker.score(features), bundle.ranker.score(features))
    assert back.slate_ranker is None


def test_what_the_trees_start_from_comes_back_to_the_last_bit(tmp_path):
    start = LinearRanker({"covisit": 0.1 + 0.2}).sum.scaled(0.37, -1.8)
    save_bundle(replace(make_bundle(), ranker=make_ranker(start=start)), tmp_path / "v1")
    back = load_bundle(tmp_path / "v1").ranker
    features = np.random.default_rng(2).normal(size=(9, len(FEATURES))).astype(np.float32)
    features[3, 5:30] = np.nan
    np.testing.assert_array_equal(back.margin(features), make_ranker(start=start).margin(features))
    np.testing.assert_allclose(
        back.margin(features), make_ranker().margin(features) + start.margin(features)
    )
    np.testing.assert_array_equal(back.with_threads(2).margin(features), back.margin(features))


def test_a_model_of_the_format_before_serves_by_its_trees_alone(tmp_path):
    save_bundle(make_bundle(ranker=True), tmp_path / "v1")
    path = tmp_path / "v1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    back = load_bundle(tmp_path / "v1").ranker
    features = np.random.default_rng(2).normal(size=(9, len(FEATURES))).astype(np.float32)
    assert back.start is None
    np.testing.assert_array_equal(back.margin(features), make_ranker().margin(features))


def test_a_model_says_a_format_that_code_from_before_refuses(tmp_path):
    save_bundle(make_bundle(), tmp_path / "v1")
    assert json.loads((tmp_path / "v1" / "manifest.json").read_text())["format"] == 2


def test_a_start_that_lacks_a_feature_is_refused(tmp_path):
    start = LinearRanker().sum
    save_bundle(replace(make_bundle(), ranker=make_ranker(start=start)), tmp_path / "v1")
    name = "ranker_pool_start.json"
    parts = json.loads((tmp_path / "v1" / name).read_text())
    del parts["weights"]["covisit"]
    data = json.dumps(parts).encode()
    (tmp_path / "v1" / name).write_bytes(data)
    path = tmp_path / "v1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="incomplete"):
        load_bundle(tmp_path / "v1")


def test_an_altered_file_is_refused(tmp_path):
    save_bundle(make_bundle(), tmp_path / "v1")
    path = tmp_path / "v1" / "factors.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="altered"):
        load_bundle(tmp_path / "v1")


def test_a_missing_file_is_refused(tmp_path):
    save_bundle(make_bundle(), tmp_path / "v1")
    (tmp_path / "v1" / "readers.npy").unlink()
    with pytest.raises(BundleError, match="lacks"):
        load_bundle(tmp_path / "v1")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("feature_schema", "0" * 16, "schema"), ("format", 99, "format"), ("sha256", 3, "broken")],
)
def test_another_schema_or_format_is_refused(tmp_path, key, value, words):
    save_bundle(make_bundle(), tmp_path / "v1")
    path = tmp_path / "v1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BundleError, match=words):
        load_bundle(tmp_path / "v1")


@pytest.mark.parametrize("start", [None, LinearRanker().sum.scaled(0.4, -1.0)])
def test_a_model_from_before_the_last_features_came_still_ranks(tmp_path, start):
    earlier = make_ranker([f.name for f in FEATURES[:FEWEST_BUILT_IN]], start)
    save_bundle(replace(make_bundle(), ranker=earlier), tmp_path / "v1")
    path = tmp_path / "v1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["feature_schema"] = fingerprint(FEATURES[:FEWEST_BUILT_IN])
    if start is not None:
        name = "ranker_pool_start.json"
        sums = json.loads((tmp_path / "v1" / name).read_text())
        for late in FEATURES[FEWEST_BUILT_IN:]:
            del sums["weights"][late.name], sums["neutral"][late.name]
        data = json.dumps(sums).encode()
        (tmp_path / "v1" / name).write_bytes(data)
        manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(manifest))
    back = load_bundle(tmp_path / "v1").ranker
    features = np.random.default_rng(2).normal(size=(9, len(FEATURES))).astype(np.float32)
    unknown = features.copy()
    unknown[:, FEWEST_BUILT_IN:] = np.nan
    np.testing.assert_allclose(back.margin(features), earlier.margin(features))
    np.testing.assert_array_equal(back.margin(features), back.margin(unknown))
    assert len(back.neutral) == len(FEATURES)


def test_a_ranker_of_other_features_is_refused():
    names = [f"x{i}" for i in range(len(FEATURES))]
    with pytest.raises(BundleError, match="schema"):
        make_ranker(names)


def test_nothing_is_pickled(tmp_path):
    save_bundle(make_bundle(ranker=True), tmp_path / "v1")
    assert {p.suffix for p in (tmp_path / "v1").iterdir()} <= {".npy", ".json", ".txt"}


def test_embeddings_of_another_encoder_are_left_as_they_are():
    other = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(make_bundle().reduce_content(other), other)
    reduced = make_bundle().reduce_content(np.eye(6, dtype=np.float32))
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1.0, atol=1e-5)
    assert not make_bundle().reduce_content(np.zeros((2, 6), np.float32)).any()


def test_a_model_reads_only_vectors_of_the_encoder_it_was_trained_on():
    builder = PoolBuilder()
    for number, name in enumerate("abd"):
        article = Article(article_id=name, title=name, published_at=1.0)
        builder.add(article, np.eye(6)[number], 1.0, space="old")
    pool, unnamed = builder.snapshot(), make_bundle()
    of_old, of_new = (with_manifest(unnamed, vectors=name) for name in ("old", "new"))
    for bundle in (unnamed, of_old):
        view = build_view(pool, bundle)
        assert view.content.shape == (3, 2)
        assert view.factors[2].any(), "an unread article gets factors by its text"
    view = build_view(pool, of_new)
    np.testing.assert_array_equal(view.content, pool.embedding)
    assert not view.factors[2].any()
    assert view.factors[0].any(), "what was read is known without a text"


def test_the_registry_publishes_serves_and_rolls_back(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    assert registry.live_version() is None
    assert registry.load_live() is None
    for version in ("v1", "v22", "v333"):
        registry.publish(make_bundle(version))
        registry.set_live(version)
    assert registry.load_live().version == "v333"
    assert [m["version"] for m in registry.list()] == ["v333", "v22", "v1"]
    assert [m["live"] for m in registry.list()] == [True, False, False]
    assert registry.rollback() == "v22"
    assert registry.rollback() == "v1"
    with pytest.raises(NotFoundError):
        registry.rollback()
    assert registry.live_version() == "v1"


def test_a_version_is_published_once_and_must_exist_to_go_live(tmp_path):
    registry = ModelRegistry(tmp_path)
    registry.publish(make_bundle())
    with pytest.raises(ConflictError):
        registry.publish(make_bundle())
    with pytest.raises(NotFoundError):
        registry.set_live("v9")


def test_a_damaged_version_cannot_go_live_and_is_listed_as_such(tmp_path):
    registry = ModelRegistry(tmp_path)
    registry.publish(make_bundle())
    (tmp_path / "v1" / "manifest.json").write_text("{")
    with pytest.raises(BundleError):
        registry.set_live("v1")
    assert "error" in registry.list()[0]


def test_pruning_keeps_the_live_version_and_the_one_before(tmp_path):
    registry = ModelRegistry(tmp_path)
    for version in ("v1", "v22", "v333", "v4444"):
        registry.publish(make_bundle(version))
    registry.set_live("v1")
    registry.set_live("v22")
    assert set(registry.prune(1)) == {"v333"}
    assert {m["version"] for m in registry.list()} == {"v1", "v22", "v4444"}


def test_a_version_that_is_deleted_while_it_is_made_live_does_not_go_live(tmp_path):
    registry = ModelRegistry(tmp_path)
    for version in ("v1", "v2"):
        created = {"created_at": f"2026-01-0{version[1]}T00:00:00Z"}
        registry.publish(with_manifest(make_bundle(version), **created))
    registry.set_live("v2")
    with pytest.raises(NotFoundError, match="v1 has just been deleted"):
        registry.set_live("v1", fence=lambda: ModelRegistry(tmp_path).prune(1))
    assert registry.live_version() == "v2"
    assert registry.load_live().version == "v2"


def test_pruning_where_nothing_was_published_deletes_nothing(tmp_path):
    assert ModelRegistry(tmp_path / "models").prune(1) == ()


def test_a_verdict_travels_with_the_manifest(tmp_path):
    registry = ModelRegistry(tmp_path)
    registry.publish(with_manifest(make_bundle(), gate={"passed": True, "verdict": "passed"}))
    assert registry.list()[0]["gate"]["passed"] is True


def test_the_empty_bundle_can_be_saved_too(tmp_path):
    save_bundle(replace(empty_bundle(), version="v0"), tmp_path / "v0")
    assert len(load_bundle(tmp_path / "v0").article_ids) == 0


def test_sweeping_removes_what_a_dead_trainer_left_and_nothing_else(tmp_path):
    registry = ModelRegistry(tmp_path)
    registry.set_live(registry.publish(make_bundle("v1")))
    (tmp_path / ".writing-v2-999").mkdir()
    (tmp_path / ".writing-v2-999" / "factors.npy").write_bytes(b"half")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".writing-LIVE-{ended.pid}").write_text("v1\n")
    at_work = tmp_path / f".writing-HISTORY-{os.getpid()}"
    at_work.write_text("v1\n")
    registry.sweep()
    assert list(tmp_path.glob(".writing-*")) == [at_work]
    assert registry.load_live().version == "v1"


def test_an_unreadable_name_of_the_live_model_is_no_model_and_can_be_repaired(tmp_path):
    registry = ModelRegistry(tmp_path)
    version = registry.publish(make_bundle())
    registry.set_live(version)
    (tmp_path / "LIVE").write_bytes(b"\xff\xfe")
    assert registry.live_version() != version
    assert [one["version"] for one in registry.list()] == [version]
    registry.set_live(version)
    assert registry.live_version() == version
