"""Factors and neighbours of articles from interactions that are spread over many processes.

The readers are spread and the articles are not: a news site has few of them. So each process folds
in its own readers, and sends what they add to the articles' normal equations; no reader's factors
ever leave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from scipy.sparse import csr_matrix, vstack

from feed.arrays import Floats, Matrix
from feed.models.factors import confidences, solve_readers
from feed.training_config import TrainingConfig

Batches = Iterator[pa.RecordBatch]

BLOCK = 512
"""Articles whose equations are solved together."""
_EQUATIONS = "block int, gram binary, normal binary, target binary"
_FACTORS = "block int, factors binary"
_TOTALS = "article int, readers double, touched double, weight double"
_SQUARES = "article int, square double"
_PRODUCTS = "block int, starts binary, others binary, values binary"
_NEAREST = "block int, others binary, similarities binary"


@dataclass(frozen=True, slots=True)
class ArticleTotals:
    """What all readers together did with each article, f64 [articles].

    `readers` with a positive weight, `touched` with any, the `weight` of the positive ones, and
    how many `interactions` there are and how many `people` have one.
    """

    readers: Floats
    touched: Floats
    weight: Floats
    interactions: int
    people: int


def sum_articles(weights: Any, count: int) -> ArticleTotals:
    """Return the totals of articles.

    Args:
        weights: DataFrame of `reader_parts.WEIGHTS`.
        count: how many articles there are.
    """

    def add(batches: Batches) -> Batches:
        for matrix in _matrices(batches, count):
            positive = matrix.maximum(0)
            yield pa.record_batch(
                {
                    "article": np.arange(count, dtype=np.int32),
                    "readers": _column_sums(positive > 0),
                    "touched": _column_sums(abs(matrix) > 0),
                    "weight": _column_sums(positive),
                }
            )

    summed = (
        weights.mapInArrow(add, _TOTALS)
        .groupBy("article")
        .agg(*(F.sum(name).alias(name) for name in ("readers", "touched", "weight")))
    )
    found = summed.toArrow().sort_by("article")
    columns = {n: _whole(found, n, count) for n in ("readers", "touched", "weight")}
    return ArticleTotals(
        **columns, interactions=int(columns["touched"].sum()), people=weights.count()
    )


def fit_factors(
    weights: Any, totals: ArticleTotals, config: TrainingConfig, partitions: int
) -> Matrix:
    """Return article factors, f32 [articles, factors]; articles nobody touched are zero.

    Each sweep solves the equations of Hu, Koren and Volinsky exactly, first the readers', then the
    articles': the objective and the regularisation are those of `models.factors.fit_als`.

    Args:
        weights: DataFrame of `reader_parts.WEIGHTS`.
        totals: of the articles.
        config: factors, regularisation as `scale_to_readers` made it, sweeps, alpha, seed.
        partitions: into how many the articles' equations are dealt.
    """
    count = len(totals.touched)
    if not config.factors or not totals.interactions:
        return np.zeros((count, config.factors), np.float32)
    rng = np.random.default_rng(config.seed)
    factors = (rng.random((count, config.factors), np.float32) * 0.01).astype(np.float32)
    factors[totals.touched == 0] = 0.0
    context = weights.sparkSession.sparkContext
    for _ in range(config.iterations):
        sent = context.broadcast(factors)
        factors = _sweep(weights, sent, config, partitions)
        sent.destroy()
    factors[totals.touched == 0] = 0.0
    return factors


def find_neighbours(
    weights: Any, totals: ArticleTotals, limit: int, partitions: int
) -> tuple[npt.NDArray[np.int32], Matrix]:
    """Return what `models.factors.item_neighbours` returns, to rounding.

    Args:
        weights: DataFrame of `reader_parts.WEIGHTS`.
        totals: of the articles.
        limit: neighbours kept.
        partitions: into how many the articles are dealt.
    """
    count = len(totals.weight)
    index, values = np.full((count, limit), -1, np.int32), np.zeros((count, limit), np.float32)
    if not totals.weight.any():
        return index, values
    squares = weights.mapInArrow(lambda found: _squares(found, totals), _SQUARES)
    summed = squares.groupBy("article").agg(F.sum("square").alias("square")).toArrow()
    norms = np.sqrt(_whole(summed, "square", count))
    products = weights.mapInArrow(lambda found: _products(found, totals, norms), _PRODUCTS)
    nearest = products.repartition(partitions, "block").mapInArrow(
        lambda found: _nearest(found, count, limit), _NEAREST
    )
    for block, others, similarities in nearest.collect():
        rows = np.frombuffer(others, np.int32).reshape(-1, limit)
        part = slice(block * BLOCK, block * BLOCK + len(rows))
        index[part] = rows
        values[part] = np.frombuffer(similarities, np.float32).reshape(-1, limit)
    return index, values


def _sweep(weights: Any, factors: Any, config: TrainingConfig, partitions: int) -> Matrix:
    """Return the articles' factors after one sweep; `factors` are broadcast."""
    count, size = factors.value.shape
    equations = weights.mapInArrow(
        lambda found: _equations(found, factors.value, config), _EQUATIONS
    )
    solved = (
        equations.repartition(partitions, "block")
        .mapInArrow(lambda found: _solve(found, size, config.regularization), _FACTORS)
        .collect()
    )
    new = np.zeros((count, size), np.float32)
    for block, data in solved:
        rows = np.frombuffer(data, np.float32).reshape(-1, size)
        new[block * BLOCK : block * BLOCK + len(rows)] = rows
    return new


