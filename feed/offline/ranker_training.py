"""Learned rankers: trees that start from the day-one weights while there are few clicks."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Matrix
from feed.models.ranker import LightGBMRanker, LinearRanker, WeightedSum, logistic
from feed.models.schema import FEATURES
from feed.offline.examination import Examination
from feed.offline.examples import Examples
from feed.offline.ranking_metrics import ndcg_at, sort_lists, weighed_pairs
from feed.training_config import TrainingConfig

OBJECTIVES = {"pool": "binary", "slate": "lambdarank"}
"""What each head learns: whether a pool article is clicked; the order of a list. Where the chance
of a click is multiplied by that of a satisfied read, both learn the chance of a click."""

SLATE_TREES = 16.0 / 3.0
"""With many lists, the slate's ranker has so many times the trees that are set. It orders no feed,
so they cost no request."""
SLATE_PACE = 1.0 / 3.0
"""Each of them learns so much of what a tree of the pool's ranker would."""

FEW_LISTS = 5000
"""With fewer lists the trees are small, they begin at the day-one weights, and their number is
chosen on the newest lists."""
SOME_LISTS = 1500
"""From here to `FEW_LISTS`, large trees that begin at nothing are tried on these lists, too."""
FEW_LISTS_LEAVES = 7
"""Leaves of a small tree, at most."""
TREES_STEP = 5
"""Numbers of trees that are compared lie this far apart."""
LEAST_SLOPE = 1e-3
"""The day-one weights keep at least this share of their scale, and so their order."""
SLOPE_STEPS = 25
"""Newton steps of the scale; it settles in about six."""
RIDGE = np.array([1.0, 0.0])
"""L2 penalty of slope and intercept: keeps the slope finite where the margin parts all clicks."""

SLATE_ONLY = ("on_page_2h", "on_page_24h")
"""Features at which only the slate's trees split: they order a list that a site has chosen better,
and a pool no better."""

