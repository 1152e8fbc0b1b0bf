#!/usr/bin/env python3
"""Compares factors fitted on Spark with implicit's: the objective, and the next read's nDCG@10.

Three fits of the same matrix with the same weights, alpha, regularisation, factors and sweeps:
implicit's, the sweeps of `feed retrain --engine spark`, and MLlib's ALS (implicitPrefs). The loss
is implicit's own, with the readers' factors solved exactly, because only the articles' are kept.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from implicit.cpu._als import calculate_loss
from py4j.protocol import Py4JJavaError
from pyspark.ml.recommendation import ALS
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from feed.arrays import Matrix
from feed.models.factors import confidences, fit_als, scale_regularization, solve_readers
from feed.offline.ranking_metrics import MeanEstimate
from feed.offline.spark.reader_parts import WEIGHTS
from feed.offline.spark.spark_factors import fit_factors, sum_articles
from feed.offline.spark.spark_session import spark_session, tasks_of
from feed.training_config import TrainingConfig
from lab.ablation.collaborative import factor_scorer, measure_next, next_read, weights_of
from lab.ablation.data import Reads, read_globo, read_movielens

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
IMPLICIT, OURS, MLLIB = "implicit", "sweeps on Spark", "MLlib"


@dataclass(frozen=True, slots=True)
class Fit:
    """One engine's factors: implicit's loss, and nDCG@10 of the next read; None if it failed."""

    engine: str
    loss: float | None
    ndcg: MeanEstimate | None


@click.command()
@click.option("--globo", type=_FOLDER, help="Globo.com reads.")
@click.option("--movielens", type=_FOLDER, help="MovieLens 100k.")
@click.option("--master", default="local[*]", show_default=True)
def on_spark(globo: Path | None, movielens: Path | None, master: str) -> None:
    """Print loss and nDCG@10 of each engine on each data set."""
    table = Table("data", "engine", "loss over implicit's", "nDCG@10", "95 % interval")
    with (
        tempfile.TemporaryDirectory(prefix="feed-spark-") as scratch,
        spark_session(master, Path(scratch)) as session,
    ):
        for name, folder, read in (
            ("globo", globo, read_globo),
            ("ml-100k", movielens, read_movielens),
        ):
            if folder is None:
                continue
            fits = compare(session, read(folder), TrainingConfig())
            for fit in fits:
                if fit.ndcg is None or fit.loss is None or fits[0].loss is None:
                    table.add_row(name, fit.engine, "fails: equations are singular", "", "")
                    continue
                interval = f"{fit.ndcg.low:.4f} to {fit.ndcg.high:.4f}"
                ratio = f"{fit.loss / fits[0].loss:.4f}"
                table.add_row(name, fit.engine, ratio, f"{fit.ndcg.mean:.4f}", interval)
    Console().print(table)


def compare(
    session: Any, reads: Reads, config: TrainingConfig, *, with_mllib: bool = True
) -> list[Fit]:
    """Return what each engine makes of reads, implicit first."""
    train, users, wanted = next_read(reads, config.seed)
    known = weights_of(train)
    config = scale_regularization(known, config)
    fits: dict[str, Matrix | None] = {
        IMPLICIT: fit_als(known, config),
        OURS: fit_here(session, known, config),
    }
    if with_mllib:
        fits[MLLIB] = fit_mllib(session, known, config)
    found = []
    for engine, factors in fits.items():
        if factors is None:
            found.append(Fit(engine, None, None))
        else:
            scorer = factor_scorer(factors, config)
            ndcg = measure_next(known, users, wanted, scorer)
            found.append(Fit(engine, loss(known, factors, config), ndcg))
    return found


def fit_here(session: Any, weights: csr_matrix, config: TrainingConfig) -> Matrix:
    """Return the factors that a training on Spark fits."""
    frame = weights_frame(session, weights).persist()
    totals = sum_articles(frame, weights.shape[1])
    found = fit_factors(frame, totals, config, tasks_of(session))
    frame.unpersist()
    return found


def fit_mllib(session: Any, weights: csr_matrix, config: TrainingConfig) -> Matrix | None:
    """Return the factors of MLlib's ALS with the same parameters, f32 [articles, factors].

    None where its equations have no single solution: it multiplies the regularisation by the number
    of an article's positive weights, so one that was only disliked has none.
    """
    entries = weights.tocoo()
    ratings = session.createDataFrame(
        pa.table(
            {
                "user": entries.row.astype(np.int32),
                "item": entries.col.astype(np.int32),
                "rating": entries.data.astype(np.float32),
            }
        )
    )
    als = ALS(
        rank=config.factors,
        maxIter=config.iterations,
        regParam=config.regularization,
        alpha=config.alpha,
        implicitPrefs=True,
        seed=config.seed,
    )
    found = np.zeros((weights.shape[1], config.factors), np.float32)
    session.sparkContext.setLogLevel("OFF")  # a failure is a row of the table
    try:
        rows = als.fit(ratings).itemFactors.collect()
    except Py4JJavaError as error:
        if "SingularMatrixException" not in str(error.java_exception):
            raise
        return None
    finally:
        session.sparkContext.setLogLevel("ERROR")
    for row in rows:
        found[row["id"]] = row["features"]
    return found


def loss(weights: csr_matrix, factors: Matrix, config: TrainingConfig) -> float:
    """Return implicit's loss of articles' factors and the readers' that fit them best."""
    read = weights[np.diff(weights.indptr) > 0]
    readers = solve_readers(read, factors, config.regularization, config.alpha)
    matrix = confidences(read, config.alpha)
    return float(calculate_loss(matrix, readers, factors, config.regularization))


def weights_frame(session: Any, weights: csr_matrix) -> Any:
    """Return a matrix as a DataFrame of `reader_parts.WEIGHTS`, dealt out among the partitions."""
    read = weights[np.diff(weights.indptr) > 0]
    starts = read.indptr.astype(np.int32)
    table = pa.table(
        {
            "articles": pa.ListArray.from_arrays(starts, read.indices.astype(np.int32)),
            "weights": pa.ListArray.from_arrays(starts, read.data.astype(np.float64)),
        }
    )
    return session.createDataFrame(table, WEIGHTS).repartition(tasks_of(session))


if __name__ == "__main__":
    on_spark()
