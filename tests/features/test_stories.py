"""Articles of one event form a story; columns form series; neither depends on batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.bench.story_data import invented_articles

from feed.config import HOUR_S
from feed.domain import Article
from feed.features.embeddings import TfidfSvdEncoder, article_text
from feed.features.pool import LATE_VECTORS_S, PoolBuilder
from feed.features.stories import AT_ONCE, Stories, StoryFinder

NOW = 1_700_000_000.0
ARTICLES, EVENTS = invented_articles()
ORDER = sorted(range(len(ARTICLES)), key=lambda i: (ARTICLES[i].published_at, i))
TEXTS = [article_text(article) for article in ARTICLES]
VECTORS = TfidfSvdEncoder.fit(TEXTS, dimensions=200).encode(TEXTS).astype(np.float16)


def put(finder: StoryFinder, row: int, article: Article | None = None) -> None:
    at = NOW + ARTICLES[row].published_at
    finder.put(row, article or ARTICLES[row], VECTORS[row], at, at)


def grouped(batches: Iterator[list[int]]) -> Stories:
    finder, found = StoryFinder(), None
    for batch in batches:
        for row in batch:
            put(finder, row)
        found = finder.place(len(ARTICLES))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def stories() -> Stories:
    return grouped(iter([ORDER]))


def test_versions_of_an_event_form_a_story_and_other_articles_none(stories: Stories) -> None:
    pairs = list(combinations(range(len(ARTICLES)), 2))
    joined = [(i, j) for i, j in pairs if stories.story[i] == stories.story[j]]
    true = [(i, j) for i, j in joined if EVENTS[i] == EVENTS[j]]
    own = [
        (i, j)
        for i, j in pairs
        if EVENTS[i] == EVENTS[j] and ARTICLES[i].language == ARTICLES[j].language
    ]
    assert len(true) > 0.9 * len(joined)
    assert len({*own} & {*joined}) > 0.6 * len(own)


def test_no_two_editions_of_a_column_share_a_story(stories: Stories) -> None:
    rows = np.flatnonzero(stories.series >= 0).tolist()
    columns = {stories.series[row] for row in rows}
    assert len(columns) >= 5
    for i, j in combinations(rows, 2):
        if stories.series[i] == stories.series[j]:
            assert stories.story[i] != stories.story[j], (ARTICLES[i].title, ARTICLES[j].title)


def test_copies_are_twins_of_the_first(stories: Stories) -> None:
    ids = [article.article_id for article in ARTICLES]
    for i, j in combinations(range(len(ARTICLES)), 2):
        if ARTICLES[i].title == ARTICLES[j].title and ARTICLES[i].source != ARTICLES[j].source:
            assert stories.twin[i] == stories.twin[j], (ids[i], ids[j])
            assert stories.story[i] == stories.story[j]


def test_some_at_a_time_come_to_what_all_at_once_do(stories: Stories) -> None:
    finder = StoryFinder(at_a_time=70)
    for row in ORDER:
        put(finder, row)
    rounds, found = 0, None
    while finder.has_waiting:
        found = finder.place(len(ARTICLES))
        rounds += 1
    assert rounds == -(-len(ARTICLES) // 70)
    assert found is not None
    np.testing.assert_array_equal(found.story, stories.story)
    np.testing.assert_array_equal(found.twin, stories.twin)
    np.testing.assert_array_equal(found.series, stories.series)


def test_of_too_many_at_once_only_the_latest_are_grouped() -> None:
    some, all_of_them = StoryFinder(most_waiting=100), StoryFinder()
    for row in ORDER:
        put(some, row)
    for row in ORDER[-100:]:
        put(all_of_them, row)
    found, expected = some.place(len(ARTICLES)), all_of_them.place(len(ARTICLES))
    assert not some.has_waiting
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.story, expected.story)


def test_of_a_load_that_begins_with_the_newest_the_latest_are_grouped() -> None:
    some, latest = StoryFinder(most_waiting=100), StoryFinder()
    for place, row in enumerate(reversed(ORDER)):
        at = NOW + ARTICLES[row].published_at
        for finder in (some, latest) if place < 100 else (some,):
            finder.put(row, ARTICLES[row], VECTORS[row], NOW + place, at)
    found, expected = some.place(len(ARTICLES)), latest.place(len(ARTICLES))
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.story, expected.story)


def test_nobody_waits_for_ever_for_an_article_that_gets_no_vector() -> None:
    finder = StoryFinder()
    finder.note_unencoded(0, NOW)
    finder.note_unencoded(1, NOW)
    finder.put(1, ARTICLES[1], VECTORS[1], NOW, NOW)
    assert not finder.has_waiting
    finder.note_unencoded(2, NOW + 0.5 * HOUR_S)  # of a later load, which others wait for
    assert not finder.has_waiting
    finder.note_unencoded(3, NOW + 1.1 * HOUR_S)
    assert finder.has_waiting
    finder.put(2, ARTICLES[2], VECTORS[2], NOW + 0.5 * HOUR_S, NOW)
    finder.note_unencoded(4, NOW + 0.5 * HOUR_S)
    finder.place(len(ARTICLES))
    assert not finder.has_waiting
    finder.remove(4)
    assert finder.has_waiting


def load(builder: PoolBuilder, rows: Iterable[int], *, is_encoded: bool) -> None:
    """Take in articles that came in the order of `ORDER`, or their vectors."""
    for row in rows:
        vector = VECTORS[row] if is_encoded else None
        at = NOW + ORDER.index(row)
        builder.add(ARTICLES[row], vector, at, space="names" if is_encoded else "")


@given(shuffled=st.permutations(ORDER), cuts=st.lists(st.integers(1, len(ORDER) - 1), max_size=4))
@settings(max_examples=5, deadline=None)
def test_a_load_is_grouped_in_the_order_in_which_it_came(
    shuffled: list[int], cuts: list[int]
) -> None:
    """Its vectors come in no order, and no two processes look at the same moments."""
    builder, at_once = (PoolBuilder(stories=StoryFinder()) for _ in range(2))
    for one in (builder, at_once):
        load(one, ORDER, is_encoded=False)
    for start, end in pairwise([0, *sorted(cuts), len(ORDER)]):
        assert builder.snapshot().stories is None
        assert not builder.is_due(NOW)
        load(builder, shuffled[start:end], is_encoded=True)
    load(at_once, ORDER, is_encoded=True)
    found, expected = builder.snapshot().stories, at_once.snapshot().stories
    assert found is not None
    assert expected is not None
    for name in ("story", "twin", "series"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_pool_is_due_while_articles_wait_for_their_story() -> None:
    builder = PoolBuilder(stories=StoryFinder(at_a_time=200))
    for row in ORDER:
        builder.add(ARTICLES[row], VECTORS[row], NOW + row)
    builder.snapshot()
    assert builder.is_due(NOW)
    builder.snapshot()
    assert not builder.is_due(NOW)


@given(cuts=st.lists(st.integers(1, len(ORDER) - 1), max_size=6))
@settings(max_examples=5, deadline=None)
def test_the_size_of_batches_makes_no_difference(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(ORDER)]
    found = grouped(ORDER[start:end] for start, end in pairwise(ends))
    whole = grouped(iter([ORDER]))
    for name in ("story", "twin", "series"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_an_article_that_changes_keeps_its_story() -> None:
    finder = StoryFinder()
    for row in ORDER:
        put(finder, row)
    before = finder.place(len(ARTICLES))
    changed = replace(ARTICLES[1], title="Correction", standfirst="Another text altogether.")
    put(finder, 1, changed)
    after = finder.place(len(ARTICLES))
    assert before is not None
    assert after is not None
    assert before.story[1] != 1
    np.testing.assert_array_equal(before.story, after.story)


def event(article_id: str, **fields: Any) -> Article:
    given = {
        "title": "Ferry Maren rams pier in Aske",
        "standfirst": "Twenty-two people were hurt when the Maren hit the pier at full speed.",
        "published_at": NOW,
        "source": article_id,
        **fields,
    }
    return Article(article_id=article_id, **given)


def story_of(builder: PoolBuilder) -> list[int]:
    found = builder.snapshot(NOW).stories
    return [] if found is None else found.story.tolist()


def test_an_article_joins_its_story_when_its_vector_comes() -> None:
    builder = PoolBuilder(stories=StoryFinder())
    builder.add(event("first"), [1.0, 0.0], NOW)
    builder.add(event("second"), None, NOW + 1)
    assert story_of(builder) == []
    builder.add(event("second"), [1.0, 0.0], NOW + 1)
    assert story_of(builder) == [0, 0]


@pytest.mark.parametrize("end", ["encoded", "removed"])
def test_what_is_encoded_late_waits_for_the_rest_and_what_comes_with_a_vector_does_not(
    end: str,
) -> None:
    builder = PoolBuilder(stories=StoryFinder())
    builder.add(event("first"), [1.0, 0.0], NOW)
    for name in ("late", "last"):
        builder.add(event(name), None, NOW + 1, space="")
    builder.add(event("late"), [1.0, 0.0], NOW + 1)
    builder.add(event("alert"), [1.0, 0.0], NOW + 2)
    assert story_of(builder) == [0, 1, 2, 0]
    if end == "removed":
        builder.remove("last")
    else:
        builder.add(event("last", title="Snow in Holt", standfirst=""), [0.0, 1.0], NOW + 1)
    assert story_of(builder) == [0, 0, 2, 0]


def test_vectors_of_a_load_may_wait_and_whatever_else_changes_may_not() -> None:
    builder = PoolBuilder(stories=StoryFinder())
    names = ("first", "second", "third")
    for name in names:
        builder.add(event(name), None, NOW, space="")
    assert builder.has_news
    builder.snapshot(NOW)
    builder.add(event("first"), [1.0, 0.0], NOW)
    assert not builder.has_news
    assert not builder.is_due(NOW + LATE_VECTORS_S / 2)
    assert builder.is_due(NOW + LATE_VECTORS_S)
    builder.add(event("second", retracted=True), [1.0, 0.0], NOW)
    assert builder.has_news
    assert builder.snapshot(NOW).live.tolist() == [True, False, True]
    builder.add(event("third"), [1.0, 0.0], NOW)
    assert not builder.has_news
    assert builder.is_due(NOW), "all are encoded"
    assert builder.snapshot(NOW).embedding.any(axis=1).all()
    assert not builder.is_due(NOW + LATE_VECTORS_S)


@pytest.mark.parametrize("change", [{"section": "Sport"}, {"other_sections": ("Sport",)}])
def test_a_change_that_comes_with_a_vector_is_news(change: dict[str, Any]) -> None:
    builder = PoolBuilder(stories=StoryFinder())
    for name in ("first", "second"):
        builder.add(event(name), None, NOW, space="")
    builder.snapshot(NOW)
    builder.add(event("first", **change), [1.0, 0.0], NOW)
    assert builder.has_news


def test_a_sponsored_article_belongs_to_no_story() -> None:
    builder = PoolBuilder(stories=StoryFinder())
    for name in ("first", "second"):
        builder.add(event(name, sponsored=name == "second"), [1.0, 0.0], NOW)
    assert story_of(builder) == []


def test_a_series_of_a_source_is_no_story() -> None:
    builder = PoolBuilder(stories=StoryFinder())
    for day in range(3):
        one = event(f"day-{day}", title=f"Today in History: April {day + 2}", source="paper")
        at = NOW + 24 * HOUR_S * day
        builder.add(replace(one, standfirst="", published_at=at), [1.0, 0.0], at)
    stories = builder.snapshot(NOW).stories
    assert stories is not None
    assert stories.series.tolist() == [0, 0, 0]
    assert stories.story.tolist() == [0, 1, 2]


def test_what_is_days_older_is_not_compared() -> None:
    builder = PoolBuilder(stories=StoryFinder())
    builder.add(event("first"), [1.0, 0.0], NOW)
    late = NOW + 80 * HOUR_S
    for number in range(AT_ONCE):  # more than once beyond the window
        builder.add(event(f"late-{number}", published_at=late), [1.0, 0.0], late + number)
    assert story_of(builder)[0] == 0
    assert set(story_of(builder)[1:]) == {1}


def updates(count: int, hours: float = 1.0, source: str = "paper") -> list[Article]:
    """Return reports of one event, each with a higher number of dead than the one before."""
    said = ["Divers search.", "The captain is missing.", "Holt mourns.", "Tolk sends boats.", ""]
    return [
        Article(
            article_id=f"u{n}",
            title=f"Ferry Lone sinks off Holt: {12 + 3 * n} dead",
            standfirst=f"The Lone capsized near Holt on its way to Tolk. {said[n % len(said)]}",
            source=source,
            language="en",
            published_at=NOW + n * hours * HOUR_S,
        )
        for n in range(count)
    ]


def place_all(articles: list[Article], cosine: float = 0.9) -> Stories | None:
    """Group articles that are all about as alike."""
    finder = StoryFinder()
    for row, article in enumerate(articles):
        vector = np.zeros(1 + len(articles))
        vector[[0, 1 + row]] = cosine**0.5, (1 - cosine) ** 0.5
        at = article.published_at
        finder.put(row, article, vector.astype(np.float16), at, at)
    return finder.place(len(articles))


@pytest.mark.parametrize("count", [2, 4, 7])
def test_a_number_of_dead_that_rises_is_one_moving_story(count: int) -> None:
    found = place_all(updates(count))
    assert found is not None
    assert found.story.tolist() == [0] * count
    assert set(found.series.tolist()) == {-1}


def test_another_paper_finds_the_story_after_many_updates() -> None:
    other = Article(
        article_id="wire",
        title="Captain of ferry Lone missing after it sank off Holt",
        standfirst="Holt mourns the dead of the Lone, which capsized on its way to Tolk.",
        source="wire",
        language="en",
        published_at=NOW + 8 * HOUR_S,
    )
    found = place_all([*updates(6), other])
    assert found is not None
    assert set(found.story.tolist()) == {0}


def test_the_same_title_form_on_the_next_days_is_a_series() -> None:
    found = place_all(updates(3, hours=24.0))
    assert found is not None
    assert found.series.tolist() == [0, 0, 0]
    assert len({*found.story.tolist()}) == 3


def test_a_builder_that_keeps_no_vectors_groups_as_one_that_does() -> None:
    """Also when another encoder takes over: its vectors are there until stories have them."""
    pools = []
    for keeps_vectors in (True, False):
        builder = PoolBuilder(stories=StoryFinder(), keeps_vectors=keeps_vectors)

        def add(rows: list[int], space: str, sign: float, to: PoolBuilder = builder) -> None:
            for row in rows:
                at = NOW + ARTICLES[row].published_at
                to.add(ARTICLES[row], sign * VECTORS[row], at, space=space)

        half = len(ORDER) // 2
        add(ORDER[:half], "old", 1.0)
        builder.snapshot()
        add(ORDER[:half], "new", -1.0)
        builder.snapshot()
        add(ORDER[half:], "new", -1.0)
        pools.append(builder.snapshot())
    kept, forgotten = pools
    assert kept.stories is not None
    assert forgotten.stories is not None
    assert kept.stories.several.any()
    for name in ("story", "twin", "series", "several"):
        np.testing.assert_array_equal(getattr(forgotten.stories, name), getattr(kept.stories, name))
    assert kept.embedding.shape[1] == VECTORS.shape[1]
    assert forgotten.embedding.shape == (len(ARTICLES), 0)
    assert (kept.space, forgotten.space) == ("new", "new")
