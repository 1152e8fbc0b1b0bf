"""Limits on the final slate: with pins, with every draw of exploration, and with exact chances."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.domain import Pin, ReasonCode
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.ranking.front_page_limits import groups_of, is_met
from feed.ranking.pipeline import recommend

from .conftest import HOUR, NOW, SECTIONS

MOST, LEAST = LimitRule.AT_MOST, LimitRule.AT_LEAST
CONFIG = RankingConfig(explore_slots=1)


def cap(of=LimitOf.SECTION, share=0.3, **more) -> Limit:
    return Limit(rule=MOST, of=of, share=share, **more)


def minimum(value="money", count=2, within=5, of=LimitOf.SECTION, **more) -> Limit:
    return Limit(rule=LEAST, of=of, value=value, count=count, within=within, **more)


def pin(article_id: str, slot: int) -> Pin:
    return Pin(article_id=article_id, slot=slot, starts_at=NOW - HOUR, ends_at=NOW + HOUR)


def keeps(world, slate, limit) -> bool:
    return is_met(limit, groups_of(limit, world.pool, slate.rows, NOW))


def same(first, second) -> bool:
    arrays = ("rows", "scores", "propensities", "explored", "pinned")
    return first.reasons == second.reasons and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


def test_limits_that_hold_anyway_change_nothing(shared_world):
    for seed in range(20):
        plain = recommend(shared_world.context(seed=seed), CONFIG)
        loose = (cap(share=0.95), minimum("news", 1, 40))
        limited = recommend(shared_world.context(seed=seed, limits=loose), CONFIG)
        assert same(plain, limited)
        assert [(state.met, state.moved) for state in limited.trace.limits] == [(True, 0)] * 2


@pytest.mark.parametrize("draws", [0, 1, 3])
def test_every_draw_keeps_the_limits(shared_world, draws):
    config = replace(CONFIG, explore_slots=draws)
    limits = (
        cap(share=0.25),
        cap(LimitOf.LANGUAGE, 0.5, value="de"),
        minimum("money", 2, 4),
        minimum("science", 1, 10),
    )
    pins = (pin("a40", 1), pin("a80", 6))
    plain = recommend(shared_world.context(shared_world.reader([1, 6, 11])), config)
    assert not all(keeps(shared_world, plain, limit) for limit in limits)
    for seed in range(40):
        context = shared_world.context(
            shared_world.reader([1, 6, 11]), seed=seed, limits=limits, pins=pins
        )
        slate = recommend(context, config)
        assert all(keeps(shared_world, slate, limit) for limit in limits)
        assert slate.explored.sum() == draws
        assert np.flatnonzero(slate.pinned).tolist() == [1, 6]
        assert len(set(slate.rows.tolist())) == len(slate)
        assert all(state.met for state in slate.trace.limits)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_limits_on_sections_hold_with_any_pins_and_draws(shared_world, data):
    """Every section has 48 articles here, so that these limits can always be met."""
    wanted = data.draw(st.lists(st.sampled_from(SECTIONS), max_size=2, unique=True))
    limits = [minimum(name, 1, data.draw(st.integers(4, 12))) for name in wanted]
    if data.draw(st.booleans()):
        limits.append(cap(share=data.draw(st.sampled_from([0.3, 0.4, 0.6]))))
    slots = data.draw(st.lists(st.integers(0, 3), max_size=2, unique=True))
    pins = [pin(f"a{40 + 7 * slot}", slot) for slot in slots]
    clicked = data.draw(st.lists(st.integers(0, 239), max_size=8, unique=True))
    config = replace(CONFIG, explore_slots=data.draw(st.integers(0, 2)))
    seed = data.draw(st.integers(0, 99))
    context = shared_world.context(
        shared_world.reader(clicked), seed=seed, limits=tuple(limits), pins=tuple(pins)
    )
    slate = recommend(context, config)
    assert [keeps(shared_world, slate, limit) for limit in limits] == [True] * len(limits)


def test_the_stated_propensities_are_the_frequencies_of_the_draws(shared_world):
    limits = (cap(share=0.3, within=10), minimum("money", 2, 5), minimum("science", 1, 8))
    config = replace(CONFIG, explore_slots=2, explore_from=2, first_page=10, explore_by_need=True)
    runs, counts, stated = 1500, Counter(), {}
    for seed in range(runs):
        slate = recommend(shared_world.context(seed=seed, limits=limits), config)
        for slot in range(14):
            key = slot, int(slate.rows[slot])
            counts[key] += 1
            stated.setdefault(key, set()).add(round(float(slate.propensities[slot]), 9))
    for key, count in counts.items():
        (p,) = stated[key]
        assert abs(count / runs - p) < 5 * np.sqrt(p * (1 - p) / runs) + 1e-9, key
    for slot in range(14):
        assert sum(p for (at, _), (p,) in stated.items() if at == slot) <= 1 + 1e-6


def test_an_article_that_a_minimum_raised_says_so(world):
    rows = np.flatnonzero(world.pool.section == world.pool.sections.row("culture"))
    world.change(rows, section=world.pool.sections.row("news"))
    world.change([100], section=world.pool.sections.row("culture"))
    config = replace(CONFIG, explore_slots=0)
    plain = recommend(world.context(), config)
    assert 100 not in plain.rows[:10]
    limit = minimum("culture", 1, 10)
    slate = recommend(world.context(limits=(limit,)), config)
    assert slate.rows[9] == 100
    assert slate.rows[:9].tolist() == plain.rows[:9].tolist()
    (reason,) = slate.reasons[9]
    assert reason.code is ReasonCode.EDITORS_LIMIT
    assert reason.text == "Our editors want articles of culture on every front page"
    assert slate.trace.limits[0].moved == 1


def test_what_a_minimum_needs_becomes_a_candidate(world):
    """No source proposes the oldest article to this reader."""
    world.change([119], section=world.pool.sections.add("local"))
    config = replace(CONFIG, candidate_cap=60, explore_slots=0)
    assert 119 not in recommend(world.context(), config).rows
    limit = minimum("Local", 1, 10)
    slate = recommend(world.context(limits=(limit,)), config)
    assert slate.rows[9] == 119
    assert slate.sources[9] == ("limits",)


def test_what_nothing_meets_is_stated_and_the_feed_stays_full(world):
    limits = (minimum("nowhere", 1, 10), cap(LimitOf.LANGUAGE, 0.1, value="en"))
    world.change(range(120), language=world.pool.languages.row("en"))
    plain = recommend(world.context(), CONFIG)
    slate = recommend(world.context(limits=limits), CONFIG)
    assert [state.met for state in slate.trace.limits] == [False, False]
    assert len(slate) == len(plain)


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        (cap(LimitOf.AGE, 0.5, hours=3.0), [False, True, True]),
        (minimum("", 1, 5, of=LimitOf.AGE, hours=3.0), [True, False, False]),
        (cap(LimitOf.AI_GENERATED, 0.1), [False, True, False]),
        (cap(LimitOf.SPONSORED, 0.1), [False, False, True]),
        (cap(LimitOf.SOURCE, 0.1, value="s2"), [False, False, True]),
        (cap(LimitOf.SECTION, 0.1, value="SPORT"), [False, True, False]),
        (cap(LimitOf.SECTION, 0.1, value="unknown"), [False, False, False]),
    ],
)
def test_what_a_limit_counts(world, limit, counted):
    world.change([0, 1, 2], published_at=NOW - HOUR * np.array([1.0, 4.0, 5.0]))
    world.change([1], ai_generated=True)
    world.change([2], sponsored=True)
    groups = groups_of(limit, world.pool, np.arange(3), NOW)
    assert (groups >= 0).tolist() == counted
