from dataclasses import replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Article, EventKind
from feed.features.interactions import KIND_CODE
from feed.features.pool import PoolBuilder
from feed.features.profile import (
    NO_PREFERENCES,
    build_profile,
    contains,
    followed_of,
    profile_from_state,
)
from feed.preferences import Preferences
from feed.storage.records import History, HistoryEntry, ReaderState, Shown

NOW = 1_700_000_000.0
CONFIG = RankingConfig()
UNKNOWN = float("nan")


def pool_of(*article_ids):
    builder = PoolBuilder()
    for article_id in article_ids:
        article = Article(article_id=article_id, title=article_id, published_at=NOW - 60.0)
        builder.add(article, None, NOW - 60.0)
    return builder.snapshot()


def test_a_readers_state_becomes_rows_and_unknown_articles_drop_out():
    state = ReaderState(
        history=History.of(
            [
                HistoryEntry(EventKind.CLICK, "b", NOW - 30.0),
                HistoryEntry(EventKind.CLICK, "gone", NOW - 20.0),
            ]
        ),
        read_ids=frozenset({"b"}),
        shown=(Shown("a", 2, NOW - 10.0), Shown("gone", 1, NOW - 5.0)),
    )
    profile = profile_from_state(state, pool_of("a", "b"), NOW, RankingConfig())
    assert profile.clicked_rows.tolist() == [1]
    assert profile.read_rows.tolist() == [1]
    assert profile.shown_rows.tolist() == [0]
    assert profile.shown_counts.tolist() == [2.0]
    assert profile.shown_last_at.tolist() == [NOW - 10.0]


def test_nobody_known_is_an_empty_profile():
    profile = profile_from_state(ReaderState(), pool_of("a"), NOW, RankingConfig())
    assert profile.n_events == 0
    assert profile.shown_rows.tolist() == []


def profile_of(*events, config=CONFIG, **more):
    """The profile of (row, kind, seconds ago, dwell)."""
    rows, kinds, ago, dwell = zip(*events, strict=True) if events else ((), (), (), ())
    return build_profile(
        np.array(rows, np.int64),
        np.array([KIND_CODE[EventKind(kind)] for kind in kinds], np.int8),
        NOW - np.array(ago, np.float64),
        np.array(dwell, np.float64),
        now=NOW,
        config=config,
        **{name: np.array(value) for name, value in more.items()},
    )


def test_clicks_are_distinct_and_newest_first_and_the_session_is_an_hour():
    profile = profile_of(
        (4, "click", 3700, UNKNOWN),
        (2, "click", 3600, UNKNOWN),
        (7, "click", 50, UNKNOWN),
        (4, "click", 90, UNKNOWN),
        (9, "like", 20, UNKNOWN),
    )
    assert profile.clicked_rows.tolist() == [7, 4, 2]
    assert profile.clicked_at.tolist() == [NOW - 50, NOW - 90, NOW - 3600]
    assert profile.session_rows.tolist() == [7, 4, 2]
    assert profile.session_at.tolist() == [NOW - 50, NOW - 90, NOW - 3600]
    short = profile_of(
        (4, "click", 61, UNKNOWN),
        (2, "click", 60, UNKNOWN),
        config=replace(CONFIG, session_minutes=1.0),
    )
    assert short.session_rows.tolist() == [2]
    assert profile.n_events == 5


def test_weights_add_up_by_article_and_decay_with_both_half_lives():
    config = replace(CONFIG, profile_half_life_hours=2.0, fold_in_half_life_hours=1.0)
    profile = profile_of(
        (8, "hide", 7200, UNKNOWN),
        (3, "click", 7200, UNKNOWN),
        (3, "like", 7200, UNKNOWN),
        config=config,
    )
    assert profile.engaged_rows.tolist() == [3, 8]
    np.testing.assert_allclose(profile.weights, [1.5, -1.5])
    np.testing.assert_allclose(profile.fold_in_weights, [0.75, -0.75])


