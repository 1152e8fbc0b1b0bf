"""Learns the chance that a click is a satisfied read, from clicks whose dwell is known."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from feed.arrays import Floats
from feed.models.ranker import LightGBMRanker
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.models.schema import FEATURES
from feed.offline.ranker_training import TREES, TREES_STEP
from feed.offline.reads import ReadExamples
from feed.training_config import TrainingConfig

FEWEST_READS = 300
"""Clicks with a known dwell below which nothing is learnt about reads."""
MOST_TREES = 150
_TREES = TREES | {
    "objective": "binary",
    "num_leaves": 7,
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
}
"""Small trees: there is one example for each click, not for each article shown."""


def with_reads(
    clicks: LightGBMRanker, reads: ReadExamples, config: TrainingConfig, threads: int = 1
) -> LightGBMRanker | SatisfiedRanker:
    """Return a ranker by clicks times the chance that a click is a satisfied read.

    The newest fifth of the clicks decides how many trees there are, by their log loss. Where no
    number of trees foretells better than the mean, or too few clicks have a known dwell, clicks
    alone decide.

    Args:
        clicks: what foretells clicks.
        reads: clicks in time order.
        config: seed.
        threads: of LightGBM.
    """
    if len(reads) < FEWEST_READS or reads.satisfied.all() or not reads.satisfied.any():
        return clicks
    parameters = _TREES | {"seed": config.seed, "num_threads": threads}
    trees = _choose_trees(reads, parameters)
    if not trees:
        return clicks
    booster = _boost(reads, parameters, trees)
    return SatisfiedRanker(clicks, LightGBMRanker(booster.model_to_string(), clicks.neutral))


def _choose_trees(reads: ReadExamples, parameters: dict[str, Any]) -> int:
    cut = len(reads) - len(reads) // 5
    earlier = ReadExamples(reads.features[:cut], reads.satisfied[:cut])
    later = ReadExamples(reads.features[cut:], reads.satisfied[cut:])
    share = float(earlier.satisfied.mean())
    if not 0.0 < share < 1.0:
        return 0
    booster = _boost(earlier, parameters, MOST_TREES)
    best, least = 0, _loss(np.full(len(later), np.log(share / (1.0 - share))), later)
    for trees in range(TREES_STEP, MOST_TREES + 1, TREES_STEP):
        odds = booster.predict(later.features, raw_score=True, num_iteration=trees)
        loss = _loss(np.asarray(odds, np.float64), later)
        if loss < least:
            best, least = trees, loss
    return best


def _loss(odds: Floats, reads: ReadExamples) -> float:
    return float((np.logaddexp(0.0, odds) - reads.satisfied * odds).mean())


def _boost(reads: ReadExamples, parameters: dict[str, Any], trees: int) -> lightgbm.Booster:
    data = lightgbm.Dataset(
        reads.features,
        reads.satisfied.astype(np.float32),
        feature_name=[f.name for f in FEATURES],
    )
    return lightgbm.train(parameters, data, trees)
