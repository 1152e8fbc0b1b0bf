import math
from fractions import Fraction
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.ranking.explore import (
    Exploration,
    draw,
    draw_systematically,
    include_by_need,
    plan_exploration,
    slot_propensities,
)

NO_PINS = np.empty(0, np.int64)


def config_of(slots=2, explore_from=2, first_page=6):
    return RankingConfig(explore_slots=slots, explore_from=explore_from, first_page=first_page)


def plan_of(length=12, pool=(3, 100, 9, 101, 11), pinned=(), needs=None, **settings):
    ranked, pool = np.arange(length), np.array(pool, np.int64)
    needs = np.ones(len(pool)) if needs is None else np.array(needs, np.float64)
    return plan_exploration(ranked, pool, needs, config_of(**settings), np.array(pinned, np.int64))


def every_choice(plan: Exploration):
    """Every set that the systematic draw takes, with its probability, by exact fractions."""
    parts = [Fraction(chance).limit_denominator(10**6) for chance in plan.inclusion.tolist()]
    ends = [sum(parts[:count], Fraction()) for count in range(len(parts) + 1)]
    assert ends[-1] == plan.draws
    starts = sorted({end % 1 for end in ends} | {Fraction(0), Fraction(1)})
    for low, high in pairwise(starts):
        points = [(low + high) / 2 + step for step in range(plan.draws)]
        hit = [
            row
            for row, (begin, end) in zip(plan.pool.tolist(), pairwise(ends), strict=True)
            if any(begin <= point < end for point in points)
        ]
        yield hit, float(high - low)


def every_outcome(plan: Exploration):
    """Every outcome and its probability, put together slowly and separately from the code."""
    ways = math.comb(len(plan.slots), plan.draws) * math.factorial(plan.draws)
    for slots in combinations(plan.slots.tolist(), plan.draws):
        for chosen, chance in every_choice(plan):
            for dealt in permutations(chosen):
                others = [r for r in plan.ranked.tolist() if r not in chosen]
                explored = iter(dealt)
                rows = [
                    next(explored) if place in slots else others.pop(0)
                    for place in range(len(others) + plan.draws)
                ]
                yield rows, chance / ways


def tabulate(plan: Exploration, length: int) -> dict[tuple[int, int], float]:
    table: dict[tuple[int, int], float] = {}
    for rows, chance in every_outcome(plan):
        for place, row in enumerate(rows[:length]):
            table[place, row] = table.get((place, row), 0.0) + chance
    return table


PLANS = [
    plan_of(),
    plan_of(slots=1),
    plan_of(slots=3, explore_from=0),
    plan_of(pinned=(0, 3)),
    plan_of(pinned=(2, 3, 4)),
    plan_of(length=4, pool=(50, 51, 52)),
    plan_of(length=0, pool=(50, 51, 52), explore_from=0, slots=1),
    plan_of(pool=(6, 7, 8, 9, 10, 11), slots=2),
    plan_of(needs=(9, 1, 4, 2, 4)),
    plan_of(needs=(9, 1, 4, 2, 4), slots=1),
    plan_of(needs=(9, 1, 4, 2, 4), slots=3),
    plan_of(needs=(9, 1, 4, 90, 4), slots=3, pinned=(2,)),
    plan_of(pool=(6, 7, 8, 9, 10, 11), slots=4, needs=(1, 2, 40, 4, 50, 3)),
    plan_of(pool=(6, 8, 7), slots=3, needs=(1, 2, 40)),
]


@pytest.mark.parametrize("plan", PLANS)
def test_propensities_equal_enumeration_and_sum_to_one(plan):
    length = len(plan.ranked)
    table = tabulate(plan, length)
    for rows, _ in every_outcome(plan):
        shown = np.array(rows[:length], np.int64)
        expected = [table[place, row] for place, row in enumerate(rows[:length])]
        np.testing.assert_allclose(slot_propensities(plan, shown), expected, atol=1e-12)
    for place in range(length):
        assert sum(p for (at, _), p in table.items() if at == place) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_propensities_of_all_articles_sum_to_one_at_every_slot(data):
    length = data.draw(st.integers(8, 30))
    pool = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=25, unique=True))
    needs = data.draw(
        st.lists(st.floats(1e-3, 1e3), min_size=len(pool), max_size=len(pool)), label="needs"
    )
    pinned = data.draw(st.lists(st.integers(0, 7), max_size=3, unique=True))
    plan = plan_of(length, pool, pinned, needs, slots=data.draw(st.integers(1, 4)))
    assert plan.inclusion.sum() == pytest.approx(plan.draws)
    everyone = np.union1d(plan.ranked, plan.pool)
    sums = np.zeros(length)
    for row in everyone.tolist():
        sums += slot_propensities(plan, np.full(length, row))
    np.testing.assert_allclose(sums, 1.0, atol=1e-9)


