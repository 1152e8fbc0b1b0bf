from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import EventKind, Reason, ReasonCode
from feed.features.interactions import KIND_CODE
from feed.features.profile import build_profile
from feed.models.feature_matrix import build_features
from feed.models.ranker import LightGBMRanker, LinearRanker
from feed.models.schema import FEATURES, feature_index
from feed.ranking.context import build_situation
from feed.ranking.explain import (
    AFFINITY,
    FAMILIES,
    FRESHNESS,
    POPULARITY,
    family_losses,
)
from feed.ranking.pipeline import recommend
from feed.ranking.reasons import age_reason, popular_reason, sentence
from feed.ranking.scoring import score_candidates

NOW = 1_700_000_000.0  # that of conftest
CERTAIN = RankingConfig(explore_slots=0)
CLICKS = [0, 5, 21, 13, 42]


def first_page(world, profile, config=CERTAIN, **more):
    slate = recommend(world.context(profile, **more), config)
    return [
        (row, reason)
        for row, reasons in zip(slate.rows.tolist()[:20], slate.reasons, strict=False)
        for reason in reasons
    ]


def score_of(world, profile, rows):
    context = world.context(profile)
    features = build_features(
        context.view, context.signals, profile, context.request, np.array(rows)
    )
    return LinearRanker().score(features)


def test_taking_the_named_article_from_the_history_lowers_the_score(shared_world):
    world = shared_world
    named = [
        (row, world.pool.ids.row(reason.article_id))
        for row, reason in first_page(world, world.reader(CLICKS))
        if reason.code is ReasonCode.BECAUSE_YOU_READ
    ]
    assert len(named) >= 5
    assert {past for _, past in named} <= set(CLICKS)
    rows = [row for row, _ in named]
    whole = score_of(world, world.reader(CLICKS), rows)
    for i, (_, past) in enumerate(named):
        less = world.reader([c for c in CLICKS if c != past])
        assert score_of(world, less, rows)[i] < whole[i]


def test_families_lose_what_they_gave(shared_world):
    world = shared_world
    context = world.context(world.reader(CLICKS))
    situation = build_situation(context, CERTAIN)
    rows = situation.eligible.rows
    ranker = LinearRanker()
    scores = score_candidates(context, situation, rows, ranker, CERTAIN)
    at = np.arange(len(rows))
    given = ranker.contributions(scores.features, scores.margin, FAMILIES)
    losses = family_losses(scores, at, given)
    for family in range(len(FAMILIES)):
        assert (losses[:, family] <= 1).all()
    nobody = context.signals.counters.readers(rows) == 0
    assert nobody.any()
    assert (losses[nobody, POPULARITY] < 0.05).all()
    newest = np.argsort(-world.pool.published_at[rows])
    assert losses[newest[0], FRESHNESS] > 0.1 > losses[newest[-1], FRESHNESS]


def test_labelled_articles_say_trending_with_their_numbers(shared_world):
    world, boosted = shared_world, replace(CERTAIN, trending_boost=5.0)
    entry = world.trending.entry(17)
    for profile in (world.reader(), world.reader(CLICKS)):
        trending = [
            (row, reason.readers, reason.window_minutes)
            for row, reason in first_page(world, profile, boosted)
            if reason.code is ReasonCode.TRENDING
        ]
        assert trending == [(17, round(entry.readers), entry.window_minutes)]


def test_trending_is_no_reason_where_popularity_carries_the_score(shared_world):
    world = shared_world
    weights = dict.fromkeys(("trend_30m_2h", "trend_2h_6h", "trend_6h_24h"), 0.1)
    config = replace(CERTAIN, weights=weights | {"clicks_30m": 0.5, "clicks_2h": 0.3})
    codes = [r.code for row, r in first_page(world, world.reader(), config) if row == 17]
    assert codes == [ReasonCode.POPULAR]


def test_nobody_is_told_to_follow_what_they_only_read(shared_world):
    world = shared_world
    codes = {r.code for _, r in first_page(world, world.reader(CLICKS))}
    assert ReasonCode.SECTION_YOU_FOLLOW not in codes
    assert ReasonCode.SOURCE_YOU_FOLLOW not in codes


