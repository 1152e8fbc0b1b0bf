"""What is noted of a candidate on the feeds held out."""

from __future__ import annotations

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.models.schema import FEATURES
from feed.offline.gate import judge
from feed.offline.held_out import calibration_bins, wilson_interval
from feed.offline.training import hold_out, train
from feed.training_config import TrainingConfig

CONFIG = TrainingConfig(factors=8, iterations=5, ranker_trees=30, ranker_min_impressions=50)


def test_bins_say_what_was_foretold_and_what_happened() -> None:
    scores = np.concatenate([np.full(100, 0.1), np.full(100, 0.6)])
    clicked = np.zeros(200, bool)
    clicked[:12] = clicked[100:150] = True
    bins = calibration_bins(scores, clicked)
    low, high = bins[0], bins[-1]
    assert (low["foretold"], low["n"]) == (pytest.approx(0.1), 50)
    assert high["foretold"] == pytest.approx(0.6)
    assert sum(one["n"] for one in bins) == 200
    assert sum(one["clicks"] for one in bins) == 62
    assert all(one["low"] <= one["observed"] <= one["high"] for one in bins)


def test_the_interval_is_that_of_a_textbook() -> None:
    """Newcombe (1998), table I: 81 of 263 gives .2553 to .3662."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_model_is_noted_with_its_sources_its_calibration_and_its_features(make_world) -> None:
    log = make_world(lists=800, taste=5.0)
    window = hold_out(log)
    bundle = train(log, window.start, CONFIG, RankingConfig(), version="v1")
    assert bundle.ranker is not None
    notes = judge(log, bundle, None, window, 0.01, RankingConfig()).notes
    assert notes["lists"] > 50
    assert 0.5 < notes["recall"] <= 1.0
    for source in notes["sources"].values():
        assert 0.0 <= source["alone"] <= source["recall"] <= 1.0
    assert sum(one["alone"] for one in notes["sources"].values()) <= 1.0
    assert max(one["recall"] for one in notes["sources"].values()) > 0.3
    observed = [one["observed"] for one in notes["calibration"]]
    assert observed[-1] > observed[0]
    importance = bundle.manifest["importance"]["pool"]
    assert sum(importance.values()) == pytest.approx(1.0)
    assert [*importance.values()] == sorted(importance.values(), reverse=True)
    assert bundle.manifest["feature_bins"].keys() == {one.name for one in FEATURES}
