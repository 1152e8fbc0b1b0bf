"""ArticlePool: the articles that can be shown, as immutable arrays to which rows are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.arrays import Codes, Flags, Floats, Vectors
from feed.domain import AiGenerated, Article
from feed.features.ids import IdMap, Vocabulary

_COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "published_at": (np.float64, 0.0),
    "fresh_at": (np.float64, 0.0),
    "first_seen_at": (np.float64, 0.0),
    "expires_at": (np.float64, np.inf),
    "section": (np.int32, -1),
    "source": (np.int32, -1),
    "language": (np.int32, -1),
    "live": (np.bool_, False),
    "sponsored": (np.bool_, False),
    "ai_generated": (np.bool_, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticlePool:
    """What ranking knows about every article, one row each; a snapshot that never changes.

    Rows are those of `ids`, which may have grown since: rows from `size` on are unknown here.
    Times are epoch seconds; age counts from `fresh_at`, which is `published_at` or the last real
    change after it; `expires_at` is inf if none was given; codes are -1 if the article
    has no section, source or language. `live` means known and neither retracted nor deleted.
    `embedding` has shape [size, d], and d is 0 while no article has a vector. Its rows have unit
    length, or are zero for an article without a vector. They are float16, as in the store, which
    halves the memory and rounds by 0.0005.
    """

    ids: IdMap
    sections: Vocabulary
    sources: Vocabulary
    languages: Vocabulary
    size: int
    published_at: Floats
    fresh_at: Floats
    first_seen_at: Floats
    expires_at: Floats
    section: Codes
    source: Codes
    language: Codes
    live: Flags
    sponsored: Flags
    ai_generated: Flags
    embedding: Vectors


class PoolBuilder:
    """Collects articles and returns snapshots; only this class writes the arrays.

    Arrays have spare capacity, so adding an article writes only its own row. The columns of a
    snapshot are copies. Its embeddings are a view that later additions never change: when an
    article that a snapshot already holds gets a new vector, the builder first copies the matrix.
    """

    def __init__(self, ids: IdMap | None = None) -> None:
        self._ids = IdMap() if ids is None else ids
        self._sections, self._sources, self._languages = Vocabulary(), Vocabulary(), Vocabulary()
        self._size = 0
        self._columns = {name: _filled(name, 64) for name in _COLUMNS}
        self._embedding: Vectors = np.zeros((64, 0), np.float16)
        self._shared_rows = 0

    @property
    def ids(self) -> IdMap:
        """The article numbering, shared with counters, co-visitation and factors."""
        return self._ids

    def add(
        self,
        article: Article,
        embedding: npt.ArrayLike | None = None,
        added_at: float = 0.0,
        fresh_at: float = 0.0,
    ) -> int:
        """Insert or replace one article; return its row.

        Args:
            article: the article; a retracted one is kept but not live.
            embedding: its vector, any length; normalised here. A vector of another dimension
                than the pool's counts as none.
            added_at: when it first came, epoch seconds; the earliest one given is kept. An
                article published before that (a newsroom's past, loaded at once) counts as
                first seen when it was published.
            fresh_at: when it last changed, epoch seconds; counts if that is after publication.
        """
        row = self._ids.add(article.article_id)
        self._make_room(row + 1)
        if 0 < article.published_at < added_at:
            added_at = article.published_at
        known = bool(self._columns["first_seen_at"][row])
        first = self._columns["first_seen_at"][row]
        values: dict[str, float] = {
            "published_at": article.published_at,
            "fresh_at": max(article.published_at, fresh_at),
            "first_seen_at": min(first, added_at) if known and added_at else added_at or first,
            "expires_at": np.inf if article.expires_at is None else article.expires_at,
            "section": self._sections.add(article.section),
            "source": self._sources.add(article.source),
            "language": self._languages.add(article.language),
            "live": not article.retracted,
            "sponsored": article.sponsored,
            "ai_generated": article.ai_generated is not AiGenerated.NONE,
        }
        for name, value in values.items():
            self._columns[name][row] = value
        self._write_embedding(row, embedding)
        return row

    def remove(self, article_id: str) -> None:
        """Take an article out for good: its row stays, but is not live."""
        row = self._ids.row(article_id)
        if 0 <= row < self._size:
            self._columns["live"][row] = False

    def snapshot(self) -> ArticlePool:
        """Return the pool as it is now."""
        size = self._size
        self._shared_rows = size
        columns: dict[str, Any] = {n: c[:size].copy() for n, c in self._columns.items()}
        return ArticlePool(
            ids=self._ids,
            sections=self._sections,
            sources=self._sources,
            languages=self._languages,
            size=size,
            embedding=self._embedding[:size],
            **columns,
        )

    def _make_room(self, size: int) -> None:
        capacity = len(self._columns["live"])
        if size > capacity:
            capacity = max(size, 2 * capacity)
            for name, column in self._columns.items():
                grown = _filled(name, capacity)
                grown[: len(column)] = column
                self._columns[name] = grown
            embedding = np.zeros((capacity, self._embedding.shape[1]), np.float16)
            embedding[: len(self._embedding)] = self._embedding
            self._embedding, self._shared_rows = embedding, 0
        self._size = max(self._size, size)

    def _write_embedding(self, row: int, embedding: npt.ArrayLike | None) -> None:
        vector = np.asarray(() if embedding is None else embedding, np.float32)
        norm = float(np.linalg.norm(vector)) if vector.size else 0.0
        if self._embedding.shape[1] == 0 and norm > 0:
            self._embedding = np.zeros((len(self._embedding), vector.size), np.float16)
            self._shared_rows = 0
        fits = norm > 0 and vector.size == self._embedding.shape[1]
        unit = vector / norm if fits else np.zeros(self._embedding.shape[1], np.float32)
        new = unit.astype(np.float16)
        if row < self._shared_rows and not np.array_equal(self._embedding[row], new):
            self._embedding, self._shared_rows = self._embedding.copy(), 0
        self._embedding[row] = new


def _filled(name: str, size: int) -> npt.NDArray[np.generic]:
    kind, default = _COLUMNS[name]
    return np.full(size, default, kind)
