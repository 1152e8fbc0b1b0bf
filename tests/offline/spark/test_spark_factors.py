"""Factors and neighbours from Spark against those of implicit, on published data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import random as random_matrix

from feed.models.factors import item_neighbours, scale_regularization
from feed.training_config import TrainingConfig

pytest.importorskip("pyspark", reason="PySpark, the extra spark, is not installed")

from lab.ablation.data import Reads, read_globo, read_movielens
from lab.ablation.on_spark import compare, fit_here, weights_frame

from feed.offline.spark import spark_factors

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")

DATA = Path(os.environ.get("FEED_DATASETS", Path(__file__).parents[4] / "shared" / "data"))
CONFIG = TrainingConfig(factors=16, iterations=8)


def read_part_of_globo(folder: Path) -> Reads:
    reads = read_globo(folder)
    return reads.part(reads.users % 8 == 0)


@pytest.mark.dataset
@pytest.mark.parametrize(
    ("name", "read"), [("ml-100k", read_movielens), ("globo", read_part_of_globo)]
)
def test_the_factors_reach_the_objective_and_the_order_of_implicit(spark, name, read):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not here; FEED_DATASETS names the directory of data sets")
    implicit, ours = compare(spark, read(DATA / name), CONFIG, with_mllib=False)
    assert ours.loss <= 1.01 * implicit.loss
    assert implicit.ndcg.low <= ours.ndcg.mean <= implicit.ndcg.high


def test_neighbours_are_those_of_the_local_training(spark, monkeypatch):
    weights = random_matrix(300, 40, 0.15, format="csr", rng=np.random.default_rng(1))
    weights.data[::9] *= -1.0
    frame = weights_frame(spark, weights).persist()
    totals = spark_factors.sum_articles(frame, 40)
    index, values = spark_factors.find_neighbours(frame, totals, 5, 3)
    expected_index, expected_values = item_neighbours(weights, 5)
    np.testing.assert_allclose(values, expected_values, rtol=1e-5)
    np.testing.assert_array_equal(index, expected_index)
    frame.unpersist()


def test_articles_that_nobody_touched_have_no_factors_and_no_readers(spark):
    weights = random_matrix(50, 12, 0.3, format="csr", rng=np.random.default_rng(2)).tolil()
    weights[:, 3] = 0.0
    weights = weights.tocsr()
    weights.eliminate_zeros()
    config = replace(scale_regularization(weights, CONFIG), factors=3, iterations=2)
    factors = fit_here(spark, weights, config)
    assert factors.shape == (12, 3)
    assert not factors[3].any()
    assert np.delete(factors, 3, axis=0).any(axis=1).all()
    assert fit_here(spark, weights, replace(config, factors=0)).shape == (12, 0)
