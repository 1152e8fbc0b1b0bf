"""Of several versions of a story one is shown, the best for the reader, and none is repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Mode, Pin, ReasonCode
from feed.features.profile import PreferenceCodes
from feed.features.stories import Stories
from feed.models.view import build_view
from feed.ranking.absence import AbsenceVerdict, explain_absence
from feed.ranking.context import build_situation
from feed.ranking.obstacles import Rule, find_obstacles
from feed.ranking.pipeline import rank_in_stages, recommend
from feed.ranking.slate import StageTimer, Trace
from tests.ranking.conftest import HOUR, NOW, build_world

STORY = [40, 41, 42, 43]
PLAIN = RankingConfig(explore_slots=0)


def with_stories(world: Any, *, twin: dict[int, int] | None = None, series: tuple[int, ...] = ()):
    """The world in which the articles of STORY tell one story."""
    size = world.pool.size
    story, twins, codes = np.arange(size), np.arange(size), np.full(size, -1)
    story[STORY] = STORY[0]
    for row, first in (twin or {}).items():
        twins[row] = first
    codes[list(series)] = series[0] if series else -1
    several = np.isin(np.arange(size), STORY)
    stories = Stories(story, twins, codes, several, {STORY[0]: np.array(STORY)})
    world.pool = replace(world.pool, stories=stories)
    world.view = build_view(world.pool, world.view.bundle)
    return world


@pytest.fixture
def world():
    world = build_world()
    world.change(STORY, published_at=NOW - 2 * HOUR)
    return with_stories(world)


def shown(world: Any, profile: Any = None, **more: Any) -> list[int]:
    slate = recommend(world.context(profile, **more), PLAIN)
    return [row for row in slate.rows.tolist() if row in STORY]


@pytest.mark.parametrize("mode", Mode)
def test_one_article_of_a_story_is_shown_in_every_mode(world, mode):
    assert len(shown(world, mode=mode)) == 1


def test_without_stories_all_of_them_are_shown(world):
    world.pool = replace(world.pool, stories=None)
    world.view = build_view(world.pool, world.view.bundle)
    assert len(shown(world)) > 1


def test_the_reader_gets_the_followed_source_before_the_language_and_that_before_the_newest(world):
    world.change([40], published_at=NOW - HOUR / 2)
    assert shown(world) == [40]
    languages = world.pool.languages
    world.change([40, 41, 43], language=languages.row("en"))
    world.change([42], language=languages.row("de"))
    german = np.flatnonzero(world.pool.language[60:] == languages.row("de"))[:5] + 60
    assert shown(world, world.reader(german)) == [42]
    source = world.pool.sources.ids[world.pool.source[43]]
    follows = world.prefer(followed_sources=[source])
    assert shown(world, world.reader(german, preferences=follows)) == [43]


def test_the_full_text_decides_between_articles_of_one_hour(world):
    world.change([41], full_text=True)
    assert shown(world) == [41]


def test_a_story_stands_where_its_best_version_would_stand(world):
    world.change([41], full_text=True)
    slate = recommend(world.context(), PLAIN)
    at = slate.rows.tolist().index(41)
    factors = {name: values[at] for name, values in slate.factors.items()}
    assert factors["story"] >= 1.0
    assert slate.scores[at] == pytest.approx(np.prod([*factors.values()]))


def test_a_story_that_was_read_is_not_shown_again(world):
    assert shown(world, world.reader([41], minutes_ago=10.0)) == []
    assert shown(world, page_row=41) == []


def test_a_follow_up_is_shown_and_says_so(world):
    world.change([43], published_at=NOW - HOUR / 2)
    reader = world.reader([41], minutes_ago=60.0)
    slate = recommend(world.context(reader), PLAIN)
    at = slate.rows.tolist().index(43)
    reason = slate.reasons[at][0]
    assert (reason.code, reason.article_id) == (ReasonCode.NEW_SINCE_YOU_READ, "a41")
    assert [row for row in slate.rows.tolist() if row in STORY] == [43]


def test_a_copy_of_what_was_read_is_no_follow_up(world):
    with_stories(world, twin={43: 41})
    world.change([43], published_at=NOW - HOUR / 2)
    assert shown(world, world.reader([41], minutes_ago=60.0)) == []


def test_who_hides_an_article_has_hidden_its_story_and_what_follows(world):
    world.change([43], published_at=NOW)
    reader = world.reader(hidden_rows=np.array([41]))
    assert shown(world, reader) == []
    context = world.context(reader)
    situation = build_situation(context, PLAIN)
    (obstacle,) = find_obstacles(context, situation, PLAIN, 43)
    assert obstacle.rule is Rule.STORY_HIDDEN


def test_articles_of_one_series_are_no_near_duplicates(world):
    world.view.content[[51, 52]] = world.view.content[50]
    rows = {50, 51, 52}
    world.change([*rows], published_at=NOW - HOUR / 2)
    assert len(rows & {*recommend(world.context(), PLAIN).rows.tolist()}) == 1
    content = world.view.content
    with_stories(world, series=(50, 51, 52))
    world.view.content[:] = content
    assert rows <= {*recommend(world.context(), PLAIN).rows.tolist()}


def test_a_version_that_is_not_shown_names_the_one_that_is(world):
    world.change([41], full_text=True)
    context = world.context()
    ranking = rank_in_stages(context, PLAIN, Trace(), StageTimer(Trace(), None))
    found = set(ranking.candidates.rows.tolist()) & {40, 42, 43}
    assert found
    for row in found:
        answer = explain_absence(ranking, row, len(ranking.placed.at))
        assert answer.verdict is AbsenceVerdict.DUPLICATE
        assert 41 in [one for one, _ in answer.alike]


def test_the_obstacle_of_an_article_is_the_story_that_was_read(world):
    context = world.context(world.reader([41], minutes_ago=10.0))
    situation = build_situation(context, PLAIN)
    rules = {
        row: [one.rule for one in find_obstacles(context, situation, PLAIN, row)] for row in STORY
    }
    assert rules[41] == [Rule.READ]
    assert rules[40] == rules[42] == rules[43] == [Rule.STORY_READ]
    assert not situation.eligible.mask[STORY].any()


@pytest.mark.parametrize("case", ["read", "hidden", "muted", "page"])
def test_no_pin_repeats_a_story_that_was_read_or_hidden_or_is_on_the_page(world, case):
    pins = (Pin(article_id="a41", slot=0, starts_at=NOW - HOUR, ends_at=NOW + HOUR),)
    profile = {
        "read": world.reader([40]),
        "hidden": world.reader(hidden_rows=np.array([40])),
        "muted": world.reader(preferences=PreferenceCodes(muted_rows=np.array([40]))),
        "page": world.reader(),
    }[case]
    page = 40 if case == "page" else -1
    slate = recommend(world.context(profile, pins=pins, page_row=page), PLAIN)
    assert not slate.pinned.any()
    assert not set(STORY) & set(slate.rows.tolist())


@pytest.mark.parametrize("mode", Mode)
def test_the_story_on_the_page_is_left_out_for_every_reader_alike(world, mode):
    slate = recommend(world.context(mode=mode, page_row=40), PLAIN)
    assert not set(STORY) & set(slate.rows.tolist())
    assert not slate.personalized


def test_a_pin_shows_what_came_after_the_story_was_read(world):
    world.change([41], published_at=NOW - 60)
    pins = (Pin(article_id="a41", slot=0, starts_at=NOW - HOUR, ends_at=NOW + HOUR),)
    assert shown(world, world.reader([40]), pins=pins) == [41]