def _equations(batches: Batches, factors: Matrix, config: TrainingConfig) -> Batches:
    """Yield what a partition's readers add to the articles' normal equations, block by block.

    The Gram matrix of the readers' factors is part of every article's equations.
    """
    count, size = factors.shape
    upper = np.triu_indices(size)
    gram = np.zeros((size, size))
    normal = np.zeros((count, len(upper[0])), np.float32)
    target = np.zeros((count, size), np.float64)
    for matrix in _matrices(batches, count):
        readers = solve_readers(matrix, factors, config.regularization, config.alpha)
        gram += readers.T.astype(np.float64) @ readers
        columns = confidences(matrix, config.alpha).tocsc()
        target += columns.maximum(0).T @ readers
        strength = np.abs(columns.data) - 1.0
        for article in np.flatnonzero(np.diff(columns.indptr)).tolist():
            some = slice(columns.indptr[article], columns.indptr[article + 1])
            x = readers[columns.indices[some]]
            normal[article] += (x.T @ (x * strength[some, None]))[upper]
    for block, start in enumerate(range(0, count, BLOCK)):
        part = slice(start, start + BLOCK)
        yield pa.record_batch(
            {
                "block": pa.array([block], pa.int32()),
                "gram": [gram.tobytes()],
                "normal": [normal[part].tobytes()],
                "target": [target[part].tobytes()],
            }
        )


def _solve(batches: Batches, size: int, regularization: float) -> Batches:
    """Yield the factors of blocks of articles, of whose equations every part is here."""
    sums: dict[int, list[Floats]] = {}
    kinds = (np.float64, np.float32, np.float64)
    for batch in batches:
        block, *parts = (batch.column(n) for n in range(4))
        for place, number in enumerate(block.to_pylist()):
            found = [
                np.frombuffer(part[place].as_py(), kind).astype(np.float64)
                for part, kind in zip(parts, kinds, strict=True)
            ]
            held = sums.get(number)
            sums[number] = (
                found if held is None else [a + b for a, b in zip(held, found, strict=True)]
            )
    upper = np.triu_indices(size)
    for number, (gram, normal, target) in sums.items():
        shared = gram.reshape(size, size) + regularization * np.eye(size)
        targets = target.reshape(-1, size)
        triangles = normal.reshape(len(targets), -1)
        solved = np.empty(targets.shape, np.float32)
        for row, (triangle, right) in enumerate(zip(triangles, targets, strict=True)):
            own = np.zeros((size, size))
            own[upper] = triangle
            own += np.triu(own, 1).T
            solved[row] = np.linalg.solve(shared + own, right)
        yield pa.record_batch(
            {"block": pa.array([number], pa.int32()), "factors": [solved.tobytes()]}
        )