def test_follow_reasons_name_what_is_followed(shared_world):
    world = shared_world
    preferences = world.prefer(followed_sections=["culture"], followed_sources=["s2"])
    found = first_page(world, world.reader([3], preferences=preferences))
    followed = [(row, r) for row, r in found if r.code.endswith("you_follow")]
    assert followed
    for row, reason in followed:
        if reason.code is ReasonCode.SECTION_YOU_FOLLOW:
            assert reason.section == "culture"
            assert world.pool.section[row] == world.pool.sections.row("culture")
        else:
            assert reason.source == "s2"
            assert world.pool.source[row] == world.pool.sources.row("s2")


@pytest.mark.parametrize(("followed", "is_section"), [("culture", True), ("s2", False)])
def test_below_the_first_page_a_follow_is_named_too(shared_world, followed, is_section):
    world = shared_world
    given = {"followed_sections" if is_section else "followed_sources": [followed]}
    profile = world.reader([3], preferences=world.prefer(**given))
    slate = recommend(world.context(profile), CERTAIN)
    pool = world.pool
    below = [
        (row, reason)
        for row, (reason, *_) in zip(slate.rows.tolist()[20:], slate.reasons[20:], strict=True)
        if (
            pool.section[row] == pool.sections.row(followed)
            if is_section
            else pool.source[row] == pool.sources.row(followed)
        )
        and not world.trending.labelled(np.array([row]))[0]
    ]
    assert below
    for _, reason in below:
        assert (reason.section if is_section else reason.source) == followed


def test_deleted_articles_are_not_named(world):
    gone = 5
    world.change([gone], live=False)
    for _, reason in first_page(world, world.reader([gone, 10])):
        assert reason.article_id != f"a{gone}"


def test_without_a_history_nothing_is_because_you_read(shared_world):
    codes = {r.code for _, r in first_page(shared_world, shared_world.reader())}
    assert codes <= {ReasonCode.NEW, ReasonCode.POPULAR, ReasonCode.TRENDING}


def test_a_like_without_a_click_is_no_past_reading(shared_world):
    liked = build_profile(
        np.array([5]),
        np.array([KIND_CODE[EventKind.LIKE]], np.int8),
        np.array([NOW - 60.0]),
        np.zeros(1),
        now=NOW,
        config=RankingConfig(),
    )
    codes = {reason.code for _, reason in first_page(shared_world, liked)}
    assert ReasonCode.BECAUSE_YOU_READ not in codes


def test_popular_and_new_are_said_of_popular_and_new_articles(shared_world):
    world = shared_world
    slate = recommend(world.context(world.reader(CLICKS)), CERTAIN)
    now = world.context().request.now
    for row, reasons in zip(slate.rows.tolist(), slate.reasons, strict=True):
        for reason in reasons:
            if reason.code is ReasonCode.POPULAR:
                read = world.signals.counters.clicks(np.array([row]), now)[0, 1]
                assert reason.readers == round(read) >= 3
            if reason.text == "New":
                assert now - world.pool.published_at[row] <= 86400


def test_sentences_take_titles():
    because = Reason(
        code=ReasonCode.BECAUSE_YOU_READ, text="Because you read “{title}”", article_id="a1"
    )
    assert sentence(because, {"a1": "A {title} & more"}) == "Because you read “A {title} & more”"
    assert sentence(because, {}) == "Because you read another article"
    assert sentence(age_reason(60.0), {}) == "New"


@pytest.mark.parametrize(
    ("age_hours", "text"), [(0, "New"), (24, "New"), (25, "Published in the last 2 days")]
)
def test_age_is_told_truly(age_hours, text):
    assert age_reason(age_hours * 3600.0).text == text


def test_three_readers_are_the_fewest_that_are_popular():
    assert popular_reason(2.9) is None
    assert popular_reason(40.2).readers == 40


def learn_trees(world, start=None):
    """Return trees that learnt to like what is popular and like the reader's history."""
    context = world.context(world.reader(CLICKS))
    rows = build_situation(context, CERTAIN).eligible.rows
    x = build_features(context.view, context.signals, context.profile, context.request, rows)
    liked = np.nan_to_num(x[:, feature_index()["content_long"]])
    liked = liked + 0.2 * x[:, feature_index()["clicks_2h"]]
    data = lightgbm.Dataset(
        x, liked > np.median(liked), feature_name=[f.name for f in FEATURES], free_raw_data=True
    )
    settings = {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 5, "verbose": -1}
    booster = lightgbm.train({**settings, "num_threads": 1}, data, 30)
    usual = [np.nan if np.isnan(column).all() else np.nanmedian(column) for column in x.T]
    return LightGBMRanker(booster.model_to_string(), usual, start)


