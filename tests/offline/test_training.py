"""Training from a log: what is learnt, from what, and what the gate may judge it by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import ArchiveError, format_time
from feed.features.ids import IdMap
from feed.offline.event_log import EventLog
from feed.offline.fitting import draw_ids, fit_bundle
from feed.offline.training import TrainingLimits, hold_out, train
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig

HOUR = 3600.0
SMALL = TrainingConfig(factors=8, iterations=5, ranker_trees=10, ranker_min_impressions=50)


def end_of(log: EventLog) -> float:
    return max(float(log.impressions.at[-1]), float(log.events.columns.occurred_at[-1])) + 1.0


def test_the_slice_held_out_is_the_newest_tenth_or_more_until_it_can_decide(make_world):
    log = make_world(lists=900)
    window = hold_out(log)
    begin = min(float(log.impressions.at[0]), float(log.events.columns.occurred_at[0]))
    assert window.end == end_of(log)
    assert 0.09 < (window.end - window.start) / (window.end - begin) <= 0.2501


def test_the_slice_never_reaches_back_into_what_the_live_model_learnt(make_world):
    log = make_world(lists=900)
    free = hold_out(log)
    assert hold_out(log, free.start - HOUR) == free
    assert hold_out(log, free.start + HOUR).start == free.start + HOUR
    beyond = hold_out(log, free.end + HOUR)
    assert beyond.start == beyond.end


def test_nothing_at_or_after_the_end_of_training_is_learnt(make_world):
    log = make_world(lists=500)
    until = hold_out(log).start
    columns = log.events.columns
    late = columns.occurred_at >= until
    other = columns.articles.copy()
    other[late] = other[late][::-1]
    changed = replace(log, events=replace(log.events, columns=replace(columns, articles=other)))
    first = train(log, until, SMALL, RankingConfig())
    second = train(changed, until, SMALL, RankingConfig())
    assert np.array_equal(first.factors, second.factors)
    assert np.array_equal(first.neighbour_index, second.neighbour_index)
    assert first.ranker is not None
    assert second.ranker is not None
    assert first.ranker.text == second.ranker.text


def test_examples_are_the_same_when_models_are_fitted_ahead_and_fewer_when_sampled(make_world):
    log = make_world(lists=400)
    until = hold_out(log).start
    found, learnt_slates = [], []
    for changes in ({}, {"fit_ahead": True}, {"learn_slate_every": 3}):
        plan = WalkPlan.to_learn(until, retrain_every_s=6 * HOUR, training=SMALL, **changes)
        walk = Walk(log, plan, None)
        walk.learn()
        found.append({head: walk.examples(head, until) for head in ("slate", "pool")})
        learnt_slates.append(len(found[-1]["slate"]))
    for head in ("slate", "pool"):
        np.testing.assert_array_equal(found[0][head].features, found[1][head].features)
    np.testing.assert_array_equal(found[0]["pool"].features, found[2]["pool"].features)
    assert learnt_slates[2] == pytest.approx(learnt_slates[0] / 3, rel=0.3)


def test_of_many_lists_the_newest_teach_and_of_a_short_span_every_nth(make_world):
    log = make_world(lists=900, hours=90.0)
    until = hold_out(log).start
    taught = log.impressions.at[log.impressions.at < until]
    few = TrainingLimits(slate_lists=300, pool_lists=100, least_span_s=6 * HOUR, large_log=1)
    bundle = train(log, until, SMALL, RankingConfig(), limits=few)
    assert bundle.manifest["examples_from"] == format_time(taught[-300])
    short = replace(few, least_span_s=48 * HOUR)
    bundle = train(log, until, SMALL, RankingConfig(), limits=short)
    assert bundle.manifest["examples_from"] == format_time(until - 48 * HOUR)


def test_lists_teach_in_runs_where_not_all_of_them_do(make_world):
    log = make_world(lists=400)
    until = hold_out(log).start
    plan = WalkPlan.to_learn(until, retrain_every_s=6 * HOUR, training=SMALL, heads=("slate",))
    found = []
    for changes in ({}, {"learn_slate_every": 3, "learn_run": 16}):
        walk = Walk(log, replace(plan, **changes), None)
        walk.learn()
        found.append(walk.examples("slate", until))
    views = log.impressions
    taught = [
        seen.number
        for seen in views
        if seen.at < until and 0 < seen.clicked.sum() < len(seen.shown)
    ]
    places = [place for place, number in enumerate(taught) if number // 16 % 3 == 0]
    assert len(found[1]) == len(places) < len(taught) / 2
    ends = np.cumsum(found[0].sizes)
    rows = np.concatenate([np.arange(ends[p] - found[0].sizes[p], ends[p]) for p in places])
    np.testing.assert_array_equal(found[0].features[rows], found[1].features)


def test_the_ranker_of_a_large_log_never_learns_from_what_is_older_than_its_examples(make_world):
    log = make_world(lists=900, hours=90.0)
    until = hold_out(log).start
    plan = WalkPlan.to_learn(until, retrain_every_s=6 * HOUR, training=SMALL)
    newest = replace(plan, learn_from=until - 20 * HOUR)
    found = []
    for some in (plan, newest):
        walk = Walk(log, some, None)
        assert walk.learn() == len(log.impressions.between(walk.learn_from, until))
        found.append(walk.examples("slate", until))
    count = len(found[1])
    assert 0 < count < len(found[0])
    _, tail = found[0].split(len(found[0]) - count)
    assert np.array_equal(tail.clicked, found[1].clicked)


def test_factors_of_a_period_are_fitted_to_some_readers_and_the_last_to_all(make_world):
    log = make_world(lists=900)
    until = hold_out(log).start
    whole = fit_bundle(log, until, SMALL)
    some = fit_bundle(log, until, SMALL, most_engagements=len(log.events) // 4)
    assert 0.1 < some.manifest["readers"] / whole.manifest["readers"] < 0.5
    few = TrainingLimits(slate_lists=300, period_engagements=len(log.events) // 4, large_log=1)
    bundle = train(log, until, SMALL, RankingConfig(), limits=few)
    assert np.array_equal(bundle.factors, whole.factors)
    assert np.array_equal(bundle.neighbour_index, whole.neighbour_index)


def test_the_readers_drawn_depend_on_nothing_but_their_ids():
    ids = IdMap(f"reader-{n}" for n in range(4000))
    drawn = draw_ids(ids, 0.25)
    assert 0.2 < drawn.mean() < 0.3
    backwards = IdMap(reversed(ids.ids))
    assert np.array_equal(draw_ids(backwards, 0.25)[::-1], drawn)
    assert (draw_ids(ids, 0.5) >= drawn).all()
    assert draw_ids(ids, 1.0).all()


def test_a_bundle_says_what_it_was_learnt_from(make_world):
    log = make_world(lists=500)
    until = hold_out(log).start
    bundle = train(log, until, SMALL, RankingConfig(), version="v7")
    manifest = bundle.manifest
    assert bundle.version == "v7"
    assert manifest["learnt_until"] == until
    assert manifest["rankers"] == ["pool", "slate"]
    assert manifest["clicked_lists"] == manifest["lists"] == int((log.impressions.at < until).sum())
    assert manifest["parameters"]["factors"] == SMALL.factors


def test_too_few_clicked_feeds_give_factors_and_no_ranker(make_world):
    log = make_world(lists=200)
    config = replace(SMALL, ranker_min_impressions=500)
    bundle = train(log, hold_out(log).start, config, RankingConfig())
    assert bundle.factors.any()
    assert bundle.ranker is None
    assert bundle.slate_ranker is None
    assert bundle.manifest["rankers"] == []


def test_without_an_engine_there_are_neighbours_and_rankers_but_no_factors(make_world):
    log = make_world(lists=400)
    bundle = train(log, hold_out(log).start, replace(SMALL, factors=0), RankingConfig())
    assert bundle.factors.shape == (len(bundle.article_ids), 0)
    assert (bundle.neighbour_index >= 0).any()
    assert bundle.ranker is not None


def test_articles_of_one_taste_lie_together(make_world):
    log = make_world(lists=900, taste=4.0)
    bundle = train(log, end_of(log), SMALL, RankingConfig())
    read = np.flatnonzero(bundle.readers >= 3)
    unit = bundle.factors[read] / np.linalg.norm(bundle.factors[read], axis=1, keepdims=True)
    section = np.array([int(bundle.article_ids.ids[r][1:]) % 2 for r in read.tolist()])
    alike = unit @ unit.T
    np.fill_diagonal(alike, np.nan)
    same = section[:, None] == section
    assert np.nanmean(alike[same]) > np.nanmean(alike[~same]) + 0.2


def test_a_log_without_events_cannot_be_trained_on(make_world):
    log = make_world(lists=3)
    views, events = log.impressions, log.events
    nothing = slice(0, 0)
    columns = replace(
        events.columns,
        **{f: getattr(events.columns, f)[nothing] for f in ("users", "articles", "kinds")},
        occurred_at=np.zeros(0),
        dwell_s=np.zeros(0),
    )
    empty = replace(
        log,
        impressions=replace(views, at=np.zeros(0)),
        events=replace(events, columns=columns),
    )
    with pytest.raises(ArchiveError, match="no events"):
        hold_out(empty)
