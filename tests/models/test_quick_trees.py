import lightgbm
import numba
import numpy as np
import pytest
from structlog.testing import capture_logs

from feed.models import quick_trees as quick_trees_module
from feed.models.quick_trees import quick_trees, read_trees
from feed.models.ranker import LightGBMRanker
from feed.models.schema import FEATURES
from feed.models.tree_loop import add_up, compiled_loop

COLUMNS = 12
OFTEN_UNKNOWN = slice(0, 6)
"""In training NaN comes in these columns alone; in the others LightGBM takes it for zero."""


def make_examples(seed, count=3000):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    features[:, 3] = np.round(features[:, 3])
    features[:, 7] = rng.random(count) < 0.3
    signal = features[:, 0] * features[:, 7] + np.abs(features[:, 8]) + features[:, 3]
    holes = rng.random((count, COLUMNS)) < 0.3
    holes[:, OFTEN_UNKNOWN.stop :] = False
    features[holes] = np.nan
    signal += np.where(np.isnan(features[:, 2]), 2.0, -features[:, 4])
    return features, (np.nan_to_num(signal) + rng.normal(size=count) > 1.0).astype(float)


def train(seed=0, rounds=20, categories="auto", **more):
    features, labels = make_examples(seed)
    settings = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
    dataset = lightgbm.Dataset(
        features, labels, categorical_feature=categories, free_raw_data=False
    )
    return lightgbm.train(settings | {"seed": seed} | more, dataset, rounds)


def hard_rows(text, seed=9, count=200):
    """Rows of usual values, of thresholds themselves, of zeros, infinities and NaN everywhere."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    trees = read_trees(text)
    for column in range(COLUMNS):
        thresholds = trees.thresholds[trees.columns == column]
        if thresholds.size:
            of = rng.random(count) < 0.4
            steps = rng.choice([-np.inf, np.inf, 0.0], of.sum()).astype(np.float32)
            near = rng.choice(thresholds, of.sum())
            rows[of, column] = np.where(steps == 0, near, np.nextafter(near, steps))
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38], np.float32)
    at = rng.random(rows.shape) < 0.3
    rows[at] = rng.choice(odd, at.sum())
    return rows


def margins_of(booster, rows):
    return booster.predict(rows, raw_score=True, num_threads=1)


def summed_by(loop, trees, rows):
    """Return what a loop makes of the tables of some trees."""
    return loop(
        np.ascontiguousarray(rows.T),
        trees.starts,
        trees.columns,
        trees.thresholds,
        trees.unknown_right,
        trees.stay,
        trees.values,
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("leaves", [2, 7, 31, 64])
def test_the_sum_is_lightgbms_to_the_last_bit(seed, leaves):
    booster = train(seed, num_leaves=leaves)
    text = booster.model_to_string()
    rows = hard_rows(text, seed)
    np.testing.assert_array_equal(quick_trees(text).margin(rows), margins_of(booster, rows))


def test_without_compiling_the_loop_says_the_same():
    booster = train(num_leaves=64, rounds=5)
    trees = read_trees(booster.model_to_string())
    rows = hard_rows(booster.model_to_string(), count=40)
    with np.errstate(over="ignore"):  # numbers that go round are meant here
        total = summed_by(add_up, trees, rows)
    np.testing.assert_array_equal(total, margins_of(booster, rows))


def test_unknown_values_go_both_ways_in_training_and_in_the_tables():
    trees = read_trees(train().model_to_string())
    learnt = trees.columns < OFTEN_UNKNOWN.stop
    assert trees.unknown_right[learnt].any()
    assert not trees.unknown_right[learnt].all()
    as_zero = trees.thresholds[~learnt] < 0
    np.testing.assert_array_equal(trees.unknown_right[~learnt], as_zero)


def test_trees_that_could_not_split_add_their_value():
    booster = train(rounds=3, min_data_in_leaf=10_000)
    rows = hard_rows(booster.model_to_string(), count=5)
    trees = quick_trees(booster.model_to_string())
    np.testing.assert_array_equal(trees.margin(rows), margins_of(booster, rows))


def test_no_rows_have_no_margins():
    assert quick_trees(train().model_to_string()).margin(np.zeros((0, COLUMNS), "f4")).shape == (0,)


@pytest.mark.parametrize(
    "more",
    [
        {"num_leaves": 100, "min_data_in_leaf": 2},
        {"categories": [7]},
        {"linear_tree": True},
        {"zero_as_missing": True},
        {"objective": "multiclass", "num_class": 2},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_the_loop_does_not_know_is_left_to_lightgbm(more):
    assert read_trees(train(**more).model_to_string()) is None


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2000, len(FEATURES))).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 3] > 0).astype(float)
    names = [feature.name for feature in FEATURES]
    settings = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1}
    dataset = lightgbm.Dataset(rows, labels, feature_name=names)
    return lightgbm.train(settings, dataset, 20).model_to_string()


def test_the_ranker_says_the_same_with_and_without_numba(text, monkeypatch):
    rows = np.random.default_rng(2).normal(size=(120, len(FEATURES))).astype(np.float32)
    rows[::3, ::2] = np.nan
    neutral = np.zeros(len(FEATURES), np.float32)
    families = (("content",), ("popularity", "trend"))
    quick = LightGBMRanker(text, neutral)
    monkeypatch.setattr(quick_trees_module, "find_spec", {}.get)
    assert quick_trees(text) is None
    plain = LightGBMRanker(text, neutral)
    margin = plain.margin(rows)
    np.testing.assert_array_equal(quick.margin(rows), margin)
    np.testing.assert_array_equal(
        quick.contributions(rows, margin, families), plain.contributions(rows, margin, families)
    )


def test_where_no_code_can_be_kept_the_loop_is_compiled_for_this_process(monkeypatch):
    njit, asked = numba.njit, []

    def without_a_place(signature, **options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(signature, **options)

    monkeypatch.setattr(numba, "njit", without_a_place)
    loop = compiled_loop.__wrapped__()
    assert len(asked) == 2
    booster = train(rounds=2)
    trees = read_trees(booster.model_to_string())
    rows = hard_rows(booster.model_to_string(), count=10)
    total = summed_by(loop, trees, rows)
    np.testing.assert_array_equal(total, margins_of(booster, rows))


def test_where_numba_does_not_work_lightgbm_adds_up(monkeypatch):
    def refuse():
        raise ImportError("Numba needs another NumPy")

    monkeypatch.setattr(quick_trees_module, "compiled_loop", refuse)
    with capture_logs() as logs:
        assert quick_trees(train(rounds=2).model_to_string()) is None
    assert logs[0]["reason"] == "Numba needs another NumPy"
