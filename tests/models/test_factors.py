import numpy as np
import pytest
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from feed.models.factors import (
    confidences,
    fit_als,
    fit_content_map,
    item_neighbours,
)
from feed.models.fold_in import blend_factors, fold_in
from feed.setting_fields import override
from feed.training_config import TrainingConfig

CONFIG = override(TrainingConfig(), {"factors": 16, "iterations": 8})


def make_weights(seed: int = 0, users: int = 80, articles: int = 50) -> csr_matrix:
    rng = np.random.default_rng(seed)
    dense = rng.gamma(1.0, size=(users, articles)) * (rng.random((users, articles)) < 0.15)
    dense *= np.where(rng.random(dense.shape) < 0.1, -1.0, 1.0)
    return csr_matrix(dense)


def checkerboard(size: int = 60) -> csr_matrix:
    """Readers of even number read articles of even number, odd ones odd."""
    rng = np.random.default_rng(4)
    same = (np.arange(size)[:, None] + np.arange(size)) % 2 == 0
    return csr_matrix((same & (rng.random((size, size)) < 0.5)).astype(float))


def plain_implicit(weights: csr_matrix) -> AlternatingLeastSquares:
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=CONFIG.factors,
            regularization=CONFIG.regularization,
            alpha=1.0,
            iterations=CONFIG.iterations,
            num_threads=1,
            random_state=CONFIG.seed,
        )
        model.fit(confidences(weights, CONFIG.alpha), show_progress=False)
    return model


def test_als_is_implicit_at_the_same_parameters():
    weights = make_weights()
    assert np.abs(fit_als(weights, CONFIG) - plain_implicit(weights).item_factors).max() < 1e-6


def test_fold_in_equals_implicit_also_with_negative_weights():
    weights = make_weights()
    model = plain_implicit(weights)
    factors = np.array(model.item_factors)
    with threadpool_limits(1, "blas"):
        expected = model.recalculate_user(
            np.arange(weights.shape[0]), confidences(weights, CONFIG.alpha)
        )
    for user in range(0, weights.shape[0], 7):
        row = weights[user]
        mine = fold_in(
            factors,
            factors.T @ factors,
            row.indices.astype(np.int64),
            row.data,
            regularization=CONFIG.regularization,
            alpha=CONFIG.alpha,
        )
        np.testing.assert_allclose(mine, expected[user], atol=2e-5)


def test_fold_in_is_exact_in_double_precision():
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(30, 8)).astype(np.float32)
    rows, weights = np.array([2, 5, 9]), np.array([1.0, -0.5, 0.2])
    mine = fold_in(factors, factors.T @ factors, rows, weights, regularization=0.1, alpha=4.0)
    y = factors.astype(float)
    c = np.ones(30)
    c[rows] = 1 + 4.0 * np.abs(weights)
    p = np.zeros(30)
    p[[2, 9]] = 1.0
    gram = (factors.T @ factors).astype(float) - y.T @ y + (y * c[:, None]).T @ y
    exact = np.linalg.solve(gram + 0.1 * np.eye(8), (y * (c * p)[:, None]).sum(axis=0))
    np.testing.assert_allclose(mine, exact, atol=1e-6)


def test_an_old_interaction_never_counts_less_than_none():
    tiny = confidences(csr_matrix(np.array([[1e-6, -1e-6, 0.0]])), alpha=10.0)
    assert tiny.nnz == 2
    assert (np.abs(tiny.data) >= 1.0).all()


def test_a_planted_taste_is_found():
    config = override(CONFIG, {"factors": 4, "regularization": 1.0})
    factors = fit_als(checkerboard(), config)
    vector = fold_in(
        factors,
        factors.T @ factors,
        np.array([0, 2, 4]),
        np.ones(3),
        regularization=config.regularization,
        alpha=config.alpha,
    )
    scores = factors @ vector
    unread = np.arange(6, 60)
    best = unread[np.argsort(-scores[unread])[:20]]
    assert (best % 2 == 0).mean() > 0.9


def test_neighbours_of_a_checkerboard_are_of_one_colour():
    index, values = item_neighbours(checkerboard(), 10)
    assert (index % 2 == np.arange(60)[:, None] % 2).mean() > 0.95
    assert (np.diff(values, axis=1) <= 1e-6).all()
    assert not (index == np.arange(60)[:, None]).any()


def test_articles_nobody_read_have_no_factors_and_no_neighbours():
    weights = csr_matrix(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    factors = fit_als(weights, override(CONFIG, {"factors": 2}))
    assert not factors[2].any()
    index, _ = item_neighbours(weights, 2)
    assert index[2].tolist() == [-1, -1]


def test_the_content_map_gives_unread_articles_the_factors_of_their_kind():
    rng = np.random.default_rng(2)
    content = rng.normal(size=(200, 10)).astype(np.float32)
    truth = rng.normal(size=(10, 4)).astype(np.float32)
    factors = content @ truth
    readers = np.r_[np.full(150, 50.0), np.zeros(50)]
    learnt, bias = fit_content_map(content, factors, readers, ridge=0.01, min_readers=5)
    np.testing.assert_allclose(content[150:] @ learnt + bias, factors[150:], atol=0.05)


def test_without_a_teacher_the_content_map_is_zero():
    learnt, bias = fit_content_map(
        np.ones((3, 2), np.float32),
        np.ones((3, 4), np.float32),
        np.zeros(3),
        ridge=1,
        min_readers=5,
    )
    assert not learnt.any()
    assert not bias.any()


@pytest.mark.parametrize(("readers", "own_part"), [(0.0, 0.0), (10.0, 0.5), (990.0, 0.99)])
def test_readers_decide_between_own_and_mapped_factors(readers, own_part):
    own, mapped = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
    blended = blend_factors(own, mapped, np.array([readers]), 10.0)
    assert blended[0, 0] == pytest.approx(own_part)


def test_equations_without_a_single_solution_are_said_to_have_none():
    nothing = np.zeros((4, 4), np.float32)
    with pytest.raises(np.linalg.LinAlgError):
        fold_in(nothing, nothing, np.array([0]), np.ones(1), regularization=0.0, alpha=1.0)
