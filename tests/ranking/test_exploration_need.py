from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from feed.config import RankingConfig
from feed.features.counters import Counters
from feed.features.ids import IdMap
from feed.ranking.exploration_need import exploration_need
from feed.ranking.pipeline import recommend
from tests.ranking.conftest import NOW
from tests.support.counted import count_click


def counted(shown, clicked) -> Counters:
    """Counters of articles that were shown and clicked just now so many times."""
    counters = Counters(IdMap(f"a{row}" for row in range(len(shown))))
    rows, now = np.arange(len(shown)), np.full(len(shown), NOW)
    counters.add_impressions(rows, now, np.array(shown, np.float64))
    counters.add_clicks(rows, now, np.array(clicked, np.float64), from_feed=True)
    return counters


def need_of(shown, clicked, count=None):
    rows = np.arange(len(shown) if count is None else count)
    return exploration_need(counted(shown, clicked), rows, NOW)


def test_it_is_the_standard_deviation_of_a_beta_that_begins_at_the_rate_of_the_site():
    shown, clicked = [0, 30, 1968], [0, 5, 194]
    first = 200 / 2000  # one click more than the site had, and two impressions more
    expected = [
        stats.beta(1 + c, 1 / first - 1 + n - c).std() for n, c in zip(shown, clicked, strict=True)
    ]
    np.testing.assert_allclose(need_of(shown, clicked), expected, rtol=1e-9)


def test_it_falls_with_impressions_and_is_greater_for_what_is_clicked():
    need = need_of([0, 10, 100, 1000, 100], [0, 1, 10, 100, 20])
    assert (np.diff(need[:4]) < 0).all()
    assert need[4] > need[2]


def test_nothing_known_is_equal_need():
    need = exploration_need(Counters(IdMap()), np.arange(5), NOW)
    assert (need == need[0]).all()
    assert need[0] > 0


def test_clicks_that_answered_no_impression_do_not_count():
    counters = counted([20, 20], [2, 2])
    before = exploration_need(counters, np.arange(2), NOW)
    counters.add_clicks(np.array([0]), np.array([NOW]), 50.0)
    np.testing.assert_array_equal(exploration_need(counters, np.arange(2), NOW), before)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e7)), min_size=1, max_size=20))
def test_there_is_always_some_need(counts):
    """Also if more clicks than impressions were counted, as decay and lost events may have it."""
    need = need_of(*zip(*counts, strict=True))
    assert np.isfinite(need).all()
    assert (need > 0).all()


def test_a_slate_draws_in_proportion_to_the_need(world):
    config, drawn, runs = RankingConfig(explore_slots=2, explore_by_need=True), Counter(), 1000
    for row in range(0, 120, 2):
        count_click(world.signals, row, NOW - 60, from_feed=True)
    trace = recommend(world.context(), config).trace
    rows, chances = trace.explore_rows, trace.explore_chances
    need = exploration_need(world.signals.counters, rows, NOW)
    assert need.max() > 1.1 * need.min()
    np.testing.assert_allclose(chances / chances.sum(), need / need.sum())
    for seed in range(runs):
        slate = recommend(world.context(seed=seed), config)
        drawn.update(slate.rows[slate.explored].tolist())
    often = np.array([drawn[row] for row in rows.tolist()])
    assert often.sum() == 2 * runs
    expected = 2 * need / need.sum()
    assert (np.abs(often / runs - expected) < 5 * np.sqrt(expected / runs)).all()


def test_without_it_every_article_of_the_pool_has_the_same_chance(shared_world):
    config = RankingConfig(explore_slots=2, explore_by_need=False)
    chances = recommend(shared_world.context(), config).trace.explore_chances
    np.testing.assert_allclose(chances, chances.mean())
