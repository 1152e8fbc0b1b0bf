"""What editors' boosts do to a slate, and what they leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.domain import Mode, ReasonCode
from feed.editorial.boosts import Boost
from feed.ranking.boosted_rows import build_boosted_rows
from feed.ranking.pipeline import recommend
from feed.ranking.slate import Slate

NOW = 1_700_000_000.0  # that of conftest
CERTAIN = RankingConfig(explore_slots=0)
FACTORS = st.floats(0.01, 20.0)


def slate_with(
    world: Any,
    factors: dict[int, float],
    *,
    config: RankingConfig = CERTAIN,
    ends_at: float = NOW + 60,
    **more: Any,
) -> Slate:
    boosts = [
        Boost(article_id=f"a{row}", factor=factor, starts_at=NOW - 60, ends_at=ends_at)
        for row, factor in factors.items()
    ]
    rows = build_boosted_rows(boosts, world.pool)
    profile = world.reader([0, 5, 21, 13, 42])
    return recommend(world.context(profile, boosts=rows, **more), config)


def place_of(slate: Slate, row: int) -> int:
    found = np.flatnonzero(slate.rows == row)
    return int(found[0]) if found.size else len(slate) + 1


@settings(max_examples=40, deadline=None)
@given(row=st.integers(0, 239), low=FACTORS, high=FACTORS, other=st.integers(0, 239), also=FACTORS)
def test_a_greater_factor_never_lowers_a_place(
    shared_world: Any, row: int, low: float, high: float, other: int, also: float
) -> None:
    low, high = sorted((low, high))
    lower, higher = (slate_with(shared_world, {other: also, row: factor}) for factor in (low, high))
    assert place_of(higher, row) <= place_of(lower, row)


@settings(max_examples=10, deadline=None)
@given(rows=st.sets(st.integers(0, 239), min_size=1, max_size=50))
def test_a_factor_of_one_is_no_boost(shared_world: Any, rows: set[int]) -> None:
    explored = RankingConfig()
    none = slate_with(shared_world, {}, config=explored)
    with_ones = slate_with(shared_world, dict.fromkeys(rows, 1.0), config=explored)
    for name in ("rows", "scores", "propensities", "explored"):
        assert np.array_equal(getattr(none, name), getattr(with_ones, name)), name
    assert none.reasons == with_ones.reasons


def test_a_boost_brings_an_article_in_and_the_reason_says_so(shared_world: Any) -> None:
    low = int(slate_with(shared_world, {}).rows[60])
    slate = slate_with(shared_world, {low: 20.0})
    place = place_of(slate, low)
    assert place < 10
    assert slate.reasons[place][0].code is ReasonCode.EDITORS_PICK
    assert "boosts" in slate.sources[place]
    product = np.prod([slate.factors[name][place] for name in slate.factors])
    assert np.isclose(product, slate.scores[place])
    assert slate.factors["editorial"][place] == 20.0


def test_a_small_boost_is_not_the_reason(shared_world: Any) -> None:
    first = int(slate_with(shared_world, {}).rows[0])
    slate = slate_with(shared_world, {first: 1.01})
    assert slate.reasons[0][0].code is not ReasonCode.EDITORS_PICK


def test_what_is_buried_sinks_and_is_never_drawn(shared_world: Any) -> None:
    config = RankingConfig(explore_slots=3, explore_by_need=True)
    drawn = slate_with(shared_world, {}, config=config)
    top, explored = int(drawn.rows[0]), int(drawn.rows[drawn.explored][0])
    buried = {top: 0.01, explored: 0.01}
    for seed in range(20):
        slate = slate_with(shared_world, buried, config=config, seed=seed)
        assert place_of(slate, top) > 20
        assert explored not in slate.rows[slate.explored]
        assert explored not in slate.trace.explore_rows
    chances = dict(zip(slate.trace.explore_rows, slate.trace.explore_chances, strict=True))
    drawn_chances = [chances[row] for row in slate.rows[slate.explored]]
    assert np.allclose(slate.propensities[slate.explored], drawn_chances)
    assert len(chances) < len(drawn.trace.explore_rows)


def test_a_boost_holds_until_it_ends_and_only_where_readers_count(shared_world: Any) -> None:
    none, row = slate_with(shared_world, {}), int(slate_with(shared_world, {}).rows[-1])
    ended = slate_with(shared_world, {row: 20.0}, ends_at=NOW)
    assert np.array_equal(ended.rows, none.rows)
    for mode in (Mode.TRENDING, Mode.LATEST):
        plain = slate_with(shared_world, {}, mode=mode)
        boosted = slate_with(shared_world, {row: 20.0}, mode=mode)
        assert np.array_equal(plain.rows, boosted.rows)
        assert np.array_equal(plain.scores, boosted.scores)
