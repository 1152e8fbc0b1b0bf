from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Pin, ReasonCode
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.models.ranker import INTERCEPT, LightGBMRanker
from feed.models.schema import FEATURES
from feed.ranking.diversity import diversify
from feed.ranking.pipeline import build_slate, rank_in_stages
from feed.ranking.slate import StageTimer, Trace
from feed.ranking.slot_account import account_for

NOW = 1_700_000_000.0  # that of conftest
CONFIG = RankingConfig(explore_slots=2, slate_size=60)


def rank(world, config=CONFIG, seed=0, **more):
    context, trace = world.context(world.reader([3, 8, 40]), seed, **more), Trace()
    return rank_in_stages(context, config, trace, StageTimer(trace, None))


def accounts_of(ranking, size=30):
    return account_for(ranking, build_slate(ranking), size)


def pin(article, slot):
    return Pin(article_id=article, slot=slot, starts_at=NOW - 1, ends_at=NOW + 1)


def test_every_slot_adds_up_to_what_the_slate_says(shared_world):
    ranking = rank(shared_world, pins=(pin("a7", 2),))
    slate, sources = build_slate(ranking), ranking.candidates.proposals
    for slot, account in enumerate(accounts_of(ranking)):
        standing = account.standing
        assert (account.slot, standing.row) == (slot, slate.rows[slot])
        assert standing.score == pytest.approx(slate.scores[slot])
        assert standing.rest == pytest.approx(INTERCEPT, abs=1e-5)
        total = sum(standing.groups.values()) + standing.rest
        assert total == pytest.approx(standing.margin)
        assert account.reasons == slate.reasons[slot]
        assert account.propensity == slate.propensities[slot]
        assert account.pinned == (slot == 2)
        assert account.pinned or set(standing.sources) == set(slate.sources[slot])
        for name, place in standing.sources.items():
            assert sources[name][place - 1] == standing.row
        at = ranking.placed.at[slot]
        of_features = dict(zip(FEATURES, ranking.scores.features[at].tolist(), strict=True))
        for feature, value in of_features.items():
            expected = None if np.isnan(value) else value
            assert standing.features[feature.name] == expected


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, mmr_lambda=0.5, section_decay=0.6)])
@pytest.mark.parametrize("pins", [(), (pin("a7", 2),)])
def test_a_runner_up_takes_the_place_with_so_much_more_and_not_with_less(
    shared_world, config, pins
):
    ranking = rank(shared_world, config, pins=pins)
    rows, content = ranking.candidates.rows.tolist(), ranking.context.view.content
    pool = ranking.context.view.pool

    def order_with(row, factor):
        scores = ranking.scores.final.copy()
        scores[rows.index(row)] *= factor
        codes = pool.section[rows], pool.source[rows]
        found = diversify(scores, *codes, content[rows], config, len(rows), len(pins))
        return [rows[at] for at in found.order.tolist()]

    order = order_with(rows[-1], 1.0)
    ranked = [one for one in accounts_of(ranking) if not one.pinned and not one.explored]
    assert len(ranked) >= 27
    for account in ranked:
        place, runner_up = order.index(account.standing.row), account.runner_up
        assert order.index(runner_up.row) > place
        enough = order_with(runner_up.row, (1 + runner_up.lacked) * 1.001)
        assert enough.index(runner_up.row) <= place
        too_little = order_with(runner_up.row, (1 + runner_up.lacked) * 0.999)
        assert too_little.index(runner_up.row) > place


def test_without_the_winner_the_runner_up_stands_there(shared_world):
    ranking = rank(shared_world, replace(CONFIG, explore_slots=0))
    for account in accounts_of(ranking):
        gone = ranking.candidates.rows != account.standing.row
        rows, pool = ranking.candidates.rows[gone], ranking.context.view.pool
        found = diversify(
            ranking.scores.final[gone],
            pool.section[rows],
            pool.source[rows],
            ranking.context.view.content[rows],
            ranking.config,
            60,
        )
        assert rows[found.order[account.slot]] == account.runner_up.row


def test_where_chance_or_an_editor_decided_the_next_ranked_article_is_named(shared_world):
    drawn = accounts_of(rank(shared_world, seed=3))
    certain = build_slate(rank(shared_world, replace(CONFIG, explore_slots=0)))
    slot = next(account.slot for account in drawn if account.explored)
    assert drawn[slot].runner_up.row == certain.rows[slot]
    assert drawn[slot].runner_up.lacked is None
    for account in drawn:
        above = {other.standing.row for other in drawn[: account.slot + 1]}
        assert account.runner_up.row not in above
    pinned = accounts_of(rank(shared_world, pins=(pin("a200", 0),)))[0]
    assert (pinned.pinned, pinned.runner_up.lacked) == (True, None)


def test_nobody_is_left_below_the_last_slot(shared_world):
    config = RankingConfig(candidate_cap=5, explore_slots=0)
    accounts = accounts_of(rank(shared_world, config))
    assert len(accounts) == 5
    assert [account.runner_up is None for account in accounts] == [False] * 4 + [True]


def test_trees_say_what_they_lose_without_a_group(shared_world):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, len(FEATURES)))
    names = [feature.name for feature in FEATURES]
    column = names.index("clicks_2h")
    data = lightgbm.Dataset(features, (features[:, column] > 0).astype(float), feature_name=names)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    trees = lightgbm.train(settings, data, num_boost_round=5)
    ranker = LightGBMRanker(trees.model_to_string(), np.zeros(len(FEATURES)))
    ranking = rank(shared_world, ranker=ranker)
    for account in accounts_of(ranking, 5):
        groups = account.standing.groups
        assert {name for name, part in groups.items() if part} <= {"popularity"}
        values = np.array([list(account.standing.features.values())], np.float32)
        neutral = np.where([f.group == "popularity" for f in FEATURES], 0.0, values)
        lost = ranker.margin(values) - ranker.margin(neutral)
        assert groups["popularity"] == pytest.approx(lost[0])


def test_a_limit_that_raised_an_article_is_named(shared_world):
    limit = Limit(rule=LimitRule.AT_LEAST, of=LimitOf.SECTION, value="money", within=10, count=4)
    ranking = rank(shared_world, limits=(limit,))
    accounts = accounts_of(ranking)
    raised = [one for one in accounts if one.limit]
    assert raised
    for account in accounts:
        codes = {reason.code for reason in account.reasons}
        assert (account.limit is limit) == (ReasonCode.EDITORS_LIMIT in codes)
        assert account.runner_up.lacked is None
        above = {other.standing.row for other in accounts[: account.slot + 1]}
        assert account.runner_up.row not in above


def test_an_article_that_only_a_limit_let_in_says_so(shared_world):
    limit = Limit(rule=LimitRule.AT_LEAST, of=LimitOf.LANGUAGE, value="de", within=10, count=8)
    ranking = rank(shared_world, replace(CONFIG, candidates_per_source=5), limits=(limit,))
    assert any(list(one.standing.sources) == ["limits"] for one in accounts_of(ranking))
