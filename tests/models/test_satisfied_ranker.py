"""The product of two chances: its score, its reasons, and how it is kept."""

import json
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from feed.domain import BundleError
from feed.models import bundle as bundles
from feed.models.bundle import empty_bundle, load_bundle, save_bundle
from feed.models.ranker import LightGBMRanker
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.models.schema import FEATURES, GROUPS

FEATURE_ROWS = np.random.default_rng(4).normal(size=(40, len(FEATURES))).astype(np.float32)


def make_trees(column: int) -> LightGBMRanker:
    """Return trees that know one feature alone."""
    features = np.random.default_rng(0).normal(size=(600, len(FEATURES))).astype(np.float32)
    data = lightgbm.Dataset(
        features, features[:, column] > 0, feature_name=[f.name for f in FEATURES]
    )
    parameters = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, data, 8)
    return LightGBMRanker(booster.model_to_string(), np.zeros(len(FEATURES), np.float32))


@pytest.fixture
def ranker() -> SatisfiedRanker:
    return SatisfiedRanker(make_trees(column_of("collaborative")), make_trees(column_of("content")))


def column_of(group: str) -> int:
    return [feature.group for feature in FEATURES].index(group)


def test_the_score_is_the_product_of_both_chances(ranker):
    both = ranker.clicks.score(FEATURE_ROWS) * ranker.reads.score(FEATURE_ROWS)
    np.testing.assert_allclose(ranker.score(FEATURE_ROWS), both, rtol=1e-12)


def test_chances_near_0_and_near_1_stay_numbers(ranker):
    class Sure:
        neutral = ranker.neutral

        def __init__(self, odds):
            self.odds = odds

        def margin(self, features):
            return np.full(len(features), self.odds)

    for odds in ((60.0, 60.0), (-60.0, 60.0), (-800.0, -800.0)):
        margin = SatisfiedRanker(*map(Sure, odds)).margin(FEATURE_ROWS)
        assert np.isfinite(margin).all()


def test_a_family_is_taken_away_from_both_chances(ranker):
    families = [(group,) for group in GROUPS]
    margin = ranker.margin(FEATURE_ROWS)
    parts = ranker.contributions(FEATURE_ROWS, margin, families)
    for i, (group,) in enumerate(families):
        without = FEATURE_ROWS.copy()
        without[:, [f.group == group for f in FEATURES]] = 0.0
        np.testing.assert_allclose(parts[:, i], margin - ranker.margin(without))
        assert parts[:, i].any() == (group in {"collaborative", "content"})


def test_importance_is_shared_by_both(ranker):
    assert sum(ranker.importance().values()) == pytest.approx(1.0)
    clicked, read = (column_of(group) for group in ("collaborative", "content"))
    shares = ranker.importance()
    assert {FEATURES[clicked].name, FEATURES[read].name} <= set([*shares][:2])


def test_a_bundle_keeps_both_and_only_then_has_the_newer_format(ranker, tmp_path):
    model = replace(empty_bundle(), version="v1", ranker=ranker, slate_ranker=ranker.clicks)
    save_bundle(model, tmp_path / "reads")
    back = load_bundle(tmp_path / "reads")
    assert isinstance(back.ranker, SatisfiedRanker)
    assert isinstance(back.slate_ranker, LightGBMRanker)
    np.testing.assert_array_equal(back.ranker.margin(FEATURE_ROWS), ranker.margin(FEATURE_ROWS))
    assert back.manifest["format"] == 3
    save_bundle(replace(model, ranker=ranker.clicks), tmp_path / "clicks")
    assert load_bundle(tmp_path / "clicks").manifest["format"] == 2


def test_who_knows_only_earlier_formats_refuses_a_bundle_of_reads(ranker, tmp_path, monkeypatch):
    save_bundle(replace(empty_bundle(), version="v1", ranker=ranker), tmp_path / "v1")
    monkeypatch.setattr(bundles, "READABLE_FORMATS", (1, 2))
    with pytest.raises(BundleError, match="format 3"):
        load_bundle(tmp_path / "v1")


def test_trees_for_reads_that_were_altered_are_refused(ranker, tmp_path):
    save_bundle(replace(empty_bundle(), version="v1", ranker=ranker), tmp_path / "v1")
    manifest = json.loads((tmp_path / "v1" / "manifest.json").read_text())
    assert "ranker_pool_reads.txt" in manifest["sha256"]
    with (tmp_path / "v1" / "ranker_pool_reads.txt").open("a") as file:
        file.write("#")
    with pytest.raises(BundleError, match="altered"):
        load_bundle(tmp_path / "v1")
