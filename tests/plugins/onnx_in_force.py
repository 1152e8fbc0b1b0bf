"""feed with the ranker of the ONNX example in use; `test_onnx_package` runs this file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.models.bundle import load_bundle, save_bundle
from feed.models.plugin_ranker import TaughtByPlugin
from feed.models.schema import FEATURES, feature_index
from feed.offline.sample_log import draw_log, draw_vectors
from feed.offline.training import train
from feed.training_config import TrainingConfig

SMALL = TrainingConfig(factors=4, iterations=2, ranker_min_impressions=50)
COLUMNS = ("clicks_6h", "age_published", "content_long")
GIVEN = (
    (2.2527292, -0.58423823, -0.65179116),
    (1.0090404, 1.1897846, 2.056409),
    (-0.1167638, -0.5636994, np.nan),
)
CHANCES = (0.04278303, 0.33658248, 0.0785336)
"""What scikit-learn's `predict_proba` said to `GIVEN` before `to_onnx` wrote clicks.onnx: of a
SimpleImputer, a StandardScaler and a LogisticRegression in a row."""


@pytest.fixture
def place() -> Path:
    return Path(os.environ["ONNX_RANKER"])


def learn(version: str):
    log = draw_log()
    until = float(log.impressions.at[300])
    vectors = draw_vectors(log)
    return train(log, until, SMALL, RankingConfig(), embeddings=vectors, version=version)


def test_the_model_ranks_with_the_scores_of_the_library_it_comes_from(tmp_path):
    bundle = learn("onnx")
    save_bundle(bundle, tmp_path / "onnx")
    back = load_bundle(tmp_path / "onnx")
    features = np.zeros((3, len(FEATURES)), np.float32)
    features[:, [feature_index()[name] for name in COLUMNS]] = GIVEN
    for head in ("ranker", "slate_ranker"):
        ranker = getattr(bundle, head)
        assert isinstance(ranker, TaughtByPlugin)
        margin = ranker.margin(features)
        np.testing.assert_allclose(1 / (1 + np.exp(-margin)), CHANCES, rtol=1e-5)
        np.testing.assert_array_equal(getattr(back, head).margin(features), margin)


def test_without_a_model_a_training_leaves_its_examples(place):
    model = (place / "pool.onnx").read_bytes()
    (place / "pool.onnx").unlink()
    bundle = learn("without")
    assert bundle.ranker is None
    left = np.load(place / "pool.npz", allow_pickle=False)
    assert left["names"].tolist() == [feature.name for feature in FEATURES]
    assert len(left["features"]) == len(left["clicked"]) == left["sizes"].sum()
    (place / "pool.onnx").write_bytes(model)
    assert isinstance(learn("with").ranker, TaughtByPlugin)
