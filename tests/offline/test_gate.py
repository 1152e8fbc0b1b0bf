"""The gate on worlds whose answer is known."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import orjson
import pytest

from feed.config import RankingConfig
from feed.domain import parse_time
from feed.models.bundle import ModelBundle
from feed.offline import gate
from feed.offline.event_log import EventLog
from feed.offline.gate import (
    DAY_ONE,
    FEWEST_LISTS,
    GateVerdict,
    decide,
    judge,
    measure,
    measure_each,
)
from feed.offline.methods import CLICKS_BY_AGE
from feed.offline.ranking_metrics import MeanEstimate
from feed.offline.training import TimeSpan, hold_out, train, train_on_walk
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig

CONFIG = TrainingConfig(factors=8, iterations=5, ranker_trees=30, ranker_min_impressions=50)
RANKING = RankingConfig()
MARGIN = 0.01


def learn(log: EventLog, version: str = "v1") -> ModelBundle:
    return train(log, hold_out(log).start, CONFIG, RANKING, version=version)


def verdict_on(
    log: EventLog, candidate: ModelBundle, live: ModelBundle | None, margin: float = MARGIN
) -> GateVerdict:
    return judge(log, candidate, live, hold_out(log), margin, RANKING)


def reversed_choices(log: EventLog) -> EventLog:
    """Return a log in which everything shown was clicked but what really was."""
    views = log.impressions
    return replace(log, impressions=replace(views, clicked=~views.clicked))


@pytest.fixture(scope="module")
def world(make_world) -> EventLog:
    return make_world(lists=800, taste=5.0)


@pytest.fixture(scope="module")
def good(world) -> ModelBundle:
    return learn(world, "good")


@pytest.fixture(scope="module")
def bad(world) -> ModelBundle:
    return learn(reversed_choices(world), "bad")


@pytest.mark.parametrize(
    ("low", "high", "passed", "reason"),
    [
        (0.001, 0.03, True, "better than v1"),
        (0.0, 0.03, True, "not worse than v1 by more than 0.01"),
        (-0.01, 0.03, True, "not worse than v1 by more than 0.01"),
        (-0.01, -0.002, True, "not worse than v1 by more than 0.01"),
        (-0.0101, 0.03, False, "may be worse than v1 by more than 0.01"),
        (-0.0101, 0.0, False, "may be worse than v1 by more than 0.01"),
        (-0.0101, -0.001, False, "is worse than v1"),
    ],
)
def test_a_candidate_passes_if_its_whole_interval_is_above_the_margin(low, high, passed, reason):
    difference = MeanEstimate((low + high) / 2, low, high, FEWEST_LISTS)
    assert decide(difference, 0.01, "v1") == (passed, reason)


def test_too_few_lists_decide_nothing_however_good_they_look():
    few = MeanEstimate(0.2, 0.1, 0.3, FEWEST_LISTS - 1)
    assert decide(few, 0.01, "v1") == (False, "only 49 clicked lists to compare it with v1")
    assert decide(replace(few, n=FEWEST_LISTS), 0.01, "v1") == (True, "better than v1")


@pytest.mark.parametrize(("low", "better"), [(0.001, True), (0.0, False), (np.nan, False)])
def test_better_means_the_whole_interval_lies_above_zero(low, better):
    known = MeanEstimate(0.5, low, 1.0, 100)
    verdict = GateVerdict(
        passed=True,
        reason="",
        candidate=known,
        other=known,
        difference=known,
        rival=known,
        lead=known,
        against=DAY_ONE,
        margin=MARGIN,
        window=TimeSpan(0.0, 1.0),
    )
    assert verdict.better == better
    assert verdict.to_dict()["better"] == better


def test_where_readers_have_tastes_the_first_model_beats_the_day_one_weights(make_world):
    world = make_world(lists=2_000, taste=5.0)
    verdict = verdict_on(world, learn(world), None)
    assert verdict.passed
    assert verdict.better
    assert verdict.against == DAY_ONE
    assert verdict.candidate.mean > verdict.other.mean + 0.02
    assert verdict.reason == f"better than {DAY_ONE}"
    assert verdict.lead.mean == pytest.approx(verdict.candidate.mean - verdict.rival.mean)
    assert verdict.lead.low > 0
    told = verdict.to_dict()
    assert told["rival"] == {"name": CLICKS_BY_AGE, **asdict(verdict.rival)}
    assert told["lead"] == asdict(verdict.lead)


def test_a_first_model_that_is_worse_than_no_model_is_refused(world, bad):
    verdict = verdict_on(world, bad, None)
    assert not verdict.passed
    assert verdict.reason == f"is worse than {DAY_ONE}"
    assert verdict.difference.high < 0


def test_a_first_model_is_compared_with_the_weights_on_its_own_candidates(world, good):
    without = replace(good, version="without", ranker=None)
    day_one = measure(world, without, hold_out(world), RANKING).model
    found = measure(world, good, hold_out(world), RANKING)
    np.testing.assert_array_equal(found.day_one, day_one)
    assert verdict_on(world, good, None).other.mean == pytest.approx(day_one.mean())


def test_a_first_model_without_a_learned_ranker_passes_however_few_lists_there_are(world, good):
    end = hold_out(world).end
    without = replace(good, ranker=None)
    for window in (hold_out(world), TimeSpan(end, end)):
        verdict = judge(world, without, None, window, MARGIN, RANKING)
        assert verdict.passed
        assert verdict.reason == f"it learnt no ranker, so it orders by {DAY_ONE}"
        assert not verdict.better


def test_where_nobody_has_a_taste_no_model_is_called_better_than_another(make_world):
    log = make_world(lists=800, taste=0.0, seed=5)
    other_seed = replace(CONFIG, seed=CONFIG.seed + 1)
    until = hold_out(log).start
    candidate = train(log, until, other_seed, RANKING, version="v2")
    verdict = verdict_on(log, candidate, learn(log))
    assert not verdict.better
    assert verdict.difference.low <= 0 <= verdict.difference.high


def test_a_worse_candidate_is_refused(world, good, bad):
    verdict = verdict_on(world, bad, good)
    assert not verdict.passed
    assert verdict.reason == "is worse than good"
    assert verdict.candidate.mean < verdict.other.mean


def test_a_better_candidate_passes(world, good, bad):
    verdict = verdict_on(world, good, bad)
    assert verdict.passed
    assert verdict.better
    assert verdict.against == "bad"


def test_a_candidate_like_the_live_model_passes(world, good):
    verdict = verdict_on(world, good, replace(good, version="live"))
    assert verdict.passed
    assert (verdict.difference.mean, verdict.difference.low) == (0.0, 0.0)
    assert verdict.reason == "not worse than live by more than 0.01"


def test_where_the_interval_reaches_below_the_margin_what_serves_goes_on(world, good):
    verdict = verdict_on(world, good, replace(good, version="live"), margin=-0.01)
    assert not verdict.passed


def test_with_too_few_lists_what_serves_goes_on(world, good):
    end = hold_out(world).end
    tiny = TimeSpan(float(world.impressions.at[-20]), end)
    against_live = judge(world, good, replace(good, version="live"), tiny, MARGIN, RANKING)
    assert not against_live.passed
    assert against_live.reason == "only 20 clicked lists to compare it with live"
    first = judge(world, good, None, tiny, MARGIN, RANKING)
    assert not first.passed
    nothing = judge(world, good, None, TimeSpan(end, end), MARGIN, RANKING)
    assert not nothing.passed
    assert nothing.candidate.n == 0
    assert not nothing.better


def test_a_verdict_goes_into_a_manifest_with_both_numbers(world, good):
    end = hold_out(world).end
    for verdict in (
        verdict_on(world, good, None),
        judge(world, good, None, TimeSpan(end, end), MARGIN, RANKING),
    ):
        kept = verdict.to_dict()
        assert orjson.loads(orjson.dumps(kept)) == kept
        assert kept["verdict"] == ("passed" if verdict.passed else "refused")
        assert kept["metric"] == "pool nDCG@10"
        mean = kept["candidate"]["mean"]
        assert mean is None if not verdict.candidate.n else np.isclose(mean, verdict.candidate.mean)
        assert kept["other"]["n"] == verdict.other.n
        assert kept["margin"] == MARGIN
        window = [verdict.window.start, verdict.window.end]
        assert [parse_time("window", text) for text in kept["window"]] == pytest.approx(
            window, abs=1e-3
        )


def test_of_many_lists_every_nth_is_measured(world, good):
    window = hold_out(world)
    all_of_them = measure(world, good, window, RANKING)
    few = measure(world, good, window, RANKING, most_lists=len(all_of_them.model) // 3)
    assert 0 < len(few.model) <= len(all_of_them.model) // 3 + 1
    assert set(few.users) <= set(all_of_them.users)


def test_the_progress_of_one_model_and_of_two_goes_from_nothing_to_all(world, good):
    for live in (None, replace(good, version="live")):
        seen: list[float] = []
        judge(world, good, live, hold_out(world), MARGIN, RANKING, progress=seen.append)
        assert seen == sorted(seen)
        assert 0.4 < seen[0] <= 1.0
        assert seen[-1] == pytest.approx(1.0, abs=0.05)


def test_models_measured_in_one_walk_have_the_numbers_that_each_has_alone(world, good, bad):
    window = hold_out(world)
    both = measure_each(world, [good, bad], window, RANKING)
    for found, bundle in zip(both, (good, bad), strict=True):
        alone = measure(world, bundle, window, RANKING)
        assert np.array_equal(found.model, alone.model)
        assert np.array_equal(found.users, alone.users)
        assert found.notes == alone.notes


@pytest.mark.parametrize("at_once", [1, 7])
def test_how_many_lists_are_scored_together_changes_no_number(world, good, monkeypatch, at_once):
    window = hold_out(world)
    usual = measure(world, good, window, RANKING)
    monkeypatch.setattr(gate, "SCORED_AT_ONCE", at_once)
    found = measure(world, good, window, RANKING)
    assert np.array_equal(found.users, usual.users)
    assert found.notes == usual.notes
    for name in ("model", "day_one"):
        np.testing.assert_array_equal(getattr(found, name), getattr(usual, name))
    assert np.mean(found.rival == usual.rival) > 0.95  # a draw decides between equal scores


def test_the_gate_goes_on_from_what_training_has_replayed(world, good):
    window = hold_out(world)
    _, past = train_on_walk(world, window.start, CONFIG, RANKING)
    counted = past.replay.signals.counters.began_at
    assert counted < window.start
    assert judge(world, good, None, window, MARGIN, RANKING, past=past) == judge(
        world, good, None, window, MARGIN, RANKING
    )
    with pytest.raises(ValueError, match="past must end before the first list"):
        Walk(world, WalkPlan(start=window.start, end=window.end), None, past=past)