@pytest.fixture(scope="module", params=["trees alone", "from the day-one weights"])
def learned(shared_world, request):
    start = LinearRanker().sum.scaled(0.4, -1.0) if "day-one" in request.param else None
    return learn_trees(shared_world, start)


def test_with_a_learned_ranker_losses_are_those_of_taking_the_family_away(shared_world, learned):
    world = shared_world
    context = world.context(world.reader(CLICKS))
    rows = build_situation(context, CERTAIN).eligible.rows[:50]
    scores = score_candidates(context, build_situation(context, CERTAIN), rows, learned, CERTAIN)
    at = np.arange(len(rows))
    given = learned.contributions(scores.features, scores.margin, FAMILIES)
    losses = family_losses(scores, at, given)
    for family in (AFFINITY, POPULARITY, FRESHNESS):
        muted = scores.features.copy()
        columns = [i for i, f in enumerate(FEATURES) if f.group in FAMILIES[family]]
        muted[:, columns] = learned.neutral[columns]
        expected = 1 - learned.score(muted) / scores.base
        np.testing.assert_allclose(losses[:, family], expected, atol=1e-12)


def test_what_the_trees_start_from_counts_among_the_reasons(shared_world):
    """Trees that say nothing leave the reasons to the day-one weights below them."""
    world = shared_world
    context = world.context(world.reader(CLICKS))
    situation = build_situation(context, CERTAIN)
    rows = situation.eligible.rows
    silent = learn_trees(world)
    trees = silent.margin(np.tile(silent.neutral, (1, 1)))
    start = LinearRanker().sum
    both = LightGBMRanker(silent.text, silent.neutral, start)
    scores = score_candidates(context, situation, rows, both, CERTAIN)
    alone = silent.contributions(scores.features, silent.margin(scores.features), FAMILIES)
    whole = both.contributions(scores.features, scores.margin, FAMILIES)
    parts = start.parts(np.where(np.isnan(scores.features), silent.neutral, scores.features))
    assert np.isfinite(trees).all()
    for family in (POPULARITY, FRESHNESS):
        columns = [i for i, f in enumerate(FEATURES) if f.group in FAMILIES[family]]
        usual = start.parts(silent.neutral[None, :])[0]
        day_one = (parts[:, columns] - usual[columns]).sum(axis=1)
        np.testing.assert_allclose(whole[:, family] - alone[:, family], day_one, atol=1e-6)
        assert np.abs(day_one).max() > 0.1


def test_a_ranker_is_asked_for_some_families_only(shared_world, learned):
    world = shared_world
    context = world.context(world.reader(CLICKS))
    rows = build_situation(context, CERTAIN).eligible.rows[:20]
    scores = score_candidates(context, build_situation(context, CERTAIN), rows, learned, CERTAIN)
    asked = np.random.default_rng(1).random((20, len(FAMILIES))) < 0.4
    whole = learned.contributions(scores.features, scores.margin, FAMILIES)
    some = learned.contributions(scores.features, scores.margin, FAMILIES, asked)
    assert whole[asked].any()
    np.testing.assert_allclose(some[asked], whole[asked], atol=1e-12)
    assert not some[~asked].any()


@pytest.mark.parametrize("live", [True, False])
def test_a_history_that_cannot_be_named_still_makes_a_feed_personal(world, live):
    world.change(CLICKS, live=live)
    for profile, personal in ((world.reader(CLICKS), True), (world.reader(), False)):
        slate = recommend(world.context(profile), replace(CERTAIN, fatigue_factor=1.0))
        codes = {reason.code for reasons in slate.reasons for reason in reasons}
        assert (ReasonCode.BECAUSE_YOU_READ in codes) == (live and personal)
        assert slate.personalized == personal


def test_a_learned_ranker_gives_reasons_from_what_it_learnt(shared_world, learned):
    world = shared_world
    found = first_page(world, world.reader(CLICKS), ranker=learned)
    codes = {reason.code for _, reason in found}
    assert ReasonCode.BECAUSE_YOU_READ in codes
    for row, reason in found:
        if reason.code is ReasonCode.BECAUSE_YOU_READ:
            past = world.pool.ids.row(reason.article_id)
            assert past in CLICKS
            assert row not in CLICKS
