"""Learning begins at the day-one weights, and ends there where the clicks teach nothing more."""

from __future__ import annotations

import numpy as np
import pytest

from feed.models.ranker import LightGBMRanker, LinearRanker, logistic
from feed.models.schema import FEATURES, feature_index
from feed.offline.examples import Examples
from feed.offline.ranker_training import (
    FEW_LISTS,
    FEW_LISTS_LEAVES,
    SLATE_ONLY,
    SOME_LISTS,
    boosting_parameters,
    fit_ranker,
    fit_scale,
    fit_start,
)
from feed.training_config import TrainingConfig

SIZE = 10
CONFIG = TrainingConfig(ranker_trees=40, ranker_min_impressions=50)


def draw_lists(count: int, *, taste: float, hidden: float, seed: int = 0) -> Examples:
    """Return lists with one click each, drawn by the day-one margin and by the hour.

    Args:
        count: lists of `SIZE` articles.
        taste: how far readers choose by the day-one weights.
        hidden: how far they choose by a feature to which the day-one weights are blind.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count * SIZE, len(FEATURES))).astype(np.float32)
    odds = (
        taste * LinearRanker().margin(features) + hidden * features[:, feature_index()["readers"]]
    )
    odds = odds.reshape(count, SIZE) + rng.gumbel(size=(count, SIZE))
    clicked = np.zeros((count, SIZE), bool)
    clicked[np.arange(count), odds.argmax(axis=1)] = True
    return Examples(features, clicked.ravel(), np.full(count, SIZE))


def draw_tangled_lists(count: int) -> Examples:
    """Return lists whose readers choose by how two features stand to each other."""
    lists = draw_lists(count, taste=0.0, hidden=0.0)
    columns = [feature_index()[name] for name in ("readers", "hour")]
    odds = 4.0 * (lists.features[:, columns].prod(axis=1) > 0)
    odds = odds.reshape(count, SIZE) + np.random.default_rng(2).gumbel(size=(count, SIZE))
    clicked = np.arange(SIZE) == odds.argmax(axis=1)[:, None]
    return Examples(lists.features, clicked.ravel(), lists.sizes)


def share_first(margin: np.ndarray, lists: Examples) -> float:
    """Return in how many lists the clicked article comes first."""
    best = margin.reshape(-1, SIZE).argmax(axis=1)
    return float((best == lists.clicked.reshape(-1, SIZE).argmax(axis=1)).mean())


def test_the_scale_is_that_of_the_logistic_regression():
    rng = np.random.default_rng(1)
    margin = rng.normal(-6.0, 2.0, size=200_000)
    clicked = rng.random(len(margin)) < logistic(0.4 * margin - 0.5)
    slope, intercept = fit_scale(margin, clicked)
    assert slope == pytest.approx(0.4, abs=0.02)
    assert intercept == pytest.approx(-0.5, abs=0.1)


def test_the_scale_never_turns_the_order_round_and_never_grows_without_end():
    margin, clicked = np.arange(6.0), np.arange(6) > 2
    forwards, _ = fit_scale(margin, clicked)
    backwards, _ = fit_scale(-margin, clicked)
    assert 0 < backwards < 0.01 < forwards < 10
    assert fit_scale(np.ones(6), clicked) == (1.0, 0.0)


def test_the_scale_is_found_where_clicks_lie_far_from_the_rest():
    rng = np.random.default_rng(0)
    clicked = rng.random(5000) < 0.06
    margin = np.where(clicked, rng.normal(-0.5, 1.5, 5000), rng.normal(-6.0, 0.4, 5000))
    slope, intercept = fit_scale(margin, clicked)
    chance = logistic(slope * margin + intercept)
    assert 0 < slope < 50
    assert chance.sum() == pytest.approx(clicked.sum(), rel=0.02)


def test_what_weighs_nothing_teaches_the_scale_nothing():
    rng = np.random.default_rng(1)
    margin = rng.normal(size=600)
    clicked = rng.random(600) < logistic(margin - 1.0)
    weights = (np.arange(600) < 400).astype(float)
    assert fit_scale(margin, clicked, weights) == pytest.approx(
        fit_scale(margin[:400], clicked[:400]), abs=0.5
    )


@pytest.mark.parametrize("head", ["pool", "slate"])
@pytest.mark.parametrize("count", [200, 1000])
def test_where_the_weights_of_day_one_are_right_nothing_worse_is_learnt(head, count):
    later = draw_lists(4000, taste=1.0, hidden=0.0, seed=9)
    day_one = share_first(LinearRanker().margin(later.features), later)
    reached = []
    for seed in range(6):
        ranker = fit_ranker(draw_lists(count, taste=1.0, hidden=0.0, seed=seed), head, CONFIG)
        chosen = LinearRanker() if ranker is None else ranker
        reached.append(share_first(chosen.margin(later.features), later))
    assert np.mean(reached) > day_one - 0.01
    assert min(reached) > day_one - 0.03


@pytest.mark.parametrize("head", ["pool", "slate"])
def test_the_trees_learn_what_the_weights_of_day_one_do_not_know(head):
    lists = draw_lists(1500, taste=1.0, hidden=2.0)
    later = draw_lists(1000, taste=1.0, hidden=2.0, seed=9)
    ranker = fit_ranker(lists, head, CONFIG)
    assert ranker is not None
    day_one = share_first(LinearRanker().margin(later.features), later)
    assert share_first(ranker.margin(later.features), later) > day_one + 0.05


def test_a_ranker_is_the_scaled_weights_and_what_its_trees_add():
    lists = draw_lists(800, taste=1.0, hidden=2.0)
    ranker = fit_ranker(lists, "pool", CONFIG)
    assert ranker is not None
    assert ranker.start is not None
    start = fit_start(lists)
    day_one = LinearRanker().margin(lists.features)
    np.testing.assert_array_equal(ranker.start.weights, start.weights)
    slope = np.polyfit(day_one, start.margin(lists.features), 1)[0]
    assert slope > 0
    order = np.corrcoef(day_one, start.margin(lists.features))[0, 1]
    assert order == pytest.approx(1.0, abs=1e-9)


def test_where_the_newest_lists_say_no_there_is_no_ranker():
    """What the earlier lists teach is turned round in the newest fifth."""
    lists = draw_lists(500, taste=1.0, hidden=3.0)
    turned = draw_lists(125, taste=1.0, hidden=-3.0, seed=4)
    both = Examples(
        np.concatenate([lists.features, turned.features]),
        np.concatenate([lists.clicked, turned.clicked]),
        np.concatenate([lists.sizes, turned.sizes]),
    )
    assert fit_ranker(lists, "pool", CONFIG) is not None
    assert fit_ranker(both, "pool", CONFIG) is None


def test_fewer_lists_than_asked_for_teach_nothing():
    lists = draw_lists(49, taste=1.0, hidden=3.0)
    assert fit_ranker(lists, "pool", CONFIG) is None


def most_leaves(ranker: LightGBMRanker) -> int:
    lines = ranker.text.splitlines()
    return max(int(line.split("=")[1]) for line in lines if line.startswith("num_leaves="))


def test_few_lists_grow_small_trees_and_many_the_trees_that_are_set():
    few = fit_ranker(draw_lists(600, taste=1.0, hidden=2.0), "pool", CONFIG)
    many = fit_ranker(draw_lists(FEW_LISTS, taste=1.0, hidden=2.0), "pool", CONFIG)
    assert few is not None
    assert many is not None
    assert most_leaves(few) <= FEW_LISTS_LEAVES < most_leaves(many)
    assert many.trees == CONFIG.ranker_trees


def test_many_lists_teach_the_slate_s_ranker_more_trees_in_smaller_steps():
    few, many = (boosting_parameters("slate", n, CONFIG) for n in (FEW_LISTS - 1, FEW_LISTS))
    assert few["num_iterations"] == CONFIG.ranker_trees < many["num_iterations"]
    assert few["learning_rate"] == CONFIG.ranker_learning_rate > many["learning_rate"]
    pool = boosting_parameters("pool", FEW_LISTS, CONFIG)
    assert pool | {"objective": "lambdarank"} == few


def test_what_orders_only_slates_better_is_left_to_the_slate_s_trees():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(6000, len(FEATURES))).astype(np.float32)
    columns = [feature_index()[name] for name in SLATE_ONLY]
    odds = (3.0 * features[:, columns].sum(axis=1)).reshape(-1, SIZE)
    clicked = (odds.argmax(axis=1)[:, None] == np.arange(SIZE)).ravel()
    lists = Examples(features, clicked, np.full(600, SIZE))
    slate, pool = (fit_ranker(lists, head, CONFIG) for head in ("slate", "pool"))
    assert slate is not None
    assert set(list(slate.importance())[:2]) == set(SLATE_ONLY)
    assert pool is None or not set(SLATE_ONLY) & set(pool.importance())


@pytest.mark.parametrize("head", ["pool", "slate"])
def test_in_between_the_newest_lists_decide_whether_trees_are_large(head):
    plain = fit_ranker(draw_lists(SOME_LISTS, taste=1.0, hidden=2.0), head, CONFIG)
    tangled = fit_ranker(draw_tangled_lists(SOME_LISTS), head, CONFIG)
    assert plain is not None
    assert tangled is not None
    assert most_leaves(plain) <= FEW_LISTS_LEAVES
    assert plain.start is not None
    assert most_leaves(tangled) > FEW_LISTS_LEAVES
    assert tangled.start is None
