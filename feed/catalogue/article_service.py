"""ArticleService: encodes articles, writes them, and makes them available for ranking at once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from feed.arrays import Matrix
from feed.domain import Article, NotFoundError, Submission
from feed.features.embeddings import Encoder, article_text
from feed.storage.records import StoredArticle
from feed.storage.redis_store import RedisStore

PUBLISHER = "publisher"
"""Encoder name of vectors that came with the article."""

_NO_ENCODER = "none"


class ArticleService:
    """Adds articles to the catalogue and removes them.

    Args:
        store: keeps the catalogue, and the events that wait for an article.
        make_encoder: called when a text has to be encoded, until it returns an encoder.
        on_change: called after the catalogue has changed.
    """

    def __init__(
        self,
        store: RedisStore,
        make_encoder: Callable[[], Encoder | None],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._make_encoder = make_encoder
        self._on_change = on_change
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()

    def upsert(
        self,
        submissions: Sequence[Submission],
        now: float,
        origin: str = "",  # noqa: ARG002 - its meaning comes with the next commits
    ) -> list[str]:
        """Insert or replace articles; return created, updated or unchanged for each.

        Of articles with one id the last counts. Texts are encoded only if they, or the encoder,
        changed.

        Args:
            submissions: the articles.
            now: epoch seconds.
            origin: the source that they were read from; empty if a caller of the API wrote them.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        latest = {one.article.article_id: one.article for one in submissions}
        ids = list(latest)
        before = dict(zip(ids, self._store.read_articles(ids), strict=True))
        with self._lock:
            prepared = self._prepare(list(latest.values()), before, now)
        changed = [s for s in prepared if not _same(before[s.article.article_id], s)]
        if changed:
            self._store.write_articles(changed)
            self._on_change()
            self._store.release_events([i for i in ids if before[i] is None], now)
        written = {s.article.article_id for s in changed}
        return [_status(one.article.article_id, before, written) for one in submissions]

    def read(self, article_id: str) -> Article:
        """Return one article, retracted or not.

        Raises:
            NotFoundError: there is none of that id.
        """
        (stored,) = self._store.read_articles([article_id])
        if stored is None:
            raise NotFoundError("no such article")
        return stored.article

    def retract(self, article_id: str) -> None:
        """Remove an article from every feed; it can still be read, marked as retracted.

        Raises:
            NotFoundError: there is none of that id.
        """
        (stored,) = self._store.read_articles([article_id])
        if stored is None:
            raise NotFoundError("no such article")
        if not stored.article.retracted:
            self._store.write_articles(
                [replace(stored, article=replace(stored.article, retracted=True))]
            )
            self._on_change()

    def erase(self, article_id: str) -> None:
        """Remove an article for good.

        Raises:
            NotFoundError: there is none of that id.
        """
        if not self._store.delete_articles([article_id]):
            raise NotFoundError("no such article")
        self._on_change()

    def _prepare(
        self, articles: Sequence[Article], before: dict[str, StoredArticle | None], now: float
    ) -> list[StoredArticle]:
        encoder = self._open() if any(a.embedding is None for a in articles) else None
        name = encoder.name if encoder else _NO_ENCODER
        prepared: dict[str, StoredArticle] = {}
        waiting: list[tuple[Article, str, str]] = []
        for article in articles:
            previous = before[article.article_id]
            added_at = previous.added_at if previous else now
            text = article_text(article)
            digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
            if article.embedding is not None:
                vector = _unit(np.asarray(article.embedding, np.float32))
                stored = StoredArticle(article, vector, PUBLISHER, digest, added_at)
            elif previous and (previous.text_hash, previous.encoder) == (digest, name):
                stored = StoredArticle(article, previous.embedding, name, digest, added_at)
            else:
                waiting.append((article, text, digest))
                stored = StoredArticle(article, np.zeros(0, np.float32), name, digest, added_at)
            prepared[article.article_id] = stored
        if encoder and waiting:
            vectors = encoder.encode([text for _, text, _ in waiting])
            for (article, _, _), vector in zip(waiting, vectors, strict=True):
                key = article.article_id
                prepared[key] = replace(prepared[key], embedding=vector)
        return list(prepared.values())

    def _open(self) -> Encoder | None:
        if self._encoder is None:
            self._encoder = self._make_encoder()
        return self._encoder


def _unit(vector: Matrix) -> Matrix:
    largest = float(np.abs(vector).max(initial=0.0))
    if not 0 < largest < np.inf:
        return np.zeros_like(vector)
    scaled = vector / np.float32(largest)
    unit: Matrix = (scaled / np.linalg.norm(scaled)).astype(np.float32)
    return unit


def _same(previous: StoredArticle | None, stored: StoredArticle) -> bool:
    if previous is None or previous.encoder != stored.encoder:
        return False
    same_text = replace(previous.article, embedding=None) == replace(stored.article, embedding=None)
    return (
        same_text
        and previous.embedding.shape == stored.embedding.shape
        and bool(np.allclose(previous.embedding, stored.embedding, atol=1e-3))
    )


def _status(article_id: str, before: dict[str, StoredArticle | None], written: set[str]) -> str:
    if article_id not in written:
        return "unchanged"
    return "created" if before[article_id] is None else "updated"
