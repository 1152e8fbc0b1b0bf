from itertools import combinations, permutations

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.ranking.explore import Exploration, draw, plan_exploration, slot_propensities

NO_PINS = np.empty(0, np.int64)


def config_of(slots=2, explore_from=2, first_page=6):
    return RankingConfig(explore_slots=slots, explore_from=explore_from, first_page=first_page)


def plan_of(length=12, pool=(3, 100, 9, 101, 11), pinned=(), **settings):
    ranked = np.arange(length)
    return plan_exploration(
        ranked, np.array(pool, np.int64), config_of(**settings), np.array(pinned, np.int64)
    )


def every_outcome(plan: Exploration):
    """Every equally likely outcome, put together slowly and separately from the code."""
    for slots in combinations(plan.slots.tolist(), plan.draws):
        for chosen in permutations(plan.pool.tolist(), plan.draws):
            others = [r for r in plan.ranked.tolist() if r not in chosen]
            explored = iter(chosen)
            yield [
                next(explored) if place in slots else others.pop(0)
                for place in range(len(others) + plan.draws)
            ]


def tabulate(plan: Exploration, length: int) -> dict[tuple[int, int], float]:
    outcomes = list(every_outcome(plan))
    table: dict[tuple[int, int], float] = {}
    for rows in outcomes:
        for place, row in enumerate(rows[:length]):
            table[place, row] = table.get((place, row), 0.0) + 1 / len(outcomes)
    return table


@pytest.mark.parametrize(
    "plan",
    [
        plan_of(),
        plan_of(slots=1),
        plan_of(slots=3, explore_from=0),
        plan_of(pinned=(0, 3)),
        plan_of(pinned=(2, 3, 4)),
        plan_of(length=4, pool=(50, 51, 52)),
        plan_of(length=0, pool=(50, 51, 52), explore_from=0, slots=1),
        plan_of(pool=(6, 7, 8, 9, 10, 11), slots=2),
    ],
)
def test_propensities_equal_enumeration_and_sum_to_one(plan):
    length = len(plan.ranked)
    table = tabulate(plan, length)
    for rows in every_outcome(plan):
        shown = np.array(rows[:length], np.int64)
        expected = [table[place, row] for place, row in enumerate(rows[:length])]
        np.testing.assert_allclose(slot_propensities(plan, shown), expected, atol=1e-12)
    for place in range(length):
        assert sum(p for (at, _), p in table.items() if at == place) == pytest.approx(1)


def test_propensities_equal_the_share_of_simulated_draws():
    plan = plan_of(slots=2)
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
