"""The gate on worlds whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest

from feed.config import RankingConfig, TrainingConfig
from feed.models.bundle import ModelBundle
from feed.offline.event_log import EventLog
from feed.offline.gate import POPULARITY, Verdict, judge
from feed.offline.training import Window, hold_out, train

CONFIG = TrainingConfig(factors=8, iterations=5, ranker_trees=30, ranker_min_impressions=50)
RANKING = RankingConfig()
MARGIN = 0.01


def learn(log: EventLog, version: str = "v1") -> ModelBundle:
    return train(log, hold_out(log).start, CONFIG, RANKING, version=version)


def decide(
    log: EventLog, candidate: ModelBundle, live: ModelBundle | None, margin: float = MARGIN
) -> Verdict:
    return judge(log, candidate, live, hold_out(log), margin, RANKING)


def reversed_choices(log: EventLog) -> EventLog:
    """Return a log in which everything shown was clicked but what really was."""
    views = log.impressions
    return replace(log, impressions=replace(views, clicked=~views.clicked))


@pytest.fixture(scope="module")
def world(make_world) -> EventLog:
    return make_world(lists=800, taste=3.0)


@pytest.fixture(scope="module")
def good(world) -> ModelBundle:
    return learn(world, "good")


@pytest.fixture(scope="module")
def bad(world) -> ModelBundle:
    return learn(reversed_choices(world), "bad")


def test_where_readers_have_tastes_the_first_model_beats_popularity(world, good):
    verdict = decide(world, good, None)
    assert verdict.passed
    assert verdict.better
    assert verdict.against == POPULARITY
    assert verdict.candidate.mean > verdict.other.mean + 0.02
    assert verdict.reason == f"better than {POPULARITY}; no model is live"


def test_where_nobody_has_a_taste_no_model_is_called_better_than_another(make_world):
    log = make_world(lists=800, taste=0.0, seed=5)
    other_seed = replace(CONFIG, seed=CONFIG.seed + 1)
    until = hold_out(log).start
    candidate = train(log, until, other_seed, RANKING, version="v2")
    verdict = decide(log, candidate, learn(log))
    assert not verdict.better
    assert verdict.difference.low <= 0 <= verdict.difference.high


def test_a_worse_candidate_is_refused(world, good, bad):
    verdict = decide(world, bad, good)
    assert not verdict.passed
    assert verdict.reason == "is worse than good"
    assert verdict.candidate.mean < verdict.other.mean


def test_a_better_candidate_passes(world, good, bad):
    verdict = decide(world, good, bad)
    assert verdict.passed
    assert verdict.better
    assert verdict.against == "bad"


def test_a_candidate_like_the_live_model_passes(world, good):
    verdict = decide(world, good, replace(good, version="live"))
    assert verdict.passed
    assert (verdict.difference.mean, verdict.difference.low) == (0.0, 0.0)
    assert verdict.reason == "not worse than live by more than 0.01"


def test_where_the_interval_reaches_below_the_margin_what_serves_goes_on(world, good):
    verdict = decide(world, good, replace(good, version="live"), margin=-0.01)
    assert not verdict.passed


def test_with_too_few_lists_a_live_model_stays_and_a_first_one_is_published(world, good):
    end = hold_out(world).end
    tiny = Window(float(world.impressions.at[-20]), end)
    against_live = judge(world, good, replace(good, version="live"), tiny, MARGIN, RANKING)
    assert not against_live.passed
    assert against_live.reason == "only 20 clicked lists that live has not learnt from"
    first = judge(world, good, None, tiny, MARGIN, RANKING)
    assert first.passed
    nothing = judge(world, good, None, Window(end, end), MARGIN, RANKING)
    assert nothing.passed
    assert nothing.candidate.n == 0


def test_a_verdict_goes_into_a_manifest_with_both_numbers(world, good):
    end = hold_out(world).end
    for verdict in (
        decide(world, good, None),
        judge(world, good, None, Window(end, end), MARGIN, RANKING),
    ):
        kept = orjson.loads(orjson.dumps(verdict.to_dict()))
        assert kept["verdict"] == "passed"
        assert kept["metric"] == "pool nDCG@10"
        mean = kept["candidate"]["mean"]
        assert mean is None if not verdict.candidate.n else np.isclose(mean, verdict.candidate.mean)
        assert kept["other"]["n"] == verdict.other.n
