"""What the tuning, ablation and boost tables are made of, on worlds whose answer is known."""

import numpy as np
import pytest
from lab.ablation.collaborative import compare_cold_start
from lab.ablation.data import Reads
from lab.ablation.kept_lists import boost
from lab.ablation.log import ask, compare_decay, compare_weights
from lab.ablation.parameters import Setting, choose_teaching
from lab.bench.boost_replay import HALF_LIVES_MINUTES, RANKERS, STRENGTHS, choose, sweep_boost
from lab.tuning import GRID, rebuild_examples, tune

from feed.offline.examples import Examples
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0

SMALL = override(
    TrainingConfig(),
    {
        "factors": 8,
        "iterations": 4,
        "ranker_trees": 20,
        "ranker_leaves": 7,
        "ranker_min_impressions": 100,
        "neighbours": 10,
    },
)


@pytest.fixture(scope="module")
def world(make_world):
    return make_world(taste=3.0, lists=600)


@pytest.fixture(scope="module")
def curve(world):
    plan = WalkPlan(
        start=T0 + 36 * HOUR,
        end=T0 + 42 * HOUR,
        retrain_every_s=12 * HOUR,
        learn_pool_every=1,
        training=SMALL,
    )
    return sweep_boost(world, plan)


def test_the_boost_is_measured_at_every_strength_and_half_life_with_both_rankers(curve):
    settings = {(p.ranker, p.half_life_minutes, p.boost) for p in curve}
    assert len(curve) == len(settings) == len(RANKERS) * len(HALF_LIVES_MINUTES) * len(STRENGTHS)
    assert len({p.ndcg.n for p in curve}) == 1
    assert curve[0].ndcg.n > 30


def test_without_strength_nothing_is_gained_and_half_lives_agree(curve):
    still = [p for p in curve if p.boost == 0.0]
    assert all(p.gain.mean == p.gain.low == p.gain.high == 0.0 for p in still)
    for ranker in RANKERS:
        assert len({p.ndcg.mean for p in still if p.ranker == ranker}) == 1


def test_a_stronger_boost_never_shows_fewer_rising_articles(curve):
    for ranker in RANKERS:
        for minutes in HALF_LIVES_MINUTES:
            mine = [p for p in curve if (p.ranker, p.half_life_minutes) == (ranker, minutes)]
            shares = [p.rising for p in sorted(mine, key=lambda p: p.boost)]
            assert shares == sorted(shares)


def test_the_weakest_boost_among_equals_is_chosen(curve):
    chosen = choose(curve)
    mine = [p for p in curve if p.ranker == RANKERS[0]]
    assert round(chosen.ndcg.mean, 4) == max(round(p.ndcg.mean, 4) for p in mine)
    assert all(p.boost >= chosen.boost for p in mine if p.ndcg.mean == chosen.ndcg.mean)


def test_tuning_tries_every_setting_of_both_heads_and_sees_nothing_later(world, scramble_future):
    until, split = T0 + 40 * HOUR, T0 + 30 * HOUR
    found = []
    for log in (world, scramble_future(world, until, 5)):
        walk = rebuild_examples(log, T0, until, SMALL)
        found.append(list(tune(walk, split, until, SMALL, grid=GRID[::4])))
    assert found[0] == found[1]
    assert [t.head for t in found[0]] == ["slate"] * 3 + ["pool"] * 3
    assert [t.parameters for t in found[0][:3]] == list(GRID[::4])
    assert all(0.5 < t.auc <= 1.0 and t.lists > 50 for t in found[0])


def test_decay_and_weights_are_asked_of_articles_that_could_have_been_shown(world):
    start, end = T0 + 36 * HOUR, T0 + 42 * HOUR
    views = world.impressions
    for question in ask(world, start, end, seed=1):
        now = views.at[question.impression]
        assert start <= now < end
        lists = np.flatnonzero((views.at < now) & (views.at >= now - 48 * HOUR))
        shown = [views.shown[views.starts[i] : views.starts[i + 1]] for i in lists]
        assert set(question.among.tolist()) == set(np.concatenate(shown).tolist())
        assert question.wanted in question.among


def test_each_half_life_and_weight_has_a_row_over_the_same_clicks(world):
    window = T0 + 36 * HOUR, T0 + 42 * HOUR
    rows = [*compare_decay(world, *window, SMALL), *compare_weights(world, *window, SMALL)]
    assert {row.question for row in rows} == {
        "matrix half-life",
        "fold-in half-life",
        "event weights",
    }
    assert len({row.ndcg.n for row in rows}) == 1
    assert rows[0].ndcg.n > 20


def test_unread_articles_are_found_by_what_they_are_about_and_only_the_oracle_knows_their_reads():
    rng = np.random.default_rng(2)
    articles, taste = 80, 2
    content = np.zeros((articles, taste), np.float32)
    content[np.arange(articles), np.arange(articles) % taste] = 1.0
    users = np.repeat(np.arange(150), 12)
    read = rng.integers(articles // taste, size=len(users)) * taste + users % taste
    reads = Reads(users, read, np.arange(len(users), dtype=float), np.ones(len(users)), content)
    rows = {r.variant: r.ndcg for r in compare_cold_start(reads, SMALL)}
    assert rows["content map"].low > rows["random"].high
    assert rows["content map"].low > rows["popularity of like articles"].high
    assert "oracle: their reads to come" in rows


def test_a_setting_s_lists_keep_their_clicks_and_as_many_others_as_it_wants():
    sizes = np.array([4, 2, 3, 5])
    clicked = np.zeros(14, bool)
    clicked[[1, 4, 8, 9, 10]] = True
    features = np.arange(14, dtype=np.float32)[:, None]
    examples = Examples(features, clicked, sizes)
    everything = choose_teaching(examples, Setting(name="all"))
    np.testing.assert_array_equal(everything.features, features)
    some = choose_teaching(examples, Setting(name="some", every=2, negatives=1))
    assert some.sizes.tolist() == [2, 2]
    assert set(some.features[some.clicked].ravel().tolist()) == {1.0, 8.0}
    assert set(some.features[~some.clicked].ravel().tolist()) <= {0.0, 2.0, 3.0, 6.0, 7.0}


def test_trees_are_compared_with_the_parameters_that_are_changed():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 3)).astype(np.float32)
    examples = Examples(features, features[:, 0] > 1, np.full(200, 10))
    for head in ("slate", "pool"):
        assert boost(features, examples, head, 1, {"num_iterations": 3}).num_trees() == 3
        changes = {"feature_contri": [0.0, 1.0, 1.0]}
        used = boost(features, examples, head, 1, changes).feature_importance("split")
        assert used[0] == 0 < used[1:].sum()
