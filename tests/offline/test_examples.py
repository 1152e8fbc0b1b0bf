"""Which candidates of a list teach, and what they weigh."""

from __future__ import annotations

import numpy as np

from feed.offline.event_log import UNPLACED, ListPlaces, Seen
from feed.offline.examination import Examination
from feed.offline.examples import (
    ExampleStore,
    choose_examples,
    sample_negatives,
    shown_places,
)

CURVE = Examination(np.array([1.0, 0.5, 0.25]), np.zeros(3), np.array([9, 4, 2]))
CANDIDATES = np.array([5, 3, 9, 7, 1])
CLICKED = np.array([False, True, False, False, False])


def seen(placed: ListPlaces) -> Seen:
    return Seen(
        number=0,
        key="r",
        user=0,
        at=0.0,
        page=-1,
        device=-1,
        subscriber=-1,
        shown=np.array([3, 7, 8]),
        clicked=np.array([True, False, False]),
        placed=placed,
    )


def placed(*places: int) -> ListPlaces:
    count = len(places)
    return ListPlaces(
        places=np.array(places),
        scores=np.full(count, 0.5, np.float32),
        drawn=np.zeros(count, np.bool_),
    )


def choose(placed: ListPlaces):
    rng = np.random.default_rng(4)
    return choose_examples(CANDIDATES, CLICKED, seen(placed), 2, rng)


def test_of_a_list_with_places_what_was_shown_teaches():
    kept, places = choose(placed(2, 0, 1))
    assert CANDIDATES[kept].tolist() == [3, 7]
    assert places.tolist() == [2, 0]


def test_without_places_a_sample_of_the_candidates_teaches():
    wanted = sample_negatives(CLICKED, 2, np.random.default_rng(4))
    kept, places = choose(UNPLACED)
    assert kept.tolist() == wanted.tolist()
    assert not len(places)


def test_an_article_that_was_not_shown_has_no_place():
    assert shown_places(CANDIDATES, np.array([3, 7]), np.array([1, 0])).tolist() == [
        -1,
        1,
        -1,
        0,
        -1,
    ]


def stored(*lists: tuple[list[bool], list[int]]):
    store = ExampleStore(1e9)
    for at, (clicked, places) in enumerate(lists):
        features = np.zeros((len(clicked), 2), np.float32)
        store.add(features, np.array(clicked), float(at), np.array(places, np.int64))
    return store.between(-np.inf, np.inf)


def test_a_click_weighs_one_and_the_rest_the_chance_that_it_was_looked_at():
    found = stored(([False, True, False], [0, 1, 2]))
    assert found.weights(CURVE).tolist() == [1.0, 1.0, 0.25]


def test_lists_without_places_weigh_one_beside_those_with_places():
    found = stored(([True, False], []), ([True, False], [0, 1]))
    assert found.weights(CURVE).tolist() == [1.0, 1.0, 1.0, 0.5]
    first, second = found.split(1)
    assert first.weights(CURVE).tolist() == [1.0, 1.0]
    assert second.weights(CURVE).tolist() == [1.0, 0.5]


def test_where_nothing_is_known_of_places_nothing_is_weighed():
    assert stored(([True, False], [])).weights(CURVE) is None
    assert stored(([True, False], [0, 1])).weights(None) is None
