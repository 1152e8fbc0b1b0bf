"""What events weigh, by the rules of `event_weights`, and the matrix that they become."""

from dataclasses import replace

import numpy as np
import pytest

from feed.domain import EventKind
from feed.features.interactions import (
    KIND_CODE,
    EventColumns,
    bot_factors,
    build_interactions,
    decay,
    event_weights,
)
from feed.training_config import TrainingConfig

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0
CONFIG = TrainingConfig()
UNKNOWN = float("nan")


def weights_of(*events):
    """The weights of (pair, kind, seconds ago, dwell) of one reader."""
    pairs, kinds, ago, dwell = zip(*events, strict=True)
    return event_weights(
        np.array(pairs, np.int64),
        np.array([KIND_CODE[EventKind(kind)] for kind in kinds], np.int8),
        NOW - np.array(ago, np.float64),
        np.array(dwell, np.float64),
        CONFIG.kind_weights,
        accidental_dwell_s=3.0,
        accidental_weight=0.25,
    ).tolist()


def columns(*events):
    """Columns of (user, article, kind, seconds ago, dwell)."""
    users, articles, kinds, ago, dwell = zip(*events, strict=True)
    return EventColumns(
        users=np.array(users, np.int64),
        articles=np.array(articles, np.int64),
        kinds=np.array([KIND_CODE[EventKind(kind)] for kind in kinds], np.int8),
        occurred_at=NOW - np.array(ago, np.float64),
        dwell_s=np.array(dwell, np.float64),
    )


@pytest.mark.parametrize(
    ("kind", "weight"), [("click", 1), ("like", 2), ("share", 3), ("hide", -3), ("impression", 0)]
)
def test_a_kind_weighs_what_the_configuration_says(kind, weight):
    assert weights_of((1, kind, 5, UNKNOWN)) == [weight]


@pytest.mark.parametrize(
    ("dwell_s", "factor"), [(30.0, 1.0), (90.0, 2.0), (900.0, 2.0), (12.426, 0.5), (UNKNOWN, 1.0)]
)
def test_a_read_weighs_by_how_long_it_was(dwell_s, factor):
    assert weights_of((1, "read", 5, dwell_s)) == pytest.approx([factor], abs=1e-4)


def test_only_the_last_of_a_kind_counts_for_an_article():
    assert weights_of(
        (1, "click", 30, UNKNOWN), (1, "click", 10, UNKNOWN), (2, "click", 20, UNKNOWN)
    ) == [0, 1, 1]


def test_what_was_taken_back_weighs_nothing_until_it_is_done_again():
    like, unlike = (1, "like", 30, UNKNOWN), (1, "unlike", 20, UNKNOWN)
    assert weights_of(like, unlike) == [0, 0]
    assert weights_of(like, unlike, (1, "like", 10, UNKNOWN)) == [0, 0, 2]
    assert weights_of(like, unlike, (1, "save", 40, UNKNOWN)) == [0, 0, 2]
    assert weights_of(like, (2, "unlike", 20, UNKNOWN)) == [2, 0]


def test_of_a_like_and_its_undoing_in_one_moment_the_undoing_counts():
    assert weights_of((1, "unlike", 5, UNKNOWN), (1, "like", 5, UNKNOWN)) == [0, 0]


def test_an_accident_damps_the_click_and_the_read_of_its_article_alone():
    short = float(np.log2(1 + 2 / 30))
    found = weights_of(
        (1, "click", 50, UNKNOWN),
        (1, "read", 40, 2.0),
        (1, "like", 30, UNKNOWN),
        (2, "click", 20, UNKNOWN),
        (2, "read", 10, 30.0),
    )
    assert found == pytest.approx([0.25, 0.25 * short, 2, 1, 1])


def test_one_long_read_makes_the_short_ones_before_it_no_accident():
    found = weights_of((1, "click", 50, UNKNOWN), (1, "read", 40, 2.0), (1, "read", 30, 30.0))
    assert found == pytest.approx([1, 0, 1])


def test_the_threshold_of_an_accident_is_no_accident():
    assert weights_of((1, "click", 50, UNKNOWN), (1, "read", 40, 3.0))[0] == 1
    assert weights_of((1, "click", 50, UNKNOWN), (1, "read", 40, 2.999))[0] == 0.25


def test_nothing_weighs_nothing():
    empty = np.zeros(0)
    rows, kinds = np.zeros(0, np.int64), np.zeros(0, np.int8)
    found = event_weights(
        rows, kinds, empty, empty, CONFIG.kind_weights, accidental_dwell_s=3, accidental_weight=1
    )
    assert found.tolist() == []


def test_weights_halve_with_the_half_life_and_never_grow():
    assert decay([0, 10, 20, -5], 10).tolist() == [1, 0.5, 0.25, 1]


def test_a_reader_faster_than_a_person_counts_as_a_bot():
    start = 30.0 + (NOW - 30.0) % 60.0  # seconds ago of the begin of a calendar minute
    fast = [(0, n, "click", start - 1 - n, UNKNOWN) for n in range(4)]
    slow = [(1, n, "click", start - 1 - n, UNKNOWN) for n in range(3)]
    shown = [(2, n, "impression", start - 1 - n, UNKNOWN) for n in range(9)]
    config = replace(CONFIG, bot_articles_per_minute=3.0, bot_weight=0.05)
    assert bot_factors(columns(*fast, *slow, *shown), 4, config).tolist() == [0.05, 1, 1, 1]
    assert bot_factors(columns(*shown), 3, config).tolist() == [1, 1, 1]


def test_the_matrix_adds_decayed_weights_within_the_window():
    config = replace(CONFIG, window_days=2.0, half_life_hours=24.0)
    matrix = build_interactions(
        columns(
            (0, 0, "click", DAY, UNKNOWN),
            (0, 0, "like", 2 * DAY, UNKNOWN),
            (0, 1, "click", 2 * DAY + 1, UNKNOWN),
            (0, 1, "click", 0, UNKNOWN),
            (1, 2, "hide", DAY, UNKNOWN),
            (1, 1, "impression", DAY, UNKNOWN),
        ),
        (2, 3),
        NOW,
        config,
    )
    np.testing.assert_allclose(matrix.toarray(), [[0.5 + 2 / 4, 0, 0], [0, 0, -1.5]])
    assert matrix.nnz == 2


def test_a_pair_is_a_reader_and_an_article():
    events = columns((0, 1, "like", 9, UNKNOWN), (1, 1, "unlike", 5, UNKNOWN))
    assert build_interactions(events, (2, 2), NOW, CONFIG).toarray()[0, 1] == pytest.approx(2, 1e-3)
