"""A log read a part at a time says what the whole log says, and memory does not grow with it."""

from dataclasses import replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.features.interactions import CLICK
from feed.offline.evaluation import evaluate
from feed.offline.event_log import sort_events
from feed.offline.log_source import PART_S, StoredLog, parts
from feed.offline.merges import LogMerge, Merges
from feed.offline.reader_log import (
    HISTORY_EVENTS,
    PREVIOUS_CLICKS,
    READ_CLICKS,
    SHOWN_ENTRIES,
    ReaderLog,
)
from feed.offline.replay import Replay
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
CONFIG = RankingConfig()


@pytest.fixture(scope="module")
def world(make_world):
    return make_world(lists=1500, hours=120.0, seed=4)


@pytest.fixture
def stored(world, tmp_path):
    return StoredLog(world, tmp_path)


def columns_of(log):
    events, views = log.events, log.impressions
    return [
        events.columns.users,
        events.columns.articles,
        events.columns.kinds,
        events.columns.occurred_at,
        events.columns.dwell_s,
        events.from_feed,
        events.counted,
        events.first,
        events.arrives_at,
        views.keys,
        views.users,
        views.at,
        views.starts,
        views.shown,
        views.clicked,
    ]


@pytest.mark.parametrize(("start", "end"), [(-1e9, 1e9), (30, 31), (20, 80), (50, 20), (200, 300)])
def test_any_window_of_files_is_that_of_the_log_in_memory(world, stored, start, end):
    window = T0 + start * HOUR, T0 + end * HOUR
    mine, theirs = stored.window(*window), world.window(*window)
    assert mine.impressions.first == theirs.impressions.first or not len(theirs.impressions)
    for a, b in zip(columns_of(mine), columns_of(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_parts_are_the_log_in_order_and_none_is_longer_than_a_day(world, stored):
    found = list(parts(stored, -np.inf, np.inf))
    assert len(found) >= 5
    assert all(part.ends_at - part.begins_at < PART_S for part in found)
    keys = np.concatenate([part.impressions.keys for part in found])
    np.testing.assert_array_equal(keys, world.impressions.keys)
    numbers = [seen.number for part in found for seen in part.impressions]
    assert numbers == list(range(len(world.impressions)))


def test_a_day_without_anything_is_no_part_and_stops_nobody(world, tmp_path):
    events, views = world.events, world.impressions
    gap = 3 * PART_S
    later = views.at >= T0 + 60 * HOUR
    at = np.where(later, views.at + gap, views.at)
    done = events.columns.occurred_at
    moved = np.where(done >= T0 + 60 * HOUR, done + gap, done)
    columns = replace(events.columns, occurred_at=moved)
    broken = replace(
        world,
        impressions=replace(views, at=at),
        events=replace(events, columns=columns, arrives_at=moved),
    )
    replay = Replay(StoredLog(broken, tmp_path))
    replay.advance(np.inf)
    whole = Replay(world)
    whole.advance(np.inf)
    rows = np.arange(len(world.articles))
    readers = replay.signals.counters.readers(rows)
    np.testing.assert_array_equal(readers, whole.signals.counters.readers(rows))


def test_a_reader_is_the_same_from_parts_as_from_the_whole_log(world, stored):
    whole, replay = ReaderLog(), Replay(stored)
    whole.take(world)
    for now in T0 + np.array([5.0, 23.9, 24.1, 60.0, 119.0]) * HOUR:
        replay.advance(now)
        for user in range(0, len(world.users), 7):
            mine, theirs = (r.profile(user, now, CONFIG) for r in (replay.readers, whole))
            for name in ("clicked_rows", "fold_in_weights", "read_rows", "shown_counts"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_history_that_came_late_is_merged_where_its_time_belongs(world):
    events = world.events
    late = np.arange(len(events)) % 5 == 0
    known_at = T0 + 50 * HOUR
    late &= events.columns.occurred_at < known_at - 1.0
    arrives = np.where(late, known_at, events.columns.occurred_at)
    log = replace(world, events=replace(events, arrives_at=arrives))
    replay, whole = Replay(log), ReaderLog()
    whole.take(world)
    before, after = known_at - 60.0, known_at + 60.0
    missed = 0
    replay.advance(before)
    for user in range(len(log.users)):
        theirs = events.part((events.columns.users == user) & ~late).before(before)
        mine = replay.readers.read_rows(user, before)
        np.testing.assert_array_equal(np.sort(mine), np.sort(theirs.articles[theirs.kinds == 1]))
        missed += len(whole.read_rows(user, before)) - len(mine)
    assert missed > 0
    replay.advance(after)
    for user in range(len(log.users)):
        mine, theirs = (r.previous_clicks(user, after) for r in (replay.readers, whole))
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_what_clicks_followed_is_the_same_for_many_at_once_as_one_by_one(world, tmp_path):
    columns = world.events.columns
    coarse = np.floor(columns.occurred_at / 1800.0) * 1800.0  # many at the same moment
    events = replace(world.events, columns=replace(columns, occurred_at=coarse), arrives_at=coarse)
    merges = Merges([LogMerge(0, 1, T0 + 40 * HOUR), LogMerge(2, 3, T0 + 70 * HOUR)])
    log = replace(world, events=events, merges=merges)
    readers, longest = ReaderLog(merges=log.merges), 0
    for part in parts(StoredLog(log, tmp_path), -np.inf, np.inf):
        readers.take(part)
        clicks = np.flatnonzero(part.events.columns.kinds == CLICK)
        rows, times, counts = readers.previous_of(part.events, clicks)
        users, at = part.events.columns.users[clicks], part.events.columns.occurred_at[clicks]
        pasts = [readers.previous_clicks(u, t) for u, t in zip(users, at, strict=True)]
        assert counts.tolist() == [len(past) for past, _ in pasts]
        np.testing.assert_array_equal(rows, np.concatenate([past for past, _ in pasts]))
        np.testing.assert_array_equal(times, np.concatenate([past for _, past in pasts]))
        longest = max(longest, int(counts.max()))
    assert longest == PREVIOUS_CLICKS


def repeated(log, times, span):
    """Return the log again and again, `span` seconds apart, as one log."""
    events, views = log.events, log.impressions
    turns = np.arange(times)
    count, lists = len(events), len(views)
    whole = events.part(np.tile(np.arange(count), times))
    at = np.tile(events.columns.occurred_at, times) + np.repeat(turns * span, count)
    shown = np.tile(views.shown, times)
    return replace(
        log,
        events=replace(whole, columns=replace(whole.columns, occurred_at=at), arrives_at=at),
        impressions=replace(
            views,
            keys=np.arange(lists * times),
            users=np.tile(views.users, times),
            at=np.tile(views.at, times) + np.repeat(turns * span, lists),
            pages=np.full(lists * times, -1),
            devices=np.full(lists * times, -1),
            subscribers=np.full(lists * times, -1),
            starts=np.arange(lists * times + 1) * (len(views.shown) // lists),
            shown=shown,
            clicked=np.tile(views.clicked, times),
        ),
    )


def test_what_a_replay_holds_of_readers_does_not_grow_with_the_log(make_world):
    four_days = make_world(lists=4000, hours=96.0, readers=3)
    held = []
    for times in (3, 9):
        log = repeated(four_days, times, 96.0 * HOUR)
        replay = Replay(log)
        replay.advance(np.inf)
        assert replay.signals.counters.began_at == log.begins_at
        held.append(replay.readers.rows_held())
    assert held[0] > 3 * (HISTORY_EVENTS + READ_CLICKS)
    assert held[1] == pytest.approx(held[0], rel=0.1)
    assert held[1] < 3 * 2 * (2 * HISTORY_EVENTS + READ_CLICKS + SHOWN_ENTRIES + 4000 * 8)


def test_an_evaluation_from_files_is_that_from_memory(make_world, tmp_path):
    log = make_world(lists=400, hours=60.0)
    small = {"factors": 8, "iterations": 3, "ranker_trees": 10, "ranker_min_impressions": 100}
    plan = WalkPlan(
        start=T0 + 48 * HOUR,
        end=T0 + 60 * HOUR,
        retrain_every_s=12 * HOUR,
        learn_pool_every=1,
        training=override(TrainingConfig(), small),
    )
    books = [evaluate(s, plan, ScoreBook(s)) for s in (log, StoredLog(log, tmp_path))]
    for protocol in ("slate", "pool"):
        assert books[0].metrics.summary(protocol) == books[1].metrics.summary(protocol)


def test_the_order_of_reading_a_data_set_decides_nothing(world):
    events = world.events
    coarse = np.floor(events.columns.occurred_at / HOUR) * HOUR
    columns = replace(events.columns, occurred_at=coarse)
    found = []
    for order in (np.arange(len(events)), np.random.default_rng(1).permutation(len(events))):
        mixed = replace(events, columns=columns).part(order)
        flags = (mixed.from_feed, mixed.on_page, mixed.counted)
        found.append(sort_events(mixed.columns, *flags).columns)
    for name in ("users", "articles", "kinds", "occurred_at", "dwell_s"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