@pytest.mark.parametrize("needs", [None, (9, 1, 4, 2, 4)])
@pytest.mark.parametrize("slots", [1, 2])
def test_propensities_equal_the_share_of_simulated_draws(slots, needs):
    plan = plan_of(slots=slots, needs=needs)
    rng = np.random.default_rng(5)
    counts: dict[tuple[int, int], int] = {}
    stated: dict[tuple[int, int], float] = {}
    runs = 5_000
    for _ in range(runs):
        drawn = draw(plan, rng, 12)
        for place, (row, p) in enumerate(
            zip(drawn.rows.tolist(), drawn.propensities.tolist(), strict=True)
        ):
            counts[place, row] = counts.get((place, row), 0) + 1
            stated[place, row] = p
    for key, count in counts.items():
        p = stated[key]
        assert abs(count / runs - p) < 5 * np.sqrt(p * (1 - p) / runs) + 1e-9


def test_the_articles_that_need_it_are_drawn_more_often():
    plan = plan_of(pool=(100, 101, 102, 103), needs=(1, 2, 3, 4), slots=2)
    assert plan.pool.tolist() == [100, 101, 102, 103]
    np.testing.assert_allclose(plan.inclusion, [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(plan.chances, plan.inclusion / 4)


def test_an_equal_need_is_an_equal_chance():
    plan = plan_of(pool=(100, 101, 102, 103, 104), needs=[7.5] * 5, slots=2)
    np.testing.assert_allclose(plan.inclusion, 2 / 5)
    np.testing.assert_allclose(plan.chances, 2 / 5 / 4)


def test_no_article_is_more_than_certain():
    np.testing.assert_allclose(
        include_by_need(np.array([1.0, 90.0, 1.0, 2.0]), 2), [0.25, 1, 0.25, 0.5]
    )
    np.testing.assert_allclose(include_by_need(np.array([1.0, 90.0, 20.0]), 3), 1.0)
    assert include_by_need(np.array([1.0, 2.0]), 0).tolist() == [0.0, 0.0]
    assert include_by_need(np.empty(0), 0).tolist() == []


class Start:
    """A generator whose next number is known."""

    def __init__(self, start: float) -> None:
        self.start = start

    def random(self) -> float:
        return self.start


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=40),
    st.integers(1, 40),
    st.one_of(st.floats(0, 1, exclude_max=True), st.just(math.nextafter(1, 0))),
)
def test_a_draw_takes_as_many_as_it_should_and_none_twice(needs, draws, start):
    draws = min(draws, len(needs))
    inclusion = include_by_need(np.array(needs), draws)
    chosen = draw_systematically(inclusion, draws, Start(start))
    assert len(set(chosen.tolist())) == draws
    assert 0 <= chosen.min() <= chosen.max() < len(needs)


def test_rounding_at_the_end_of_an_article_does_not_draw_it_twice():
    inclusion = np.array([0.1, 0.2, 1.0, 0.7])
    ends = np.cumsum(inclusion)
    for start in np.concatenate([ends % 1, np.nextafter(ends % 1, 0), np.nextafter(ends % 1, 1)]):
        chosen = draw_systematically(inclusion, 2, Start(float(start % 1)))
        assert len(set(chosen.tolist())) == 2


def test_a_draw_repeats_nothing_and_marks_what_it_explored():
    plan = plan_of(slots=3)
    for seed in range(50):
        drawn = draw(plan, np.random.default_rng(seed), 10)
        assert len(set(drawn.rows.tolist())) == len(drawn.rows) == 10
        assert np.isin(drawn.rows[drawn.explored], plan.pool).all()
        assert np.isin(np.flatnonzero(drawn.explored), plan.slots).all()
        assert drawn.explored.sum() == 3


def test_the_same_generator_draws_the_same():
    plan = plan_of()
    first, second = (draw(plan, np.random.default_rng(3), 12) for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()


def test_nothing_to_explore_leaves_the_order_certain():
    for plan in (plan_of(slots=0), plan_of(pool=()), plan_of(pool=(0, 1, 2))):
        drawn = draw(plan, np.random.default_rng(3), 12)
        assert drawn.rows.tolist() == list(range(12))
        assert drawn.propensities.tolist() == [1.0] * 12
        assert not drawn.explored.any()


def test_slots_above_explore_from_are_never_touched():
    plan = plan_of(explore_from=4)
    for seed in range(30):
        assert draw(plan, np.random.default_rng(seed), 12).rows[:4].tolist() == [0, 1, 2, 3]
