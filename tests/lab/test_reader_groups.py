"""Clicks of readers like a new one, shrunk to those of all."""

import numpy as np
import pytest
from lab.ablation.reader_groups import Grouping, estimate_strength, lift

ARTICLES = 4_000
SHARE = 0.3


def draw(shape, seed=0):
    """Return clicks of a group and what is expected of it, its rates being Gamma(shape)."""
    rng = np.random.default_rng(seed)
    expected = rng.gamma(2.0, 15.0, ARTICLES)
    rates = np.ones(ARTICLES) if np.isinf(shape) else rng.gamma(shape, 1 / shape, ARTICLES)
    everybody = rng.poisson(expected / SHARE)
    chance = np.minimum(SHARE * rates, 1.0)
    return rng.binomial(everybody, chance).astype(float), SHARE * everybody


@pytest.mark.parametrize("shape", [5.0, 20.0, 80.0])
def test_how_much_groups_differ_is_found_from_their_clicks(shape):
    clicks, expected = draw(shape)
    assert estimate_strength(clicks, expected, SHARE) == pytest.approx(shape, rel=0.25)


def test_a_group_that_is_like_the_site_is_shrunk_to_it():
    strengths = [estimate_strength(*draw(np.inf, seed), SHARE) for seed in range(20)]
    assert np.median(strengths) > 1_000
    clicks, expected = draw(np.inf)
    assert (
        np.abs(lift(clicks, expected, estimate_strength(clicks, expected, SHARE)) - 1).max() < 0.1
    )
    assert lift(clicks, expected, np.inf).tolist() == [1.0] * ARTICLES


def test_the_less_a_group_has_clicked_the_nearer_it_is_to_the_site():
    clicks, expected = np.array([0.0, 2.0, 200.0]), np.array([0.0, 1.0, 100.0])
    found = lift(clicks, expected, 10.0)
    assert found[0] == 1.0
    assert 1.0 < found[1] < found[2] < 2.0


def test_a_reader_counts_for_the_group_of_their_last_list():
    grouping = Grouping(np.array([0, 1, 0]))
    one = np.array([0]), np.array([5]), np.array([100.0])
    grouping.count(*one)
    assert not grouping.tables  # nobody has been seen yet
    grouping.see(1, 0)
    grouping.count(*one)
    assert list(grouping.tables) == [1]
    rows = np.array([5, 6])
    assert grouping.lifts(1, rows, 100.0)["3 clicks"].tolist() == [1.0, 1.0]
    grouping.see(0, 3)
    grouping.count(np.array([3]), np.array([6]), np.array([100.0]))
    mine = grouping.lifts(1, rows, 100.0)["3 clicks"]
    assert mine[0] > 1 > mine[1]
