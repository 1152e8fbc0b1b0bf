"""The pool of articles: rows, first sight, vectors, and snapshots that never change."""

import numpy as np
import pytest

from feed.domain import AiGenerated, Article
from feed.features.ids import IdMap, find
from feed.features.pool import PoolBuilder
from feed.features.request_context import device_code

NOW = 1_700_000_000.0


def article(article_id="a", **fields):
    return Article(
        article_id=article_id, **{"title": article_id, "published_at": NOW - 60.0, **fields}
    )


def test_every_column_says_what_the_article_says():
    builder = PoolBuilder()
    builder.add(
        article(
            section="sport",
            source="desk",
            language="en",
            expires_at=NOW + 5,
            sponsored=True,
            ai_generated=AiGenerated.ASSISTED,
        ),
        [3.0, 4.0],
        NOW - 50.0,
    )
    builder.add(article("b", section="news", retracted=True), None, NOW)
    pool = builder.snapshot()
    assert pool.size == 2
    assert pool.published_at.tolist() == [NOW - 60, NOW - 60]
    assert pool.expires_at.tolist() == [NOW + 5, np.inf]
    assert [pool.sections.ids[code] for code in pool.section] == ["sport", "news"]
    assert pool.source.tolist() == [pool.sources.row("desk"), -1]
    assert pool.language.tolist() == [pool.languages.row("en"), -1]
    assert pool.live.tolist() == [True, False]
    assert pool.sponsored.tolist() == [True, False]
    assert pool.ai_generated.tolist() == [True, False]
    np.testing.assert_allclose(pool.embedding, [[0.6, 0.8], [0, 0]], atol=5e-4)


@pytest.mark.parametrize(
    ("published_at", "added", "first_seen_at"),
    [
        (NOW, [NOW - 9], NOW - 9),
        (NOW - 60, [NOW], NOW - 60),
        (0.0, [NOW], NOW),
        (NOW, [NOW - 9, NOW - 20], NOW - 20),
        (NOW, [NOW - 20, NOW - 9], NOW - 20),
        (NOW, [NOW - 9, 0.0], NOW - 9),
        (NOW, [0.0], 0.0),
    ],
)
def test_the_earliest_sight_of_an_article_is_kept(published_at, added, first_seen_at):
    builder = PoolBuilder()
    for at in added:
        builder.add(article(published_at=published_at), None, at)
    assert builder.snapshot().first_seen_at.tolist() == [first_seen_at]


def test_a_snapshot_does_not_see_what_comes_later():
    builder = PoolBuilder()
    builder.add(article(section="news"), [1.0, 0.0], NOW)
    before = builder.snapshot()
    builder.add(article(section="sport", retracted=True), [0.0, 1.0], NOW)
    builder.add(article("b"), [0.0, 1.0], NOW)
    builder.remove("a")
    assert before.size == 1
    assert before.live.tolist() == [True]
    assert before.sections.ids[before.section[0]] == "news"
    assert before.embedding.tolist() == [[1.0, 0.0]]
    after = builder.snapshot()
    assert after.embedding.tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert after.live.tolist() == [False, True]


