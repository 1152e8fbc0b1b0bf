"""Fits the bundle's arrays on the log before a given moment."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import DAY_S
from feed.domain import format_time
from feed.features.ids import IdMap
from feed.features.interactions import EventColumns, build_interactions
from feed.models.bundle import ModelBundle, load_bundle, save_bundle
from feed.models.factors import (
    fit_als,
    fit_content_map,
    item_neighbours,
    scale_regularization,
)
from feed.offline.log_source import LogSource
from feed.training_config import TrainingConfig


def fit_bundle(
    log: LogSource,
    until: float,
    config: TrainingConfig,
    *,
    embeddings: Matrix | None = None,
    threads: int = 1,
    version: str | None = None,
    most_engagements: int | None = None,
) -> ModelBundle:
    """Return a bundle without rankers, learnt from what happened before `until`.

    Args:
        log: the log; events at or after `until` are not looked at.
        until: epoch seconds.
        config: parameters.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text; an article
            takes part from its first appearance on.
        threads: of ALS and of the neighbours.
        version: name of the bundle; made of `until` when None.
        most_engagements: of more, the bundle is learnt from about so many, which are everything
            that some readers did; their ids' hashes choose them, so they are always the same.
    """
    columns = log.window(until - config.window_days * DAY_S, until).events.before(until)
    size = (len(log.users), len(log.articles))
    columns = replace(columns, users=log.merges.one_reader_each(columns.users, until))
    if most_engagements is not None and len(columns.users) > most_engagements:
        drawn = draw_ids(log.users, most_engagements / len(columns.users))
        columns = _choose(columns, drawn[columns.users])
    weights = build_interactions(columns, size, until, config)
    known = np.flatnonzero(log.first_seen_at < until)
    weights = weights[:, known].tocsr()
    config = scale_regularization(weights, config)
    readers = np.asarray((weights > 0).sum(axis=0), np.float64).ravel()
    return assemble_bundle(
        log.articles,
        known,
        until,
        config,
        factors=fit_als(weights, config, threads),
        readers=readers,
        neighbours=item_neighbours(weights, config.neighbours, threads),
        interactions=int(weights.nnz),
        people=int((np.diff(weights.indptr) > 0).sum()),
        embeddings=embeddings,
        version=version,
    )


def assemble_bundle(
    articles: IdMap,
    known: Rows,
    until: float,
    config: TrainingConfig,
    *,
    factors: Matrix,
    readers: Floats,
    neighbours: tuple[npt.NDArray[np.int32], Matrix],
    interactions: int,
    people: int,
    embeddings: Matrix | None = None,
    version: str | None = None,
) -> ModelBundle:
    """Return the bundle without rankers of what was learnt of the k `known` articles.

    Args:
        articles: numbering of all articles.
        known: rows of those that had appeared, int64 [k].
        until: when the training window ended, epoch seconds.
        config: parameters, the regularisation as `scale_regularization` made it.
        factors: f32 [k, f].
        readers: readers of each article, f64 [k].
        neighbours: what `item_neighbours` returns.
        interactions: how many weights were learnt from.
        people: of how many readers.
        embeddings: f32 [articles, d], zero rows where there is no text.
        version: name of the bundle; made of `until` when None.
    """
    index, similarity = neighbours
    bundle = ModelBundle(
        version=version or f"fit-{int(until)}",
        manifest={
            "created_at": format_time(until),
            "window": [format_time(until - config.window_days * DAY_S), format_time(until)],
            "interactions": interactions,
            "readers": people,
        },
        article_ids=IdMap(articles.ids[r] for r in known.tolist()),
        factors=factors,
        readers=readers,
        neighbour_index=index,
        neighbour_weights=similarity,
        alpha=config.alpha,
        regularization=config.regularization,
        shrinkage_readers=config.shrinkage_readers,
    )
    return bundle if embeddings is None else _with_content(bundle, embeddings[known], config)


def draw_ids(ids: IdMap, share: float) -> Flags:
    """Return which ids a hash chooses, bool [ids]: about this share, the same in every log."""
    hashes = np.fromiter((crc32(name.encode()) for name in ids.ids), np.uint32, len(ids))
    return hashes < share * 2.0**32


def _choose(columns: EventColumns, wanted: Flags) -> EventColumns:
    return EventColumns(**{f.name: getattr(columns, f.name)[wanted] for f in fields(columns)})


def fit_shared(fit_cache: Path, until: float, fit: Callable[[], ModelBundle]) -> ModelBundle:
    """Return the bundle of a moment that several processes need: the first one there fits it.

    Args:
        fit_cache: a directory of one evaluation, where bundles lie.
        until: the moment, epoch seconds.
        fit: fits it.
    """
    place = fit_cache / f"until-{until:.6f}"
    with place.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not place.is_dir():
            save_bundle(fit(), place)
        return load_bundle(place)


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
