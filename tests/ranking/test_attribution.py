from dataclasses import replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.features.interactions import CLICK
from feed.features.profile import build_profile
from feed.models.feature_matrix import build_features
from feed.models.fold_in import fold_in
from feed.models.ranker import LinearRanker
from feed.models.schema import feature_index
from feed.ranking.attribution import MOST_CLICKS, PARTS, HistoryAttribution
from feed.ranking.context import build_situation
from feed.ranking.scoring import score_candidates

NOW = 1_700_000_000.0  # that of conftest
CONFIG = RankingConfig()
CLICKS = [0, 5, 21, 13, 42]
SUMS = (
    "content_long",
    "content_session",
    "neighbours",
    "collaborative",
    "section_share",
    "source_share",
    "language_share",
    "section_session",
)


class Scene:
    """The candidates of one reader, their features and what is found of the past."""

    def __init__(self, world, profile, config=CONFIG, **more):
        self.context = world.context(profile, **more)
        self.situation = build_situation(self.context, config)
        self.rows = self.situation.eligible.rows[:30]
        ranker = LinearRanker()
        self.scores = score_candidates(
            self.context, self.situation, self.rows, ranker, config
        ).features
        self.finder = HistoryAttribution(self.context, self.rows, config, self.situation)

    def parts(self, name):
        return self.finder.parts[PARTS.index(name)]

    def feature(self, name):
        return self.scores[:, feature_index()[name]]

    def features_without(self, past):
        """Features as if one article had never been clicked."""
        context, profile = self.context, without(self.context.profile, past)
        return build_features(context.view, context.signals, profile, context.request, self.rows)


def without(profile, past):
    clicked, engaged = profile.clicked_rows != past, profile.engaged_rows != past
    return replace(
        profile,
        clicked_rows=profile.clicked_rows[clicked],
        clicked_at=profile.clicked_at[clicked],
        session_rows=profile.session_rows[profile.session_rows != past],
        engaged_rows=profile.engaged_rows[engaged],
        weights=profile.weights[engaged],
        fold_in_weights=profile.fold_in_weights[engaged],
    )


def reader_of_one_section(rng, articles=240):
    """A reader of 3 to 59 articles within some days, mostly of one section."""
    count, taste = int(rng.integers(3, 60)), int(rng.integers(5))
    liking = np.where(np.arange(articles) % 5 == taste, 6.0, 1.0)
    rows = rng.choice(articles, count, replace=False, p=liking / liking.sum())
    at = NOW - 60 - np.sort(rng.exponential(12 * 3600, count))[::-1]
    kinds, dwell = np.full(count, CLICK, np.int8), rng.lognormal(3.5, 1, count)
    return build_profile(rows, kinds, at, dwell, now=NOW, config=CONFIG)


@pytest.fixture(scope="module")
def scene(shared_world):
    return Scene(shared_world, shared_world.reader(CLICKS))


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("minutes_ago", [2.0, 30.0])
def test_what_the_clicks_add_sums_to_the_feature(shared_world, name, minutes_ago):
    scene = Scene(shared_world, shared_world.reader(CLICKS, minutes_ago))
    parts = scene.parts(name)
    assert parts.shape == (len(CLICKS), len(scene.rows))
    assert parts.any()
    np.testing.assert_allclose(parts.sum(axis=0), scene.feature(name), atol=1e-5)


@pytest.mark.parametrize("name", ["content_nearest", "covisit"])
def test_what_is_no_sum_loses_what_the_click_adds(scene, name):
    whole = np.maximum(scene.feature(name), 0.0)  # less than nothing in common is nothing
    lost = np.array(
        [
            whole - np.maximum(scene.features_without(past)[:, feature_index()[name]], 0.0)
            for past in scene.context.profile.clicked_rows.tolist()
        ]
    )
    assert lost.any()
    np.testing.assert_allclose(scene.parts(name), lost, atol=1e-4)


def test_a_click_without_text_is_nearest_to_nothing(world):
    world.view.content[10] = 0.0
    scene = Scene(world, world.reader([3, 10]))
    at = scene.context.profile.clicked_rows.tolist().index(10)
    assert not scene.parts("content_nearest")[at].any()
    assert not scene.parts("content_long")[at].any()


