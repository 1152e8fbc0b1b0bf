"""feed's laws with the plugins of the example package in use.

`test_example_package` runs this file, and the parity test, in a process whose FEED_PLUGINS names
the package: a process has one feature schema for its whole life.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import ReasonCode
from feed.models.bundle import load_bundle, save_bundle
from feed.models.feature_matrix import build_features
from feed.models.plugin_ranker import TaughtByPlugin
from feed.models.schema import BUILT_IN, FEATURES, GROUPS, PLUGINS, feature_index
from feed.offline.sample_log import draw_log, draw_vectors
from feed.offline.training import train
from feed.plugins.loading import active_plugins
from feed.ranking.absence import explain_absence
from feed.ranking.candidates import SOURCES
from feed.ranking.pipeline import build_slate, rank_in_stages, recommend
from feed.ranking.slate import StageTimer, Trace
from feed.ranking.slot_account import account_for
from feed.service.plugin_guard import guard_plugins
from feed.training_config import TrainingConfig
from tests.ranking.conftest import NOW, build_world
from tests.ranking.test_front_page_limits import minimum, pin

SMALL = TrainingConfig(factors=4, iterations=2, ranker_min_impressions=50)
CONFIG = RankingConfig(explore_slots=0)


@pytest.fixture(scope="module")
def world():
    return build_world()


def adjacent(world, rows) -> int:
    sources = world.pool.source[rows]
    return int((sources[1:] == sources[:-1]).sum())


def rank(context, config=CONFIG):
    return rank_in_stages(context, config, Trace(), StageTimer(Trace(), None))


def test_its_feature_is_the_last_column_and_has_a_group_of_its_own(world):
    assert [feature.name for feature in FEATURES[len(BUILT_IN) :]] == ["source_missed"]
    assert GROUPS[-1] == PLUGINS
    profile = world.reader([3, 10], minutes_ago=120.0)
    context = world.context(profile)
    rows = np.arange(20)
    found = build_features(world.view, world.signals, profile, context.request, rows)
    column = found[:, feature_index()["source_missed"]]
    last = {int(world.pool.source[row]): at for row, at in zip(
        profile.clicked_rows[::-1], profile.clicked_at[::-1], strict=True)}  # fmt: skip
    expected = [
        np.log1p((NOW - last[code]) / 3600.0) if code in last else np.nan
        for code in world.pool.source[rows].tolist()
    ]
    np.testing.assert_allclose(column, expected, rtol=1e-6)
    assert not np.isnan(column).all()


def test_its_feature_moves_the_day_one_score_by_its_weight(world):
    context = world.context(world.reader([3, 10], minutes_ago=120.0))
    ranking, config = rank(context), replace(CONFIG, weights={"source_missed": 0.0})
    without = rank(context, config)
    change = ranking.scores.margin - without.scores.margin
    values = ranking.scores.features[:, feature_index()["source_missed"]]
    np.testing.assert_allclose(change, -0.2 * np.nan_to_num(values - 3.0), atol=1e-5)
    account = account_for(ranking, build_slate(ranking), 1)[0]
    assert account.standing.groups[PLUGINS] == pytest.approx(change[ranking.placed.at[0]], abs=1e-5)
    assert "source_missed" in account.standing.features


def test_what_its_source_alone_proposed_says_so(world):
    assert list(SOURCES)[-1] == "opened_often"
    ranking = rank(world.context(), replace(CONFIG, candidates_per_source=6))
    slate = build_slate(ranking)
    alone = [i for i, names in enumerate(slate.sources) if names == ("opened_often",)]
    assert alone
    for slot, reasons in enumerate(slate.reasons):
        says_so = reasons[0].code is ReasonCode.OWN_SOURCE
        assert says_so == (slot in alone)
    (first,) = {slate.reasons[slot][0].text for slot in alone}
    assert first == "Opened more often than most when it is shown"
    account = account_for(ranking, slate, len(slate))[alone[0]]
    assert list(account.standing.sources) == ["opened_often"]


def test_an_experiment_can_rank_without_the_plugins(world):
    ranking = rank(world.context(), replace(CONFIG, use_plugins=False))
    slate = build_slate(ranking)
    assert np.isnan(ranking.scores.features[:, feature_index()["source_missed"]]).all()
    assert not len(ranking.candidates.proposals["opened_often"])
    assert ranking.placed.at.tolist() == ranking.order.order.tolist()
    assert all(r.code is not ReasonCode.OWN_SOURCE for of in slate.reasons for r in of)


def test_its_source_proposes_nothing_that_may_not_be_shown(world):
    read = world.reader(range(60))
    ranking = rank(world.context(read))
    proposed = ranking.candidates.proposals["opened_often"]
    assert len(proposed)
    assert not set(proposed.tolist()) & set(range(60))


def test_its_rule_parts_the_sources_and_loses_nothing(world):
    ranking = rank(world.context())
    assert adjacent(world, ranking.candidates.rows[ranking.order.order][:60]) > 0
    slate = build_slate(ranking)
    assert adjacent(world, slate.rows[:60]) == 0
    assert len(slate) == len(ranking.order.order)


def test_pins_and_limits_hold_against_its_rule(world):
    limit = minimum("money", 3, 5)
    slate = recommend(world.context(limits=(limit,), pins=(pin("a40", 2),)), CONFIG)
    assert world.pool.ids.ids[slate.rows[2]] == "a40"
    money = world.pool.sections.row("money")
    assert (world.pool.section[slate.rows[:5]] == money).sum() >= 3
    assert slate.trace.limits[0].met


class Nothing:
    """A rule that leaves out every article of a section, and later fails."""

    name = "no_money"
    fails = False

    def apply(self, moment, scores):
        del scores
        if self.fails:
            raise RuntimeError("out of order")
        return np.flatnonzero(moment.articles.sections != "money")


@pytest.fixture
def filtering(monkeypatch):
    rule = Nothing()
    monkeypatch.setattr("feed.ranking.plugin_steps._RULES", (rule,))
    return rule


@pytest.mark.usefixtures("filtering")
def test_a_rule_that_filters_gives_back_what_a_limit_needs(world):
    money = world.pool.sections.row("money")
    ranking = rank(world.context())
    slate = build_slate(ranking)
    assert not (world.pool.section[slate.rows] == money).any()
    row = next(r for r in ranking.candidates.rows.tolist() if world.pool.section[r] == money)
    assert explain_absence(ranking, row, 20).verdict in {"own_rule", "duplicate"}
    limit = minimum("money", 2, 6)
    slate = recommend(world.context(limits=(limit,)), CONFIG)
    assert (world.pool.section[slate.rows] == money).sum() == 2
    assert slate.trace.limits[0].met
    exploring = replace(CONFIG, explore_slots=3)
    for seed in range(30):
        drawn = recommend(world.context(seed=seed), exploring)
        assert not (world.pool.section[drawn.rows] == money).any()


def test_a_rule_that_fails_in_the_service_is_left_out(world, filtering):
    filtering.fails = True
    guard_plugins(60.0)
    slate = recommend(world.context(), CONFIG)
    assert len(slate) > 50


def test_its_ranker_learns_from_what_came_before_alone_and_comes_back(tmp_path):
    log = draw_log()
    until = float(log.impressions.at[300])
    vectors = draw_vectors(log)
    whole = train(log, until, SMALL, RankingConfig(), embeddings=vectors, version="v1")
    cut = train(
        log.window(-np.inf, until), until, SMALL, RankingConfig(), embeddings=vectors, version="v1"
    )
    assert isinstance(whole.ranker, TaughtByPlugin)
    assert whole.ranker.name == active_plugins().ranker.name == "logistic"
    assert whole.ranker.save() == cut.ranker.save()
    assert whole.manifest["feature_bins"].keys() == {feature.name for feature in FEATURES}
    save_bundle(whole, tmp_path / "v1")
    back = load_bundle(tmp_path / "v1")
    features = np.random.default_rng(1).normal(size=(30, len(FEATURES))).astype(np.float32)
    for head in ("ranker", "slate_ranker"):
        before, after = getattr(whole, head), getattr(back, head)
        np.testing.assert_array_equal(before.margin(features), after.margin(features))
        parts = after.contributions(features, after.margin(features), [(PLUGINS,), ("trend",)])
        assert np.abs(parts).max() > 0


def test_a_ranker_that_learned_before_a_feature_came_does_not_see_it():
    class FirstColumns:
        def margin(self, features):
            assert features.shape[1] == len(BUILT_IN)
            return features[:, 0]

        def save(self):
            return b"-"

    ranker = TaughtByPlugin("logistic", FirstColumns(), np.zeros(len(BUILT_IN)))
    features = np.random.default_rng(2).normal(size=(7, len(FEATURES))).astype(np.float32)
    np.testing.assert_array_equal(ranker.margin(features), features[:, 0])
    parts = ranker.contributions(features, ranker.margin(features), [(PLUGINS,), ("content",)])
    np.testing.assert_allclose(parts, np.stack([np.zeros(7), features[:, 0]], axis=1), rtol=1e-6)


def test_models_go_from_one_process_to_another():
    """Saves a model that needs the plugins, and reads one that knows nothing of them."""
    folder = Path(os.environ["LAWS_FOLDER"])
    plain = load_bundle(folder / "plain")
    features = np.load(folder / "features.npy")
    of_plugins = np.ones((len(features), len(FEATURES) - len(BUILT_IN)), np.float32)
    features, margin = np.hstack([features, of_plugins]), np.load(folder / "margin.npy")
    np.testing.assert_array_equal(plain.ranker.margin(features), margin)
    np.testing.assert_array_equal(plain.ranker.with_threads(2).margin(features), margin)
    np.testing.assert_array_equal(
        plain.ranker.contributions(features, margin, [(PLUGINS,)]), np.zeros((len(margin), 1))
    )
    log = draw_log()
    until = float(log.impressions.at[300])
    bundle = train(log, until, SMALL, RankingConfig(), version="of-plugins")
    save_bundle(bundle, folder / "of-plugins")
