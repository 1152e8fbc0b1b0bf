import numpy as np
import pytest

from feed.config import RankingConfig
from feed.models.fold_in import fold_in
from feed.models.ranker import LinearRanker
from feed.models.schema import GROUPS
from feed.ranking.context import build_situation
from feed.ranking.past import PastFinder
from feed.ranking.scoring import score_candidates

CONFIG = RankingConfig()
CLICKS = [0, 5, 21, 13, 42]
ALL = [(group,) for group in GROUPS]


def given(contributions):
    return dict(zip(GROUPS, contributions.T, strict=True))


@pytest.fixture(scope="module")
def scene(shared_world):
    context = shared_world.context(shared_world.reader(CLICKS))
    situation = build_situation(context, CONFIG)
    rows = situation.eligible.rows[:30]
    scores = score_candidates(context, situation, rows, LinearRanker(), CONFIG)
    contributions = given(LinearRanker().contributions(scores.features, scores.margin, ALL))
    return context, rows, contributions, PastFinder(context, rows, contributions, CONFIG)


def without(context, past):
    """Weighted articles of the profile as if one had never been clicked."""
    profile = context.profile
    keep = profile.engaged_rows != past
    return profile.engaged_rows[keep], profile.weights[keep], profile.fold_in_weights[keep]


def test_content_without_a_click_is_the_mean_of_the_others(scene):
    context, rows, _, finder = scene
    content = context.view.content.astype(float)

    def features(engaged, weights, clicked):
        mean = weights @ content[engaged]
        nearest = (content[clicked] @ content[rows].T).max(axis=0)
        return 1.5 * content[rows] @ mean / np.linalg.norm(mean) + 0.5 * nearest

    profile = context.profile
    whole = features(profile.engaged_rows, profile.weights, profile.clicked_rows)
    for i, past in enumerate(profile.clicked_rows.tolist()):
        engaged, weights, _ = without(context, past)
        others = profile.clicked_rows[profile.clicked_rows != past]
        lost = whole - features(engaged, weights, others)
        np.testing.assert_allclose(
            finder._content[i] * np.abs(whole) * np.sign(whole), lost, atol=1e-6
        )


def test_fold_in_without_a_click_is_that_of_the_others(scene):
    context, rows, _, finder = scene
    view, profile = context.view, context.profile
    settings = {"regularization": view.bundle.regularization, "alpha": view.bundle.alpha}

    def scores(engaged, weights):
        reader = fold_in(view.factors, view.bundle.gramian, engaged, weights, **settings)
        return view.factors[rows].astype(float) @ reader

    whole = scores(profile.engaged_rows, profile.fold_in_weights)
    for i, past in enumerate(profile.clicked_rows.tolist()):
        engaged, _, weights = without(context, past)
        np.testing.assert_allclose(
            finder._collaborative[i] * whole, whole - scores(engaged, weights), atol=1e-5
        )


def test_votes_of_single_clicks_add_up_to_the_votes_of_all(scene):
    context, rows, _, _ = scene
    profile, pairs = context.profile, context.signals.covisitation
    now = context.request.now
    votes = pairs.votes(profile.clicked_rows, profile.clicked_at, now)
    apart = votes.by_click(len(CLICKS), rows)
    assert apart.shape == (len(CLICKS), len(rows))
    together = votes.scores(rows)
    assert together.any()
    np.testing.assert_allclose(apart.sum(axis=0), together)
    np.testing.assert_allclose(apart[2], votes.scores_of(2, rows))


def test_the_found_click_is_the_most_costly_visible_one(scene):
    _, rows, _, finder = scene
    for i in range(len(rows)):
        found = finder.find(i)
        costs = finder._total[:, i]
        if found < 0:
            assert costs.max() <= 1e-9
        else:
            assert finder._past[costs.argmax()] == found


def test_affinity_names_an_article_of_the_same_section_source_or_language(scene):
    context, rows, _, finder = scene
    pool = context.view.pool
    for i, row in enumerate(rows.tolist()):
        past = finder.find(i, affinity_only=True)
        if past >= 0:
            shared = [
                column[past] == column[row] for column in (pool.section, pool.source, pool.language)
            ]
            assert any(shared)


def test_nobody_has_no_past(shared_world):
    context = shared_world.context(shared_world.reader())
    rows = np.arange(5)
    finder = PastFinder(context, rows, given(np.ones((5, len(GROUPS)))), CONFIG)
    assert [finder.find(i) for i in range(5)] == [-1] * 5
