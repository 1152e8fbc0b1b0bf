"""Collaborative factors: ALS, fold-in, the map from embeddings, item-item neighbours."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from feed.arrays import Floats, Matrix
from feed.features.ids import stable_order
from feed.training_config import TrainingConfig


def confidences(weights: csr_matrix, alpha: float) -> csr_matrix:
    """Return `sign(w) (1 + alpha |w|)` for every stored weight, float32.

    An unseen pair has confidence 1, so a seen one must never fall below it, however old it is;
    a negative number marks a pair that ALS learns as not wanted, with that confidence.

    Source: Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (2008).
    """
    result = weights.astype(np.float32)
    result.sum_duplicates()
    result.eliminate_zeros()
    result.data = np.sign(result.data) * (1.0 + np.float32(alpha) * np.abs(result.data))
    return result


def scale_regularization(weights: csr_matrix, config: TrainingConfig) -> TrainingConfig:
    """Return the parameters with the regularisation multiplied by an article's mean readers.

    The sums it stands beside in the normal equations grow with the readers of an article: one
    number would silence a small site's factors or let a large one's fit every accident.
    """
    return scale_to_readers(np.asarray((weights > 0).sum(axis=0), np.float64).ravel(), config)


def scale_to_readers(readers: Floats, config: TrainingConfig) -> TrainingConfig:
    """Return what `scale_regularization` returns, given each article's readers, f64 [articles]."""
    read = readers[readers > 0]
    mean = float(read.mean()) if len(read) else 1.0
    return replace(config, regularization=config.regularization * mean)


def fit_als(weights: csr_matrix, config: TrainingConfig, threads: int = 1) -> Matrix:
    """Return article factors, f32 [articles, factors]; articles nobody touched are zero.

    Readers without a weight take no part, so how many of them there are changes nothing.

    Args:
        weights: users x articles, decayed and signed, as `build_interactions` makes them.
        config: factors, regularisation, sweeps, alpha, seed.
        threads: OpenMP threads; a forked child of a process that used more than one may hang.
    """
    if not weights.nnz or not config.factors:
        return np.zeros((weights.shape[1], config.factors), np.float32)
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=1.0,
            iterations=config.iterations,
            num_threads=threads,
            random_state=config.seed,
        )
        model.fit(
            confidences(weights[np.diff(weights.indptr) > 0], config.alpha), show_progress=False
        )
    factors = np.array(model.item_factors, np.float32)
    factors[np.asarray(abs(weights).sum(axis=0)).ravel() == 0] = 0.0
    return factors


def solve_readers(
    weights: csr_matrix, factors: Matrix, regularization: float, alpha: float
) -> Matrix:
    """Return the factors of readers that fit the articles' factors best, f32 [readers, f].

    One exact half of an ALS sweep, by implicit's own solver.

    Args:
        weights: readers x articles, decayed and signed.
        factors: article factors, f32 [articles, f].
        regularization: as `scale_regularization` made it.
        alpha: of the confidences.
    """
    model = AlternatingLeastSquares(
        factors=factors.shape[1], regularization=regularization, alpha=1.0, num_threads=1
    )
    model.item_factors = factors
    found = model.recalculate_user(np.arange(weights.shape[0]), confidences(weights, alpha))
    return np.asarray(found, np.float32)


def fit_content_map(
    content: Matrix, factors: Matrix, readers: Floats, *, ridge: float, min_readers: int
) -> tuple[Matrix, Matrix]:
    """Return the ridge regression from content vectors to factors: map f32 [d, f], bias f32 [f].

    Taught by articles with at least `min_readers` readers and a vector, each weighing as the
    logarithm of its readers. With no teacher at all the map is zero.

    Args:
        content: reduced embeddings, f32 [m, d]; zero rows have none.
        factors: article factors, f32 [m, f].
        readers: distinct readers, f64 [m].
        ridge: L2 regularisation.
        min_readers: readers needed to teach.
    """
    taught = (readers >= min_readers) & content.any(axis=1)
    shape = (content.shape[1], factors.shape[1])
    if not taught.any() or 0 in shape:
        return np.zeros(shape, np.float32), np.zeros(shape[1], np.float32)
    x, y = content[taught].astype(np.float64), factors[taught].astype(np.float64)
    weight = np.log1p(readers[taught])
    weight /= weight.mean()
    x_mean, y_mean = np.average(x, 0, weight), np.average(y, 0, weight)
    xc, yc = x - x_mean, y - y_mean
    normal = (xc * weight[:, None]).T @ xc + ridge * np.eye(shape[0])
    coefficients = np.linalg.solve(normal, (xc * weight[:, None]).T @ yc)
    bias = y_mean - x_mean @ coefficients
    return coefficients.astype(np.float32), bias.astype(np.float32)


def item_neighbours(
    weights: csr_matrix, limit: int, threads: int = 1
) -> tuple[npt.NDArray[np.int32], Matrix]:
    """Return each article's nearest articles by who read them, best first.

    Cosine of BM25-weighted reader columns (a reader of everything says little). Only positive
    weights count.

    Args:
        weights: users x articles.
        limit: neighbours kept.
        threads: OpenMP threads, as for `fit_als`.

    Returns:
        Indices int32 [articles, limit] (-1 pads) and similarities f32 of the same shape.
    """
    positive = weights.maximum(0).tocsr()
    positive.eliminate_zeros()
    count = positive.shape[1]
    index = np.full((count, limit), -1, np.int32)
    values = np.zeros((count, limit), np.float32)
    if not positive.nnz:
        return index, values
    items = bm25_weight(positive.T.tocsr(), K1=1.2, B=0.5).tocsr()
    norms = np.sqrt(np.asarray(items.multiply(items).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    items.data *= np.repeat(scale, np.diff(items.indptr))
    model = ItemItemRecommender(K=limit + 1, num_threads=threads)  # one of them is itself
    model.fit(items.T.tocsr(), show_progress=False)
    found = model.similarity.tocoo()
    others = found.row != found.col
    rows, columns, scores = found.row[others], found.col[others], found.data[others]
    order = stable_order(rows.astype(np.int64) * count + columns)
    rows, columns, scores = rows[order], columns[order], scores[order]
    sizes = np.bincount(rows, minlength=count)
    places = rows, np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    named, similar = np.full((count, limit + 1), -1, np.int32), np.full((count, limit + 1), -np.inf)
    named[places], similar[places] = columns, scores
    best = np.argsort(-similar, axis=1, kind="stable")[:, :limit]  # equal ones by column
    index[:] = np.take_along_axis(named, best, axis=1)
    values[:] = np.where(index >= 0, np.take_along_axis(similar, best, axis=1), 0.0)
    return index, values


def training_threads() -> int:
    """Return how many threads training may use on this machine."""
    return min(4, os.cpu_count() or 1)
