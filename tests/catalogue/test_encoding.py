"""A source's large batch is taken in at once, and encoded afterwards."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from feed.catalogue.article_service import ENCODED_AT_ONCE, ENCODED_IN_TURN, ArticleService
from feed.catalogue.decisions import Editor
from feed.storage.redis_store import RedisStore

SITE = "https://paper.example/feed"


class CountingEncoder:
    """Encodes a text as its length; counts what it encoded."""

    name = "counting"
    dimensions = 1

    def __init__(self) -> None:
        self.count = 0

    def encode(self, texts: Any) -> Any:
        self.count += len(texts)
        return np.array([[len(text)] for text in texts], np.float32)


def vectors_of(store: RedisStore, article_id: str) -> list[list[float]]:
    """Return the vector of an article as the state of the store says, in a list."""
    return [one.stored.embedding.tolist() for one in store.read_states([article_id]) if one.stored]


def test_a_large_batch_of_a_source_waits_and_one_of_the_api_does_not(
    store: RedisStore, catalogue: Any
) -> None:
    encoder = CountingEncoder()
    changes: list[int] = []
    service = ArticleService(store, lambda: encoder, lambda: changes.append(1))
    ids = [f"a{n}" for n in range(ENCODED_IN_TURN + 2)]
    batch = [catalogue.submission(one, title=one * 2) for one in ids]
    of_title = [[2.0 * len(ids[-1])]]
    assert service.upsert(batch, 10.0, SITE) == ["created"] * len(ids)
    assert service.upsert(batch, 11.0, SITE) == ["unchanged"] * len(ids)
    assert (encoder.count, len(changes)) == (0, 1)
    assert len(store.unencoded_articles(1_000)) == len(ids)
    assert [service.encode_waiting() for _ in range(3)] == [ENCODED_IN_TURN, 2, 0]
    assert vectors_of(store, ids[-1]) == of_title
    assert service.upsert(batch, 12.0, SITE) == ["unchanged"] * len(ids)
    longer = [catalogue.submission(one, title=one * 3) for one in ids]
    service.upsert(longer, 13.0, SITE)
    assert vectors_of(store, ids[-1]) == of_title
    service.upsert(longer, 14.0)
    assert store.unencoded_articles(1_000) == []
    assert encoder.count == 2 * len(ids)


def test_a_small_batch_of_a_source_is_encoded_at_once(store: RedisStore, catalogue: Any) -> None:
    encoder = CountingEncoder()
    service = ArticleService(store, lambda: encoder, lambda: None)
    service.upsert(
        [catalogue.submission(f"t{n}", title=f"t{n}") for n in range(ENCODED_AT_ONCE)], 1.0, SITE
    )
    assert (encoder.count, store.unencoded_articles(1_000)) == (ENCODED_AT_ONCE, [])


def test_two_threads_encode_each_waiting_article_once(store: RedisStore, catalogue: Any) -> None:
    class PairedEncoder(CountingEncoder):
        """Encodes its first texts only when the other thread has taken articles, too."""

        def encode(self, texts: Any) -> Any:
            while not self.count and len(taken) < 2:
                time.sleep(0.001)
            return super().encode(texts)

    class TakingStore:
        """The store, which notes who has asked for articles."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def unencoded_articles(self, limit: int) -> list[str]:
            ids = store.unencoded_articles(limit)
            taken.append(len(ids))
            return ids

    taken: list[int] = []
    encoder = PairedEncoder()
    watched: Any = TakingStore()
    service = ArticleService(watched, lambda: encoder, lambda: None)
    batch = [catalogue.submission(f"a{n}", title=f"t{n}") for n in range(ENCODED_IN_TURN + 20)]
    service.upsert(batch, 1.0, SITE)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: service.encode_waiting(), range(2)))
    assert sorted(done) == [20, ENCODED_IN_TURN]
    assert encoder.count == len(batch)
    assert (store.unencoded_articles(1), service.encode_waiting()) == ([], 0)


def test_an_article_that_changes_while_its_text_is_encoded_gets_the_vector_of_its_new_text(
    store: RedisStore, catalogue: Any
) -> None:
    class EditedEncoder(CountingEncoder):
        """Somebody edits an article while its text is encoded."""

        def encode(self, texts: Any) -> Any:
            if not self.count:
                edited = [catalogue.submission("a0", title="Another title")]
                ArticleService(store, lambda: None, lambda: None).upsert(edited, 2.0)
            return super().encode(texts)

    encoder = EditedEncoder()
    service = ArticleService(store, lambda: encoder, lambda: None)
    batch = [catalogue.submission(f"a{n}", title=f"t{n}") for n in range(ENCODED_AT_ONCE + 1)]
    service.upsert(batch, 1.0, SITE)
    assert service.encode_waiting() == len(batch)
    assert vectors_of(store, "a0") == [[len("Another title")]]


def test_what_is_removed_waits_no_longer(store: RedisStore, catalogue: Any) -> None:
    service = ArticleService(store, CountingEncoder, lambda: None)
    batch = [catalogue.submission(f"a{n}", title=f"t{n}") for n in range(ENCODED_AT_ONCE + 1)]
    service.upsert(batch, 1.0, SITE)
    service.erase("a0", Editor("ed", 2.0))
    store.delete_articles(["a1"])
    assert not {"a0", "a1"} & set(store.unencoded_articles(1_000))
