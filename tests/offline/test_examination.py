"""What readers look at, learnt from lists whose places the feed chose by score."""

from __future__ import annotations

import numpy as np

from feed.offline.event_log import UNPLACED, ListPlaces
from feed.offline.examination import FEWEST_CLICKS, Examination, PlaceLog

DAY_S = 86_400.0
TRUE = (1.0 + np.arange(8)) ** -1.0


def draw_log(lists: int, eyes=TRUE, *, seed: int = 0, draws: bool = False) -> PlaceLog:
    """Lists of a feed that knows the appeal of its articles but for some noise."""
    rng, log = np.random.default_rng(seed), PlaceLog(30 * DAY_S)
    for number in range(lists):
        appeal = rng.beta(1.0, 4.0, len(eyes)) * rng.uniform(0.3, 1.0)
        scores = appeal * np.exp(0.3 * rng.standard_normal(len(eyes)))
        order = np.argsort(-scores)
        drawn = np.zeros(len(eyes), np.bool_)
        shown, known = appeal[order], scores[order].astype(np.float32)
        if draws:
            place = int(rng.integers(4, 8))
            drawn[place], known[place] = True, np.nan
            shown[place] = rng.beta(1.0, 4.0)
        clicked = rng.random(len(eyes)) < eyes * shown
        placed = ListPlaces(places=np.arange(len(eyes)), scores=known, drawn=drawn)
        log.add(placed, clicked, number * 60.0)
    return log


def test_the_chance_of_looking_is_found_although_better_articles_stand_further_up():
    found = draw_log(20_000).learn(30 * DAY_S)
    assert found is not None
    assert found.chance[0] == 1.0
    assert np.allclose(found.chance, TRUE, atol=0.05)
    naive = found.clicks / found.clicks[0]
    assert np.abs(naive - TRUE).max() > 2 * np.abs(found.chance - TRUE).max()


def test_where_readers_look_at_everything_no_place_is_corrected():
    found = draw_log(20_000, np.ones(8)).learn(30 * DAY_S)
    assert found is not None
    assert found.chance.min() > 0.9


def test_the_chance_never_rises_and_its_error_falls_with_more_lists():
    few, many = (draw_log(lists).learn(30 * DAY_S) for lists in (2_000, 20_000))
    assert few is not None
    assert many is not None
    for found in (few, many):
        assert (np.diff(found.chance) <= 0).all()
    assert (many.error[1:] < few.error[1:]).all()
    assert few.error[0] == 0.0


def test_articles_drawn_by_chance_tell_of_their_place_too():
    found = draw_log(20_000, draws=True).learn(30 * DAY_S)
    assert found is not None
    assert np.allclose(found.chance[4:], TRUE[4:], atol=0.05)


def test_too_few_clicks_tell_nothing():
    assert PlaceLog(DAY_S).learn(DAY_S) is None
    log = draw_log(100)
    assert log.learn(30 * DAY_S) is None
    log = PlaceLog(DAY_S)
    for number in range(2 * FEWEST_CLICKS):
        log.add(UNPLACED, np.array([True, False]), float(number))
    assert log.learn(DAY_S) is None


def test_an_editors_place_tells_nothing():
    rng, log = np.random.default_rng(1), PlaceLog(DAY_S)
    for number in range(4 * FEWEST_CLICKS):
        placed = ListPlaces(
            places=np.arange(2), scores=np.full(2, np.nan, np.float32), drawn=np.zeros(2, np.bool_)
        )
        log.add(placed, rng.random(2) < 0.9, float(number))
    assert log.learn(DAY_S) is None


def test_later_lists_change_nothing():
    half = draw_log(4_000).learn(2_000 * 60.0)
    assert half is not None
    alone = draw_log(2_000).learn(30 * DAY_S)
    assert alone is not None
    assert half.to_json() == alone.to_json()


def test_places_beyond_count_as_the_last_and_unknown_ones_as_seen():
    found = Examination(np.array([1.0, 0.5]), np.zeros(2), np.array([10, 5]))
    assert found.at(np.array([0, 1, 7, -1])).tolist() == [1.0, 0.5, 0.5, 1.0]


def test_it_comes_back_from_a_manifest():
    found = Examination(np.array([1.0, 0.5]), np.array([0.0, 0.1]), np.array([10, 5]))
    again = Examination.from_json(found.to_json())
    assert again.to_json() == found.to_json()