def test_on_an_articles_page_its_votes_do_not_count_as_a_past_click(shared_world):
    profile = shared_world.reader(CLICKS)
    front, below = Scene(shared_world, profile), Scene(shared_world, profile, page_row=7)
    shared = np.isin(below.rows, front.rows)
    at = [front.rows.tolist().index(row) for row in below.rows[shared].tolist()]
    np.testing.assert_allclose(below.parts("covisit")[:, shared], front.parts("covisit")[:, at])


def test_the_fold_in_is_taken_apart_like_its_vector(scene):
    view, profile = scene.context.view, scene.context.profile
    settings = {"regularization": view.bundle.regularization, "alpha": view.bundle.alpha}
    reader = fold_in(
        view.factors,
        view.bundle.gramian,
        profile.engaged_rows,
        profile.fold_in_weights,
        **settings,
    )
    together = scene.parts("collaborative").sum(axis=0)
    np.testing.assert_allclose(together, view.factors[scene.rows] @ reader, atol=1e-5)


def test_votes_of_single_clicks_add_up_to_the_votes_of_all(scene):
    profile, pairs = scene.context.profile, scene.context.signals.covisitation
    votes = pairs.votes(profile.clicked_rows, profile.clicked_at, scene.context.request.now)
    apart = np.array([votes.scores_of(click, scene.rows) for click in range(len(CLICKS))])
    together = votes.scores(scene.rows)
    assert together.any()
    np.testing.assert_allclose(apart.sum(axis=0), together)


def test_without_the_named_click_the_rankers_score_is_lower(shared_world):
    """98 in 100 here; without a click drawn at random the score is lower in 48 of 100."""
    rng, lower, ranker = np.random.default_rng(3), [], LinearRanker()
    for _ in range(12):
        scene = Scene(shared_world, reader_of_one_section(rng))
        whole = ranker.margin(scene.scores)
        named = [scene.finder.best[i] for i in range(len(scene.rows))]
        for past in set(named) - {-1}:
            less = ranker.margin(scene.features_without(past))
            lower += [less[i] < whole[i] for i, row in enumerate(named) if row == past]
    assert len(lower) > 200
    assert np.mean(lower) > 0.97


def test_an_engine_that_is_off_is_not_asked(shared_world):
    profile = shared_world.reader(CLICKS)
    settings = RankingConfig(use_content=False, use_collaborative=False)
    scene = Scene(shared_world, profile, settings)
    for name in ("content_long", "content_nearest", "content_session", "collaborative"):
        assert not scene.parts(name).any()
    assert scene.parts("covisit").any()


def test_weights_that_were_set_count(shared_world):
    profile = shared_world.reader(CLICKS)
    settings = RankingConfig(weights=dict.fromkeys(PARTS, 0.0) | {"neighbours": 1.0})
    scene = Scene(shared_world, profile, settings)
    neighbours = scene.parts("neighbours")
    past = scene.context.profile.clicked_rows
    for i in range(len(scene.rows)):
        expected = past[neighbours[:, i].argmax()] if neighbours[:, i].any() else -1
        assert scene.finder.best[i] == expected


def test_of_affinity_only_clicks_that_share_something_are_named(scene):
    pool, finder = scene.context.view.pool, scene.finder
    for i, row in enumerate(scene.rows.tolist()):
        past = finder.best_by_affinity[i]
        if past >= 0:
            columns = (pool.section, pool.source, pool.language)
            assert any(column[past] == column[row] for column in columns)


def test_withdrawn_articles_and_clicks_long_ago_are_not_named(world):
    world.change([5], live=False)
    scene = Scene(world, world.reader([77, *range(2 * MOST_CLICKS), 5, 10]))
    named = {scene.finder.best[i] for i in range(len(scene.rows))}
    assert named <= set(range(2 * MOST_CLICKS)) | {10}
    assert not named & {5, 77}


def test_articles_the_snapshot_does_not_hold_yet_are_passed_over(world):
    profile = world.reader([0, 3, 10])
    ahead = replace(profile, clicked_rows=np.r_[world.pool.size + 4, profile.clicked_rows])
    ahead = replace(ahead, clicked_at=np.r_[NOW - 1, profile.clicked_at])
    scene = Scene(world, ahead)
    assert len(scene.parts("covisit")) == 3
    assert {scene.finder.best[i] for i in range(len(scene.rows))} <= {0, 3, 10, -1}


def test_nobody_has_no_past(shared_world):
    finder = Scene(shared_world, shared_world.reader()).finder
    assert not finder.can_name
    assert [finder.best[i] for i in range(5)] == [-1] * 5
