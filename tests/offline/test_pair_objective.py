"""The loss of pairs: its derivatives, its weights, and that trees learn an order from it."""

import lightgbm
import numpy as np
import pytest

from feed.offline.pair_objective import LONG_LISTS, PairObjective

CLICKED = np.array([True, False, False, False, True, True, False])
SIZES = np.array([3, 4])


def loss(scores, clicked=CLICKED, sizes=SIZES):
    """Return the loss by its definition, pair by pair."""
    ends, pairs = np.cumsum(sizes), []
    for start, end in zip(ends - sizes, ends, strict=True):
        inside = range(start, end)
        mine = [(a, b) for a in inside if clicked[a] for b in inside if not clicked[b]]
        pairs += [(a, b, len(mine) ** -LONG_LISTS) for a, b in mine]
    mean = np.mean([weight for *_, weight in pairs])
    return sum(w / mean * np.log1p(np.exp(scores[b] - scores[a])) for a, b, w in pairs)


def test_derivatives_are_those_of_the_loss_by_finite_differences():
    scores = np.random.default_rng(3).normal(size=len(CLICKED))
    gradient, curvature = PairObjective(CLICKED, SIZES)(scores, None)
    step = 1e-4
    for place in range(len(scores)):
        moved = np.eye(len(scores))[place] * step
        up, down, here = loss(scores + moved), loss(scores - moved), loss(scores)
        assert gradient[place] == pytest.approx((up - down) / (2 * step), abs=1e-6)
        assert curvature[place] == pytest.approx((up + down - 2 * here) / step**2, abs=1e-4)


def test_lists_without_a_choice_teach_nothing():
    objective = PairObjective(np.array([True, True, False, False]), np.array([2, 2]))
    gradient, curvature = objective(np.zeros(4), None)
    assert not gradient.any()
    assert not curvature.any()


def test_trees_learn_the_order_within_lists_whatever_their_level():
    rng = np.random.default_rng(0)
    sizes = np.full(400, 5)
    level, worth = np.repeat(rng.normal(size=400) * 10.0, 5), rng.normal(size=2000)
    best = worth.reshape(400, 5).argmax(axis=1)
    clicked = (np.arange(5) == best[:, None]).ravel()
    data = lightgbm.Dataset(np.stack([worth, level], axis=1), clicked.astype(float))
    parameters = {"objective": PairObjective(clicked, sizes), "verbose": -1, "num_threads": 1}
    scores = lightgbm.train(parameters, data, 60).predict(np.stack([worth, level], axis=1))
    found = scores.reshape(400, 5).argmax(axis=1)
    assert np.mean(found == best) > 0.9


def test_a_pair_counts_as_much_as_its_unclicked_entry():
    weights = np.array([9.0, 0.5, 0.0, 1.0, 9.0, 9.0, 2.0])
    scores = np.random.default_rng(4).normal(size=len(CLICKED))
    whole, _ = PairObjective(CLICKED, SIZES, weights)(scores, None)
    assert whole[2] == 0
    parts = [
        PairObjective(CLICKED, SIZES, np.where(np.arange(len(CLICKED)) == place, weight, 0.0))
        for place, weight in enumerate(weights.tolist())
        if not CLICKED[place]
    ]
    np.testing.assert_allclose(sum(part(scores, None)[0] for part in parts), whole)
