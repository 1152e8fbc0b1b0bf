"""What is fitted on the log before a moment: the bundle's arrays and its rankers."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, TrainingConfig
from feed.domain import format_time
from feed.features.ids import IdMap
from feed.features.interactions import build_interactions
from feed.models.bundle import ModelBundle, load_bundle, save_bundle
from feed.models.factors import (
    fit_als,
    fit_content_map,
    item_neighbours,
    scale_regularization,
)
from feed.models.ranker import LightGBMRanker
from feed.models.schema import FEATURES
from feed.offline.examples import Examples
from feed.offline.log_source import LogSource

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

OBJECTIVES = {"pool": "binary", "slate": "lambdarank"}
"""What each head learns: whether a pool article is clicked; the order of a list."""

METRICS = {"pool": "binary_logloss", "slate": "ndcg"}
"""What decides how many trees there are when lists are few."""
FEW_LISTS = 5000
"""With fewer lists the number of trees is chosen on the newest of them."""
PATIENCE = 25
"""Trees without a gain after which no more are tried."""
FEWEST_TREES = 10

_TREES = {
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


def fit_bundle(
    log: LogSource,
    until: float,
    config: TrainingConfig,
    *,
    embeddings: Matrix | None = None,
    threads: int = 1,
    version: str | None = None,
) -> ModelBundle:
    """Return a bundle without rankers, learnt from what happened before `until`.

    Args:
        log: the log; events at or after `until` are not looked at.
        until: epoch seconds.
        config: parameters.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text; an article
            takes part from its first appearance on.
        threads: of ALS.
        version: name of the bundle; made of `until` when None.
    """
    columns = log.window(until - config.window_days * DAY_S, until).events.before(until)
    size = (len(log.users), len(log.articles))
    users = log.merges.one_reader_each(columns.users, until)
    weights = build_interactions(replace(columns, users=users), size, until, config)
    known = np.flatnonzero(log.first_seen_at < until)
    weights = weights[:, known].tocsr()
    config = scale_regularization(weights, config)
    readers = np.asarray((weights > 0).sum(axis=0), np.float64).ravel()
    index, similarity = item_neighbours(weights, config.neighbours)
    ids = log.articles.ids
    bundle = ModelBundle(
        version=version or f"fit-{int(until)}",
        manifest={
            "created_at": format_time(until),
            "window": [format_time(until - config.window_days * DAY_S), format_time(until)],
            "interactions": int(weights.nnz),
            "readers": int((np.diff(weights.indptr) > 0).sum()),
        },
        article_ids=IdMap(ids[r] for r in known.tolist()),
        factors=fit_als(weights, config, threads),
        readers=readers,
        neighbour_index=index,
        neighbour_weights=similarity,
        alpha=config.alpha,
        regularization=config.regularization,
        shrinkage_readers=config.shrinkage_readers,
    )
    return bundle if embeddings is None else _with_content(bundle, embeddings[known], config)


def fit_shared(shelf: Path, until: float, fit: Callable[[], ModelBundle]) -> ModelBundle:
    """Return the bundle of a moment that several processes need: the first one there fits it.

    Args:
        shelf: a directory of one evaluation, where bundles lie.
        until: the moment, epoch seconds.
        fit: fits it.
    """
    place = shelf / f"until-{until:.6f}"
    with place.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not place.is_dir():
            save_bundle(fit(), place)
        return load_bundle(place)


def fit_ranker(
    examples: Examples, head: str, config: TrainingConfig, threads: int = 1
) -> LightGBMRanker | None:
    """Return a learned ranker, or None where there are too few lists to learn from.

    Args:
        examples: lists with their clicks.
        head: a key of `OBJECTIVES`.
        config: trees, leaves, learning rate, fewest lists, seed.
        threads: of LightGBM.
    """
    if len(examples) < config.ranker_min_impressions:
        return None
    parameters = _TREES | {
        "objective": OBJECTIVES[head],
        "num_leaves": config.ranker_leaves,
        "learning_rate": config.ranker_learning_rate,
        "num_threads": threads,
        "seed": config.seed,
    }
    trees = config.ranker_trees
    if len(examples) < FEW_LISTS:
        trees = _choose_trees(examples, head, parameters, trees)
    booster = lightgbm.train(parameters, _dataset(examples, head), trees)
    return LightGBMRanker(booster.model_to_string(), _neutral(examples.features))


def _choose_trees(examples: Examples, head: str, parameters: dict[str, Any], most: int) -> int:
    """Return how many trees serve the newest fifth of the lists best, taught by the others."""
    earlier, later = examples.split(len(examples) - len(examples) // 5)
    known = _dataset(earlier, head)
    booster = lightgbm.train(
        parameters | {"metric": METRICS[head], "eval_at": [10]},
        known,
        most,
        valid_sets=[_dataset(later, head, known)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return max(int(booster.best_iteration), FEWEST_TREES)


def _dataset(
    examples: Examples, head: str, reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        examples.features,
        examples.clicked.astype(np.float32),
        group=examples.sizes if OBJECTIVES[head] == "lambdarank" else None,
        feature_name=[f.name for f in FEATURES],
        reference=reference,
    )


def _neutral(features: Matrix) -> Matrix:
    """Return each feature's median, NaN where it is mostly unknown."""
    rows = features[:: max(1, len(features) // 20_000)]
    neutral = np.full(features.shape[1], np.nan, np.float32)
    for column in range(features.shape[1]):
        values = rows[:, column]
        known = values[~np.isnan(values)]
        if 2 * len(known) >= len(values) and len(known):
            neutral[column] = np.median(known)
    return neutral


def _with_content(bundle: ModelBundle, embeddings: Matrix, config: TrainingConfig) -> ModelBundle:
    worded = embeddings[embeddings.any(axis=1)].astype(np.float64)
    if len(worded) < 2:
        return bundle
    mean = worded.mean(axis=0)
    centred = worded - mean
    kept = min(config.content_dimensions, embeddings.shape[1])
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = replace(
        bundle,
        content_mean=mean.astype(np.float32),
        content_projection=np.ascontiguousarray(axes[:, ::-1][:, :kept], np.float32),
    )
    content_map, bias = fit_content_map(
        reduced.reduce_content(embeddings),
        bundle.factors,
        bundle.readers,
        ridge=config.content_ridge,
        min_readers=config.content_min_readers,
    )
    return replace(reduced, content_map=content_map, content_bias=bias)