TREES = {
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
"""Parameters of LightGBM that no setting changes."""


def fit_ranker(
    examples: Examples,
    head: str,
    config: TrainingConfig,
    threads: int = 1,
    examination: Examination | None = None,
) -> LightGBMRanker | None:
    """Return a learned ranker, or None where the day-one weights are not bettered.

    With few lists, learning begins at the day-one weights, at the scale that fits the clicks, and
    the trees learn what to add to them. The newest fifth of the lists decides how many trees
    there are; where no number of trees orders it better than the day-one weights do, there is no
    ranker. With many lists the trees need no help and learn everything themselves; in between,
    that fifth decides.

    Args:
        examples: lists with their clicks.
        head: a key of `OBJECTIVES`.
        config: trees, leaves, learning rate, fewest lists, seed.
        threads: of LightGBM.
        examination: how readily places are looked at, by which the examples are weighed; None
            if that is not known, or not wanted.
    """
    if len(examples) < config.ranker_min_impressions:
        return None
    parameters = boosting_parameters(head, len(examples), config, threads)
    parameters["feature_contri"] = split_gains(head)
    trees, start, weights = parameters.pop("num_iterations"), None, examples.weights(examination)
    if len(examples) < FEW_LISTS:
        small = parameters | {"num_leaves": min(config.ranker_leaves, FEW_LISTS_LEAVES)}
        trial = _Trial(examples, examination)
        chosen, quality = trial.choose_trees(small, trees)
        if len(examples) < SOME_LISTS or trial.quality_without_start(parameters, trees) <= quality:
            parameters, trees, start = small, chosen, fit_start(examples, weights)
    if not trees:
        return None
    booster = _boost(examples, parameters, start, trees, weights)
    return LightGBMRanker(booster.model_to_string(), neutral_values(examples.features), start)


def boosting_parameters(
    head: str, lists: int, config: TrainingConfig, threads: int = 1
) -> dict[str, Any]:
    """Return LightGBM's parameters for the ranker of one head.

    Args:
        head: a key of `OBJECTIVES`.
        lists: how many teach it.
        config: trees, leaves, learning rate, seed, and whether reads are to satisfy.
        threads: of LightGBM.
    """
    is_finer = head == "slate" and lists >= FEW_LISTS
    times, pace = (SLATE_TREES, SLATE_PACE) if is_finer else (1.0, 1.0)
    return TREES | {
        "objective": "binary" if config.satisfied_reads else OBJECTIVES[head],
        "num_iterations": round(times * config.ranker_trees),
        "num_leaves": config.ranker_leaves,
        "learning_rate": pace * config.ranker_learning_rate,
        "num_threads": threads,
        "seed": config.seed,
    }


def split_gains(head: str) -> list[float]:
    """Return what the gain of a split at each of `FEATURES` counts in a head's trees: 1, or 0."""
    return [float(head == "slate" or feature.name not in SLATE_ONLY) for feature in FEATURES]


def fit_start(examples: Examples, weights: Floats | None = None) -> WeightedSum:
    """Return the day-one weights at the scale at which they foretell the clicks best.

    Two numbers are learnt, by logistic regression of the clicks on the day-one margin: a slope,
    which never turns the order round, and an intercept.
    """
    day_one = LinearRanker().sum
    slope, intercept = fit_scale(day_one.margin(examples.features), examples.clicked, weights)
    return day_one.scaled(slope, intercept)


def fit_scale(
    margin: Floats, clicked: npt.NDArray[np.bool_], weights: Floats | None = None
) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of clicks on a margin.

    Args:
        margin: f64 [n].
        clicked: bool [n], with at least one of each kind.
        weights: of each, f64 [n]; 1 if not given.

    Source: Platt: Probabilistic Outputs for Support Vector Machines (1999); by Newton's method,
    whose steps are halved where they would lead too far.
    """
    centre, spread = margin.mean(), margin.std()
    if spread < LEAST_SLOPE:
        return 1.0, 0.0
    design = np.stack([(margin - centre) / spread, np.ones(len(margin))], axis=1)
    weighed = np.ones(len(margin)) if weights is None else weights
    share = float(np.average(clicked, weights=weights))
    found = np.array([0.0, np.log(share / (1.0 - share))])

    def loss(scale: Floats) -> float:
        odds = design @ scale
        misfit = weighed @ (np.logaddexp(0.0, odds) - clicked * odds)
        return float(misfit + 0.5 * (RIDGE @ scale**2))

    for _ in range(SLOPE_STEPS):
        chance = logistic(design @ found)
        spreads = weighed * chance * (1.0 - chance)
        bend = design.T @ (design * spreads[:, None]) + np.diag(RIDGE)
        step = np.linalg.solve(bend, design.T @ (weighed * (clicked - chance)) - RIDGE * found)
        while loss(found + step) > loss(found) and np.abs(step).max() >= LEAST_SLOPE:
            step /= 2.0
        found += step
        if np.abs(step).max() < LEAST_SLOPE:
            break
    slope = max(float(found[0] / spread), LEAST_SLOPE)
    return slope, float(found[1] - slope * centre)


class _Trial:
    """Rankers that the older four fifths of the lists teach, measured on the newest fifth."""

    def __init__(self, examples: Examples, examination: Examination | None) -> None:
        self._earlier, self._later = examples.split(len(examples) - len(examples) // 5)
        self._weights = self._earlier.weights(examination)
        self._later_weights = self._later.weights(examination)

    def choose_trees(self, parameters: dict[str, Any], most: int) -> tuple[int, float]:
        """Return how many trees, added to the day-one weights, order best, and how well.

        0 says that no number of trees orders better than the day-one weights alone.
        """
        start = fit_start(self._earlier, self._weights)
        booster = _boost(self._earlier, parameters, start, most, self._weights)
        margin = start.margin(self._later.features)
        best, best_quality = 0, self._quality(margin)
        for trees in range(min(TREES_STEP, most), most + 1, TREES_STEP):
            quality = self._quality(margin + self._added(booster, trees))
            if quality > best_quality:
                best, best_quality = trees, quality
        return best, best_quality

    def quality_without_start(self, parameters: dict[str, Any], trees: int) -> float:
        """Return how well trees order that begin at nothing."""
        booster = _boost(self._earlier, parameters, None, trees, self._weights)
        return self._quality(self._added(booster, trees))

    def _added(self, booster: lightgbm.Booster, trees: int) -> Floats:
        added = booster.predict(self._later.features, raw_score=True, num_iteration=trees)
        return np.asarray(added, np.float64)

    def _quality(self, margin: Floats) -> float:
        return _quality(margin, self._later, self._later_weights)


def _quality(margin: Floats, examples: Examples, weights: Floats | None) -> float:
    """Return how well a margin orders the lists, by nDCG@10 or, with weights, by weighed pairs."""
    if weights is None:
        lists = sort_lists(margin, examples.clicked, examples.sizes)
        return float(ndcg_at(lists, 10).mean())
    return float(weighed_pairs(margin, examples.clicked, weights, examples.sizes).mean())


def _boost(
    examples: Examples,
    parameters: dict[str, Any],
    start: WeightedSum | None,
    trees: int,
    weights: Floats | None,
) -> lightgbm.Booster:
    data = lightgbm.Dataset(
        examples.features,
        examples.clicked.astype(np.float32),
        weight=weights,
        group=examples.sizes if parameters["objective"] == "lambdarank" else None,
        init_score=None if start is None else start.margin(examples.features),
        feature_name=[f.name for f in FEATURES],
    )
    return lightgbm.train(parameters, data, trees)


def neutral_values(features: Matrix) -> Matrix:
    """Return each feature's median, NaN where it is mostly unknown."""
    rows = features[:: max(1, len(features) // 20_000)]
    neutral = np.full(features.shape[1], np.nan, np.float32)
    for column in range(features.shape[1]):
        values = rows[:, column]
        known = values[~np.isnan(values)]
        if 2 * len(known) >= len(values) and len(known):
            neutral[column] = np.median(known)
    return neutral