def test_an_unchanged_vector_costs_no_copy_and_a_new_row_neither():
    builder = PoolBuilder()
    builder.add(article(), [1.0, 0.0], NOW)
    first = builder.snapshot()
    builder.add(article(), [2.0, 0.0], NOW)
    builder.add(article("b"), [0.0, 1.0], NOW)
    second = builder.snapshot()
    assert np.shares_memory(first.embedding, second.embedding)
    builder.add(article(), [0.0, 1.0], NOW)
    assert not np.shares_memory(second.embedding, builder.snapshot().embedding)
    assert second.embedding.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_first_vector_sets_the_dimension_and_others_count_as_none():
    builder = PoolBuilder()
    builder.add(article("none"), None, NOW)
    builder.add(article("zero"), [0.0, 0.0, 0.0], NOW)
    assert builder.snapshot().embedding.shape == (2, 0)
    builder.add(article("two"), [0.0, 5.0], NOW)
    builder.add(article("three"), [1.0, 1.0, 1.0], NOW)
    builder.add(article("null"), [0.0, 0.0], NOW)
    assert builder.snapshot().embedding.tolist() == [[0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]


def test_the_pool_grows_and_keeps_what_it_holds():
    builder = PoolBuilder()
    for number in range(200):
        builder.add(article(f"a{number}", published_at=NOW + number), [1.0, number], NOW)
    pool = builder.snapshot()
    assert pool.published_at.tolist() == [NOW + number for number in range(200)]
    assert pool.live.all()
    slopes = pool.embedding[:, 1].astype(float) / pool.embedding[:, 0].astype(float)
    np.testing.assert_allclose(slopes[:50], np.arange(50), rtol=0.02)


def test_rows_of_a_shared_numbering_that_never_came_are_not_live():
    builder = PoolBuilder(IdMap(["elsewhere", "a"]))
    assert builder.add(article(), None, NOW) == 1
    builder.remove("never")
    pool = builder.snapshot()
    assert pool.live.tolist() == [False, True]
    assert (pool.section[0], pool.expires_at[0]) == (-1, np.inf)


def test_rows_are_found_where_they_stand():
    assert find(np.array([2, 5, 9]), np.array([5, 1, 9, 10, 2])).tolist() == [1, -1, 2, -1, 0]
    assert find(np.zeros(0, np.int64), np.array([5, 1])).tolist() == [-1, -1]


def test_identifiers_are_numbered_once_and_the_empty_one_never():
    ids = IdMap(["a"])
    assert ids.add_all(["b", "a", "", "b"]).tolist() == [1, 0, -1, 1]
    assert ids.rows(["b", "x"]).tolist() == [1, -1]
    assert ("b" in ids, "x" in ids, len(ids)) == (True, False, 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [("desktop", 1), ("Mobile", 2), ("tablet", 3), ("7", 7), ("999", 999), ("1000", -1), ("", -1)],
)
def test_devices_have_codes(text, code):
    assert device_code(text) == code


def test_age_counts_from_the_last_change_but_never_from_before_the_publication():
    builder = PoolBuilder()
    for article_id, fresh_at in (("plain", 0.0), ("early", 50.0), ("live", 200.0)):
        builder.add(
            Article(article_id=article_id, title="T", published_at=100.0), fresh_at=fresh_at
        )
    pool = builder.snapshot()
    assert pool.fresh_at.tolist() == [100.0, 100.0, 200.0]
    assert pool.published_at.tolist() == [100.0] * 3


def test_vectors_of_one_length_from_two_encoders_are_never_in_one_pool():
    builder = PoolBuilder()
    for number in range(4):
        builder.add(article(f"a{number}"), [1.0, 0.0], NOW, space="old")
    builder.add(article("b"), [0.0, 1.0], NOW, space="new")
    pool = builder.snapshot()
    assert (pool.space, pool.embedding[4].tolist()) == ("old", [0, 0])
    for number in range(4):
        builder.add(article(f"a{number}"), [0.0, 1.0], NOW, space="new")
    after = builder.snapshot()
    assert (after.space, after.embedding.tolist()) == ("new", [[0, 1]] * 5)
    assert pool.embedding[:4].tolist() == [[1, 0]] * 4, "an earlier snapshot keeps what it had"


def test_an_article_that_waits_to_be_encoded_keeps_its_vector():
    builder = PoolBuilder()
    builder.add(article("a"), [1.0, 0.0], NOW, space="old")
    builder.add(article("a"), [1.0, 0.0], NOW, space="")
    assert builder.snapshot().embedding.tolist() == [[1, 0]]
    builder.add(article("a"), None, NOW, space="old")
    assert builder.snapshot().embedding.tolist() == [[0, 0]]


def test_a_pool_that_starts_with_two_encoders_serves_the_commoner_one():
    builder = PoolBuilder()
    builder.add(article("b"), [0.0, 1.0], NOW, space="new")
    for number in range(3):
        builder.add(article(f"a{number}"), [1.0, 0.0], NOW, space="old")
    assert builder.snapshot().space == "old"
    for number in range(3):
        builder.add(article(f"a{number}"), [0.0, 1.0], NOW, space="new")
    assert builder.snapshot().embedding.tolist() == [[0, 1]] * 4
