"""Team draft: fair slates, and preferences that follow the clicks."""

import duckdb
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from feed.experiments.design.definitions import Experiment, StoppingRule, Variant
from feed.experiments.judgement.breakdowns import compare_teams
from feed.experiments.statistics.interleaving import (
    estimate_preference,
    follow_preference,
    interleave,
)

RANKINGS = st.lists(st.integers(0, 15), max_size=12)


@given(RANKINGS, RANKINGS, st.integers(0, 12), st.integers(0, 100))
def test_a_slate_has_no_repeats_and_only_what_the_rankings_hold(
    first: list[int], second: list[int], slots: int, seed: int
) -> None:
    found = interleave(first, second, slots, np.random.default_rng(seed))
    assert len(found.slate) == len(set(found.slate)) == len(found.teams)
    assert len(found.slate) == min(slots, len({*first, *second}))
    for article, team in zip(found.slate, found.teams, strict=True):
        assert article in (first if team == "a" else second)


@given(st.permutations(range(10)), st.permutations(range(10)), st.integers(0, 100))
def test_teams_are_never_more_than_one_apart(
    first: list[int], second: list[int], seed: int
) -> None:
    teams = interleave(first, second, 9, np.random.default_rng(seed)).teams
    for end in range(1, 10):
        assert abs(teams[:end].count("a") - teams[:end].count("b")) <= 1


def test_each_team_keeps_its_own_order() -> None:
    found = interleave("abcdefgh", "hgfedcba", 6, np.random.default_rng(1))
    for team, order in (("a", "abcdefgh"), ("b", "hgfedcba")):
        own = [x for x, side in zip(found.slate, found.teams, strict=True) if side == team]
        assert own == sorted(own, key=order.index)


def test_both_teams_open_the_feed_equally_often() -> None:
    rng = np.random.default_rng(2)
    opened = sum(interleave([1, 2], [3, 4], 1, rng).teams == ["a"] for _ in range(2_000))
    assert scipy.stats.binomtest(opened, 2_000).pvalue > 0.001


def test_preference_is_the_sign_test_and_the_t_test_of_scipy() -> None:
    rng = np.random.default_rng(3)
    clicks_a, clicks_b = rng.poisson(1.0, 400), rng.poisson(1.3, 400)
    found = estimate_preference(clicks_a, clicks_b)
    credit = (clicks_b - clicks_a)[clicks_a + clicks_b > 0]
    expected = scipy.stats.ttest_1samp(credit, 0.0)
    assert found.credit_p_value == pytest.approx(expected.pvalue, rel=1e-8)
    assert found.credit_interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-8)
    sign = scipy.stats.binomtest(found.wins_b, found.wins_a + found.wins_b)
    assert found.sign_p_value == pytest.approx(sign.pvalue)
    assert found.share_b == pytest.approx((found.wins_b + found.ties / 2) / found.readers)
    assert found.wins_a + found.wins_b + found.ties == found.readers == len(credit)


@pytest.mark.parametrize("clicks", [[], [0, 0, 0], [0]])
def test_no_clicks_give_no_estimate(clicks: list[int]) -> None:
    found = estimate_preference(clicks, clicks)
    assert found.readers == 0
    assert found.share_b is None
    assert found.credit_p_value is None


def test_only_ties_and_a_single_reader_give_no_p_value() -> None:
    ties = estimate_preference([1, 2], [1, 2])
    assert (ties.share_b, ties.sign_p_value, ties.credit_p_value) == (0.5, None, None)
    single = estimate_preference([0], [3])
    assert (single.share_b, single.credit_interval) == (1.0, None)


def test_one_reader_with_a_million_clicks_counts_as_one_win() -> None:
    clicks_b = np.array([1_000_000, *[0] * 9])
    found = estimate_preference(1 - np.sign(clicks_b), clicks_b)
    assert found.wins_b == 1
    assert found.share_b == pytest.approx(0.1)


def test_clicks_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="reader and team"):
        estimate_preference([1], [1, 2])


def test_the_preferences_of_several_variants_are_corrected_for_each_other() -> None:
    names = ("a", "b", "m", "n")
    design = Experiment(
        name="x",
        hypothesis="h",
        owner="o",
        variants=tuple(
            Variant(name=n, share=0.25, interleaves=("a", "b") if n in "mn" else ()) for n in names
        ),
        stopping_rule=StoppingRule.FIXED,
    )
    with duckdb.connect() as log:
        log.execute(
            "SET VARIABLE to_at = 10; CREATE TABLE readers AS"
            " SELECT v || r AS user_id, v AS variant, true AS analysed, 0 AS first_at"
            " FROM unnest(['m', 'n']) AS t(v), range(20) AS s(r);"
            "CREATE TABLE events AS SELECT user_id, user_id AS request_id, 'x' AS article_id,"
            " 'click' AS kind FROM readers;"
            "CREATE TABLE served AS SELECT request_id, article_id, to_timestamp(1) AS served_at,"
            " 'team:' || if(right(request_id, 1) IN ('0', '1', '2'), 'a', 'b') AS sources"
            " FROM events"
        )
        found = compare_teams(log, design)
    raw = [team.preference.sign_p_value for team in found]
    assert raw == [raw[0]] * 2
    assert raw[0] is not None
    assert [team.p_value for team in found] == pytest.approx([2 * raw[0]] * 2)


def test_a_preference_that_may_be_read_every_day_is_more_careful() -> None:
    rng = np.random.default_rng(4)
    clicks_a, clicks_b = rng.poisson(1.0, 800), rng.poisson(1.15, 800)
    single = estimate_preference(clicks_a, clicks_b)
    found = follow_preference(single, 800, level=0.95)
    assert single.credit_p_value is not None
    assert found.p_value is not None
    assert found.p_value > single.credit_p_value
    strong = follow_preference(estimate_preference(clicks_a, 2 * clicks_b), 800, level=0.95)
    assert strong.p_value is not None
    assert strong.p_value < 0.001
    nobody = follow_preference(estimate_preference([0, 0], [0, 0]), 800, level=0.95)
    assert nobody.p_value is None
    assert nobody.reason


def test_looking_every_day_at_equal_rankings_rarely_finds_a_preference() -> None:
    rng = np.random.default_rng(5)
    runs, readers, days = 300, 400, 20
    wrong = 0
    for _ in range(runs):
        clicks = rng.poisson(0.1, (2, readers, days)).cumsum(axis=2)
        looks = (estimate_preference(clicks[0, :, d], clicks[1, :, d]) for d in range(days))
        p_values = [follow_preference(look, readers, level=0.95).p_value for look in looks]
        wrong += any(p is not None and p < 0.05 for p in p_values)
    assert wrong / runs < 0.05
