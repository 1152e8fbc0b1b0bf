"""A view of a newer snapshot keeps what has not changed, and only that."""

import numpy as np

from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.pool import PoolBuilder
from feed.models.bundle import ModelBundle
from feed.models.view import build_view

VECTORS = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


def an_article(number: int, **changes: bool) -> Article:
    return Article(article_id=f"a{number}", title="t", published_at=1.0, **changes)


def make_builder() -> PoolBuilder:
    builder = PoolBuilder(IdMap())
    for number in range(4):
        builder.add(an_article(number), VECTORS[number])
    return builder


def test_a_snapshot_with_the_same_vectors_shares_them_and_what_was_packed() -> None:
    builder, bundle = make_builder(), ModelBundle(version="a")
    before = build_view(builder.snapshot(), bundle)
    packed = before.pack(np.array([1, 3]))
    builder.add(an_article(2, retracted=True), VECTORS[2])
    pool = builder.snapshot()
    after = build_view(pool, bundle, before)
    assert after.pool is pool
    assert not after.pool.live[2]
    assert after.content is before.content
    assert after.pack(np.array([1, 3])) is packed


def test_a_new_vector_or_article_is_in_the_next_view() -> None:
    builder, bundle = make_builder(), ModelBundle(version="a")
    before = build_view(builder.snapshot(), bundle)
    builder.add(an_article(2), VECTORS[4])
    changed = build_view(builder.snapshot(), bundle, before)
    builder.add(an_article(5), VECTORS[4])
    pool = builder.snapshot()
    grown = build_view(pool, bundle, changed)
    for view in (changed, grown):
        assert np.array_equal(view.content, build_view(view.pool, bundle).content)


def test_a_view_says_which_articles_have_vectors_and_factors() -> None:
    builder = make_builder()
    builder.add(an_article(4))
    learnt = IdMap(["a1", "a3", "a4"])
    factors = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], np.float32)
    bundle = ModelBundle(version="a", article_ids=learnt, factors=factors, readers=np.full(3, 5))
    before = build_view(builder.snapshot(), bundle)
    assert before.worded.tolist() == [True, True, True, True, False]
    assert before.placed.tolist() == [False, True, False, False, True]
    builder.add(an_article(4), VECTORS[4])
    after = build_view(builder.snapshot(), bundle, before)
    assert after.worded.all()
    assert np.array_equal(after.placed, before.placed)


def test_the_first_vectors_of_all_make_another_view() -> None:
    builder, bundle = PoolBuilder(IdMap()), ModelBundle(version="a")
    before = build_view(builder.snapshot(), bundle)
    builder.add(an_article(0), VECTORS[0])
    assert build_view(builder.snapshot(), bundle, before).content.shape == (1, 8)
