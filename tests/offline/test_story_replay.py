"""A replay counts a reader once for a story, with what was known at the moment."""

from __future__ import annotations

import numpy as np
import pytest

from feed.features.stories import Stories
from feed.features.trending import TrendingDetector
from feed.offline.past_requests import PastRequests
from feed.offline.replay import Replay

T0 = 1_700_000_000.0
HOUR = 3600.0
MOMENT = T0 + 30 * HOUR


@pytest.fixture
def world(make_world):
    return make_world(seed=3)


def stories_of_three(size):
    rows = np.arange(size)
    story = rows // 3 * 3
    versions = {int(first): rows[story == first] for first in np.unique(story)}
    return Stories(story, rows, np.full(size, -1), np.ones(size, np.bool_), versions)


def withheld(log, moment):
    """Return how many clicks of each article are withheld at a moment, undecayed by half-lives."""
    replay = Replay(log, stories=stories_of_three(len(log.articles)))
    replay.advance(moment)
    return replay.bound.withheld(np.arange(len(log.articles)), moment)[:, -1]


def test_second_reads_of_a_story_are_withheld(world):
    columns = world.events.columns
    expected = np.zeros(len(world.articles))
    for i in np.flatnonzero(columns.occurred_at < MOMENT):
        mine = np.flatnonzero(
            (columns.users == columns.users[i]) & (columns.occurred_at < columns.occurred_at[i])
        )
        last = [*dict.fromkeys(columns.articles[mine][::-1].tolist())]
        row = int(columns.articles[i])
        is_first = row not in last
        if is_first and any(one // 3 == row // 3 for one in last[:10]):
            expected[row] += 0.5 ** ((MOMENT - columns.occurred_at[i]) / (24 * HOUR))
    assert expected.sum() > 5
    assert withheld(world, MOMENT) == pytest.approx(expected, abs=1e-9)


def test_what_is_withheld_knows_nothing_of_the_future(world, scramble_future):
    other = scramble_future(world, MOMENT, 5)
    assert withheld(world, MOMENT).tolist() == withheld(other, MOMENT).tolist()


def test_requests_are_judged_with_what_is_withheld(world):
    past = PastRequests(world, None)
    assert past.pool.stories is None, "without texts nothing is one story"
    past.tick(MOMENT)
    replay = Replay(world)
    replay.advance(MOMENT)
    state = TrendingDetector().update(replay.signals.counters, past.pool, MOMENT)
    assert past._trending.to_bytes() == state.to_bytes()
