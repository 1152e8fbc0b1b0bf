"""What is learnt from lists that the feed itself placed, and by what that is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.models.bundle import ModelBundle
from feed.offline.event_log import EventLog, ListPlaces
from feed.offline.gate import PAIRS, POOL, judge
from feed.offline.log_source import StoredLog
from feed.offline.training import hold_out, train
from feed.training_config import TrainingConfig

CONFIG = TrainingConfig(factors=8, iterations=5, ranker_trees=20, ranker_min_impressions=50)
UNCORRECTED = replace(CONFIG, correct_places=False)


@pytest.fixture(scope="module")
def world(make_world) -> EventLog:
    """A log of lists that others made."""
    log: EventLog = make_world(lists=600, taste=5.0)
    return log


@pytest.fixture(scope="module")
def own(world) -> EventLog:
    """The same log, if the feed had made its lists by scores that say little."""
    views, rng = world.impressions, np.random.default_rng(3)
    lists, length = len(views), len(views.shown) // len(views)
    scores = rng.random((lists, length)) + 0.2 * views.clicked.reshape(lists, length)
    placed = ListPlaces(
        places=np.argsort(np.argsort(-scores, axis=1), axis=1).ravel(),
        scores=scores.ravel().astype(np.float32),
        drawn=np.zeros(lists * length, np.bool_),
    )
    return replace(world, impressions=replace(views, placed=placed))


def learn(log: EventLog, config: TrainingConfig) -> ModelBundle:
    return train(log, hold_out(log).start, config, RankingConfig(), version="v")


@pytest.fixture(scope="module")
def corrected(own) -> ModelBundle:
    return learn(own, CONFIG)


@pytest.fixture(scope="module")
def plain(world) -> ModelBundle:
    return learn(world, CONFIG)


def texts(bundle: ModelBundle) -> list[str]:
    return [head.text for head in (bundle.ranker, bundle.slate_ranker) if head is not None]


def test_without_places_or_with_the_setting_off_nothing_changes(world, own, plain):
    assert len(texts(plain)) == 2
    assert texts(learn(world, UNCORRECTED)) == texts(plain)
    assert texts(learn(own, UNCORRECTED)) == texts(plain)
    assert "examination" not in plain.manifest


def test_the_model_says_how_readily_each_place_is_looked_at(corrected, plain):
    chance = corrected.manifest["examination"]["chance"]
    assert len(chance) == 8
    assert chance[0] == 1.0
    assert chance == sorted(chance, reverse=True)
    assert texts(corrected) != texts(plain)


def test_a_model_of_the_feeds_own_lists_is_judged_by_pairs(own, world, corrected, plain):
    window = hold_out(own)
    verdict = judge(own, corrected, None, window, 0.01, RankingConfig())
    assert verdict.metric == PAIRS
    assert verdict.candidate.mean > 0.7
    assert verdict.candidate.n == verdict.other.n > 0
    assert judge(world, plain, None, window, 0.01, RankingConfig()).metric == POOL


def test_places_survive_a_log_in_files(own, tmp_path: Path):
    stored = StoredLog(own, tmp_path)
    for window in ((-np.inf, np.inf), (own.begins_at + 3600.0, own.begins_at + 90_000.0)):
        wanted = own.window(*window).impressions.placed
        found = stored.window(*window).impressions.placed
        assert found.places.tolist() == wanted.places.tolist()
        assert np.array_equal(found.scores, wanted.scores, equal_nan=True)
        assert found.drawn.tolist() == wanted.drawn.tolist()
