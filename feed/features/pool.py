"""ArticlePool: the articles that can be shown, as immutable arrays to which rows are added."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.arrays import Codes, Flags, Floats, Rows, Vectors
from feed.domain import AiGenerated, Article
from feed.features.ids import IdMap, Vocabulary, find
from feed.features.sections import SectionVocabulary
from feed.features.stories import Stories, StoryFinder
from feed.features.twins import TwinColumns, TwinFinder, leader_rows
from feed.features.vector_spaces import UNNAMED, VectorSpaces

SCHEDULE_TOLERANCE_S = 300.0
"""An article dated this far ahead is taken as clock difference; further ahead, as scheduled."""

LATE_VECTORS_S = 5.0
"""While many articles wait to be encoded, their vectors may serve this much later: a snapshot
copies the vectors of all articles."""

_COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "published_at": (np.float64, 0.0),
    "fresh_at": (np.float64, 0.0),
    "first_seen_at": (np.float64, 0.0),
    "expires_at": (np.float64, np.inf),
    "section": (np.int32, -1),
    "section_name": (np.int32, -1),
    "source": (np.int32, -1),
    "language": (np.int32, -1),
    "live": (np.bool_, False),
    "sponsored": (np.bool_, False),
    "ai_generated": (np.bool_, False),
    "full_text": (np.bool_, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticlePool:
    """What ranking knows about every article, one row each; a snapshot that never changes.

    Rows are those of `ids`, which may have grown since: rows from `size` on are unknown here.
    Times are epoch seconds; age counts from `fresh_at`, which is `published_at` or the last real
    change after it; `expires_at` is inf if none was given; codes are -1 if the article has no
    section, source or language. All spellings of a section have one code; `section_name`
    is the code of the publisher's own spelling. `also_in` has the sorted rows of the articles
    that have a section, by its code, as another section beside their own.
    `live` means known and neither retracted nor deleted.
    Of twins (one story under several ids) only the leader is live: `leader` has the row of each
    article's leader, `folded` those that would be live without it. Both are None without twins.
    `stories` says which articles tell of one event; None if no two do. `full_text` means that the
    article has a body.
    `embedding` has shape [size, d], and d is 0 while no article has a vector. Its rows have unit
    length, or are zero for an article without a vector. They are float16, as in the store, which
    halves the memory and rounds by 0.0005. All of them come from one encoder, `space`.
    """

    ids: IdMap
    sections: SectionVocabulary
    section_names: Vocabulary
    sources: Vocabulary
    languages: Vocabulary
    size: int
    published_at: Floats
    fresh_at: Floats
    first_seen_at: Floats
    expires_at: Floats
    section: Codes
    section_name: Codes
    source: Codes
    language: Codes
    live: Flags
    sponsored: Flags
    ai_generated: Flags
    embedding: Vectors
    also_in: Mapping[int, Rows]
    full_text: Flags
    leader: Rows | None = None
    folded: Flags | None = None
    stories: Stories | None = None
    space: str = ""

    def leaders_of(self, rows: Rows) -> Rows:
        """Return the row that is shown for each row (-1 and unknown rows stay), int64 [k]."""
        if self.leader is None:
            return rows
        known = (rows >= 0) & (rows < self.size)
        leading = rows.copy()
        leading[known] = self.leader[rows[known]]
        return leading

    def leader_of(self, row: int) -> int:
        """Return the row that is shown for a row; -1 and unknown rows stay."""
        if self.leader is None or not 0 <= row < self.size:
            return row
        return int(self.leader[row])

    def is_live(self, row: int) -> bool:
        """Return whether an article may be shown, even if only because an editor pinned it."""
        return bool(self.live[row]) or (self.folded is not None and bool(self.folded[row]))

    def stand_in(self, rows: Rows, sections: Iterable[int]) -> Flags:
        """Return which rows have one of the sections as their own or as another, bool [k]."""
        found = np.zeros(len(rows), np.bool_)
        for code in sections:
            found |= self.section[rows] == code
            if code in self.also_in:
                found |= find(self.also_in[code], rows) >= 0
        return found


class PoolBuilder:
    """Collects articles and returns snapshots; only this class writes the arrays.

    Arrays have spare capacity, so adding an article writes only its own row. The columns of a
    snapshot are copies. Its embeddings are a view that later additions never change: when an
    article that a snapshot already holds gets a new vector, the matrix is first copied.

    Args:
        ids: the numbering of articles.
        section_aliases: further names of sections, see `read_aliases`.
        twins: finds which articles are shown as one.
        stories: groups the articles.
        keeps_vectors: whether snapshots have the vectors. Otherwise they are forgotten with each
            snapshot, and only stories keep some: 1 kB less for an article, where nobody ranks.

    Attributes:
        has_news: whether anything has changed since the last snapshot, but for vectors of articles
            that waited to be encoded; those make a snapshot due after a while.
    """

    def __init__(
        self,
        ids: IdMap | None = None,
        section_aliases: Mapping[str, str] | None = None,
        twins: TwinFinder | None = None,
        stories: StoryFinder | None = None,
        *,
        keeps_vectors: bool = True,
    ) -> None:
        self._twins, self._stories = twins, stories
        self._keeps_vectors = keeps_vectors
        self._ids = IdMap() if ids is None else ids
        self._sections, self._section_names = SectionVocabulary(section_aliases), Vocabulary()
        self._sources, self._languages = Vocabulary(), Vocabulary()
        self._other_sections = _Memberships()
        self._size = 0
        self._columns = {name: _filled(name, 64) for name in _COLUMNS}
        self._vectors = VectorSpaces()
        self._ungrouped: dict[int, tuple[Article, float, float]] = {}
        self.has_news = self._has_late_vectors = False
        self._taken_at = -math.inf

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
        space: str = UNNAMED,
    ) -> int:
        """Insert or replace one article; return its row.

        Args:
            article: the article; a retracted one is kept but not live.
            embedding: its vector, any length; normalised here. A vector of another space or
                length than those that serve counts as none until its space serves.
            added_at: when it first came, epoch seconds; the earliest one given is kept. An
                article published before that (a newsroom's past, loaded at once) counts as
                first seen when it was published.
            fresh_at: when it last changed, epoch seconds; counts if that is after publication.
            space: the encoder of the vector; empty if the article waits to be encoded.
        """
        row = self._ids.add(article.article_id)
        self._make_room(row + 1)
        seen_at = added_at
        if 0 < article.published_at < added_at:
            seen_at = article.published_at
        known = bool(self._columns["first_seen_at"][row])
        first = self._columns["first_seen_at"][row]
        values: dict[str, float] = {
            "published_at": article.published_at,
            "fresh_at": max(article.published_at, fresh_at),
            "first_seen_at": min(first, seen_at) if known and seen_at else seen_at or first,
            "expires_at": np.inf if article.expires_at is None else article.expires_at,
            "section": self._sections.add(article.section),
            "section_name": self._section_names.add(article.section),
            "source": self._sources.add(article.source),
            "language": self._languages.add(article.language),
            "live": not article.retracted,
            "sponsored": article.sponsored,
            "ai_generated": article.ai_generated is not AiGenerated.NONE,
            "full_text": bool(article.body.strip()),
        }
        others = {self._sections.add(name) for name in article.other_sections}
        others -= {-1, int(values["section"])}
        if space and self._awaits_vector(row) and self._holds(row, values, others):
            self._has_late_vectors = True
        else:
            self.has_news = True
        for name, value in values.items():
            self._columns[name][row] = value
        self._other_sections.put(row, others)
        is_foreign = self._vectors.put(row, embedding, space)
        if self._twins is not None:
            self._twins.put(row, article, added_at)
        if self._stories is not None:
            self._ungrouped.pop(row, None)
            if is_foreign:  # its place in a story may have to wait until its space serves
                self._ungrouped[row] = article, added_at, seen_at or added_at
            if space:
                vector = self._vectors.matrix[row]
                self._stories.put(row, article, vector, added_at, seen_at or added_at)
            else:
                self._stories.note_unencoded(row, added_at)
        return row

    def recall(self, article_id: str, embedding: npt.ArrayLike, space: str) -> None:
        """Take the vector that an article had before it was encoded anew; call `add` after this.

        Args:
            article_id: which article.
            embedding: as `add`.
            space: the encoder of the vector.
        """
        row = self._ids.add(article_id)
        self._make_room(row + 1)
        self._vectors.put(row, embedding, space)

    def remove(self, article_id: str) -> None:
        """Take an article out for good: its row stays, but is not live."""
        row = self._ids.row(article_id)
        if 0 <= row < self._size:
            self.has_news = True
            self._columns["live"][row] = False
            if self._twins is not None:
                self._twins.note_removal(row)
            if self._stories is not None:
                self._stories.remove(row)

    def removable_ids(self) -> list[str]:
        """Return the ids of what is live, but for its twins, and of what is to be encoded."""
        rows = set(np.flatnonzero(self._columns["live"]).tolist())
        rows |= set() if self._stories is None else self._stories.unencoded_rows
        return [self._ids.ids[row] for row in sorted(rows)]

    def is_due(self, now: float) -> bool:
        """Return whether a new snapshot would differ without any news.

        Time may have changed which of some twins is shown, articles wait for their story, or
        vectors for being served.
        """
        if self._stories is not None:
            is_late = not 0 <= now - self._taken_at < LATE_VECTORS_S
            if self._has_late_vectors and (is_late or not self._stories.awaits_vectors):
                return True
            if self._stories.has_waiting:
                return True
        return self._twins is not None and self._twins.is_due(now)

    def snapshot(self, now: float = 0.0) -> ArticlePool:
        """Return the pool as it is now.

        Args:
            now: epoch seconds; says which of several twins may be shown.
        """
        size = self._size
        if self._vectors.settle(self._columns["live"].astype(np.bool_)):
            self._move_stories()
        columns: dict[str, Any] = {n: c[:size].copy() for n, c in self._columns.items()}
        also_in = self._other_sections.by_code()
        led = self._find_twins(now)
        if led:
            leader = leader_rows(led, size)
            folded = columns["live"] & (leader != np.arange(size))
            columns["live"] &= ~folded
            columns |= {"leader": leader, "folded": folded}
            self._lend_sections(also_in, led)
        pool = ArticlePool(
            ids=self._ids,
            sections=self._sections,
            section_names=self._section_names,
            sources=self._sources,
            languages=self._languages,
            size=size,
            embedding=self._share_vectors(size),
            space=self._vectors.name,
            also_in=also_in,
            stories=None if self._stories is None else self._stories.place(size),
            **columns,
        )
        self.has_news, self._has_late_vectors, self._taken_at = False, False, now
        return pool

    def _awaits_vector(self, row: int) -> bool:
        return self._stories is not None and self._stories.awaits_vector(row)

    def _holds(self, row: int, values: Mapping[str, float], others: set[int]) -> bool:
        """Return whether this is what is known of an article."""
        same = all(self._columns[name][row] == value for name, value in values.items())
        return same and self._other_sections.of(row) == others

    def _share_vectors(self, size: int) -> Vectors:
        if self._keeps_vectors:
            return self._vectors.share(size)
        self._vectors.forget()
        return np.zeros((size, 0), np.float16)

    def _find_twins(self, now: float) -> dict[int, int]:
        if self._twins is None:
            return {}
        columns: dict[str, Any] = self._columns
        return self._twins.find(
            TwinColumns(
                live=columns["live"],
                out_at=columns["published_at"] - SCHEDULE_TOLERANCE_S,
                expires_at=columns["expires_at"],
                embedding=self._vectors.matrix,
                now=now,
            )
        )

    def _lend_sections(self, also_in: dict[int, Rows], led: Mapping[int, int]) -> None:
        """Let leaders stand in the sections of their twins, too."""
        own = self._columns["section"]
        for row, leader in led.items():
            for code in {int(own[row]), *self._other_sections.of(row)} - {-1, int(own[leader])}:
                also_in[code] = np.union1d(also_in.get(code, np.empty(0, np.int64)), [leader])

    def _make_room(self, size: int) -> None:
        capacity = len(self._columns["live"])
        if size > capacity:
            capacity = max(size, 2 * capacity)
            for name, column in self._columns.items():
                grown = _filled(name, capacity)
                grown[: len(column)] = column
                self._columns[name] = grown
            self._vectors.make_room(capacity)
        self._size = max(self._size, size)

    def _move_stories(self) -> None:
        """Let stories be compared by the vectors that serve now."""
        if self._stories is None:
            return
        self._stories.move(self._vectors.matrix)
        for row, (article, added_at, seen_at) in self._ungrouped.items():
            self._stories.put(row, article, self._vectors.matrix[row], added_at, seen_at)
        self._ungrouped.clear()


class _Memberships:
    """Rows by code, where a row may have several codes or none."""

    def __init__(self) -> None:
        self._codes: dict[int, set[int]] = {}
        self._rows: dict[int, set[int]] = {}
        self._sorted: dict[int, Rows] = {}
        self._changed: set[int] = set()

    def put(self, row: int, codes: set[int]) -> None:
        """Give a row these codes and no others."""
        if not codes and row not in self._codes:
            return  # as nearly every row: nothing is kept of it
        before = self.of(row)
        for code in before - codes:
            self._rows[code].remove(row)
        for code in codes - before:
            self._rows.setdefault(code, set()).add(row)
        self._changed |= before ^ codes
        self._codes[row] = codes

    def of(self, row: int) -> set[int]:
        """Return the codes of a row."""
        return self._codes.get(row, set())

    def by_code(self) -> dict[int, Rows]:
        """Return the sorted rows of each code; only those that changed are sorted again."""
        for code in self._changed:
            self._sorted[code] = np.array(sorted(self._rows[code]), np.int64)
        self._changed.clear()
        return dict(self._sorted)


def _filled(name: str, size: int) -> npt.NDArray[np.generic]:
    kind, default = _COLUMNS[name]
    return np.full(size, default, kind)