def test_an_accident_weighs_as_little_as_in_learning():
    config = replace(CONFIG, profile_half_life_hours=1e9)
    profile = profile_of((3, "click", 9, UNKNOWN), (3, "read", 5, 1.0), config=config)
    read = np.log2(1 + 1 / 30)
    np.testing.assert_allclose(profile.weights, [0.2 * (1 + read)], rtol=1e-6)


def test_unknown_articles_and_the_future_are_left_out():
    profile = profile_of(
        (-1, "click", 9, UNKNOWN), (3, "click", 0, UNKNOWN), (4, "click", -5, UNKNOWN)
    )
    assert profile.n_events == 0
    assert profile.is_cold


@pytest.mark.parametrize(
    ("kind", "is_cold"), [("click", False), ("like", False), ("hide", True), ("dislike", True)]
)
def test_a_reader_is_cold_until_something_speaks_for_an_article(kind, is_cold):
    assert profile_of((1, kind, 9, UNKNOWN)).is_cold == is_cold


def test_rows_that_limit_the_feed_are_sorted_and_known():
    profile = profile_of(
        (6, "click", 9, UNKNOWN),
        read_rows=[9, -1, 2, 6],
        hidden_rows=[5, 0, 5, -1],
        shown_rows=[8, -1, 3],
        shown_counts=[2.0, 7.0, 4.0],
        shown_last_at=[NOW - 8, NOW - 7, NOW - 3],
    )
    assert profile.read_rows.tolist() == [2, 6, 9]
    assert profile.hidden_rows.tolist() == [0, 5]
    assert profile.shown_rows.tolist() == [3, 8]
    assert profile.shown_counts.tolist() == [4.0, 2.0]
    assert profile.shown_last_at.tolist() == [NOW - 3, NOW - 8]


def wishing_state(**more):
    return ReaderState(
        preferences=Preferences(
            followed_sections=("sport", "nowhere"),
            muted_sections=("news",),
            followed_sources=("desk",),
            muted_sources=("wire",),
            languages=("en",),
            **more,
        ),
        history=History.of([HistoryEntry(EventKind.CLICK, "a", NOW - 30.0)]),
        reactions={"b": EventKind.DISLIKE, "a": EventKind.LIKE},
        hidden_ids=frozenset({"c"}),
    )


def newsroom():
    builder = PoolBuilder()
    for article_id, section, source in (
        ("a", "news", "wire"),
        ("b", "sport", "desk"),
        ("c", "sport", "wire"),
    ):
        article = Article(
            article_id=article_id,
            title="t",
            published_at=NOW,
            section=section,
            source=source,
            language="en",
        )
        builder.add(article, None, NOW)
    return builder.snapshot()


def test_preferences_become_codes_and_dislikes_hide():
    pool = newsroom()
    profile = profile_from_state(wishing_state(), pool, NOW, CONFIG)
    preferences = profile.preferences
    assert preferences.followed_sections.tolist() == [pool.sections.row("sport")]
    assert preferences.muted_sections.tolist() == [pool.sections.row("news")]
    assert preferences.followed_sources.tolist() == [pool.sources.row("desk")]
    assert preferences.muted_sources.tolist() == [pool.sources.row("wire")]
    assert preferences.languages.tolist() == [pool.languages.row("en")]
    assert preferences.personalization
    assert profile.hidden_rows.tolist() == [1, 2]
    by_section, by_source = followed_of(pool, preferences, np.array([0, 1, 2]))
    assert by_section.tolist() == [False, True, True]
    assert by_source.tolist() == [False, True, False]
    neither = followed_of(pool, NO_PREFERENCES, np.array([0, 1]))
    assert [flags.tolist() for flags in neither] == [[False, False]] * 2
    assert contains(profile.hidden_rows, np.array([0, 2])).tolist() == [False, True]


def test_without_personalization_only_what_was_stated_is_left():
    pool = newsroom()
    profile = profile_from_state(wishing_state(personalization=False), pool, NOW, CONFIG)
    assert profile.n_events == 0
    assert profile.clicked_rows.tolist() == profile.read_rows.tolist() == []
    assert profile.hidden_rows.tolist() == pool.ids.rows(["b", "c"]).tolist()
    assert profile.preferences.muted_sources.tolist() == [pool.sources.row("wire")]