def _squares(batches: Batches, totals: ArticleTotals) -> Batches:
    """Yield the sums of squares of articles' columns of a partition."""
    count = len(totals.weight)
    for matrix in _matrices(batches, count):
        square = _column_sums(_rarity_weighted(matrix, totals).power(2))
        yield pa.record_batch({"article": np.arange(count, dtype=np.int32), "square": square})


def _products(batches: Batches, totals: ArticleTotals, norms: Floats) -> Batches:
    """Yield the dot products of articles' unit columns over a partition's readers, by blocks."""
    found = [_rarity_weighted(m, totals) for m in _matrices(batches, len(norms))]
    if not found:
        return
    unit = csr_matrix(vstack(found))
    unit.data *= np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)[unit.indices]
    articles = csr_matrix(unit.T)
    for block, start in enumerate(range(0, len(norms), BLOCK)):
        product = csr_matrix(articles[start : start + BLOCK] @ unit)
        if product.nnz:
            parts = product.indptr, product.indices, product.data
            kinds = np.int64, np.int32, np.float64
            data = [part.astype(kind).tobytes() for part, kind in zip(parts, kinds, strict=True)]
            yield pa.record_batch(
                {
                    "block": pa.array([block], pa.int32()),
                    "starts": [data[0]],
                    "others": [data[1]],
                    "values": [data[2]],
                }
            )


def _nearest(batches: Batches, count: int, limit: int) -> Batches:
    """Yield the nearest articles of those of each block, best first, as `find_neighbours` does."""
    sums: dict[int, csr_matrix] = {}
    for batch in batches:
        for row in pa.Table.from_batches([batch]).to_pylist():
            starts = np.frombuffer(row["starts"], np.int64)
            others, values = np.frombuffer(row["others"], np.int32), np.frombuffer(row["values"])
            part = csr_matrix((values, others, starts), shape=(len(starts) - 1, count))
            held = sums.get(row["block"])
            sums[row["block"]] = part if held is None else csr_matrix(held + part)
    for block, product in sums.items():
        index = np.full((product.shape[0], limit), -1, np.int32)
        nearest = np.zeros((product.shape[0], limit), np.float32)
        for row in range(product.shape[0]):
            own = slice(product.indptr[row], product.indptr[row + 1])
            columns, similarities = product.indices[own], product.data[own]
            other = columns != block * BLOCK + row
            columns, similarities = columns[other], similarities[other]
            order = np.lexsort((columns, -similarities))[:limit]
            index[row, : len(order)] = columns[order]
            nearest[row, : len(order)] = similarities[order]
        yield pa.record_batch(
            {
                "block": pa.array([block], pa.int32()),
                "others": [index.tobytes()],
                "similarities": [nearest.tobytes()],
            }
        )


def _rarity_weighted(matrix: csr_matrix, totals: ArticleTotals) -> csr_matrix:
    """Return the positive weights of readers x articles, weighted by BM25.

    Source: implicit's `bm25_weight` of the transposed matrix.
    """
    k1, b = 1.2, 0.5
    length = (1.0 - b) + b * totals.weight / totals.weight.mean()
    positive = matrix.maximum(0).tocsr()
    positive.eliminate_zeros()
    degrees = np.diff(positive.indptr)
    rarity = np.repeat(np.log(float(len(length))) - np.log1p(degrees), degrees)
    data = positive.data
    positive.data = data * (k1 + 1.0) / (k1 * length[positive.indices] + data) * rarity
    return positive


def _matrices(batches: Batches, count: int) -> Iterator[csr_matrix]:
    """Yield the rows of batches of `reader_parts.WEIGHTS` as matrices, readers x articles."""
    for batch in batches:
        if not batch.num_rows:
            continue
        articles, weights = batch.column("articles"), batch.column("weights")
        sizes = pc.list_value_length(articles).to_numpy(zero_copy_only=False)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        values, columns = weights.flatten().to_numpy(), articles.flatten().to_numpy()
        yield csr_matrix((values, columns, starts), shape=(batch.num_rows, count))


def _column_sums(matrix: csr_matrix) -> Floats:
    return np.asarray(matrix.sum(axis=0), np.float64).ravel()


def _whole(found: pa.Table, name: str, count: int) -> Floats:
    sums = np.zeros(count)
    sums[found["article"].to_numpy()] = found[name].to_numpy()
    return sums
