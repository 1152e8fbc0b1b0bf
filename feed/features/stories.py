"""Stories: which articles tell of one event, found when they arrive."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows, Vectors
from feed.config import HOUR_S
from feed.domain import Article
from feed.features.story_pairs import Level, Pair, PairJudge
from feed.features.story_text import StoryText, read_text

WINDOW_HOURS = 72.0
"""Articles further apart are never compared."""
WINDOW_ARTICLES = 5_000
"""At most this many articles are compared with a new one; the latest count."""
LEAST_COSINE = 0.3
"""Articles less alike than this are not looked at."""
NEIGHBOURS = 24
"""The most similar articles, which a new one is compared with word by word."""
MEMBERS = 8
"""An article joins a story if it fits, on average, its first and its last articles, this many."""
CLEAR = 8.0
"""Log-odds beyond which a single pair counts no more in that average."""
GROUPED_AT_A_TIME = 200
"""Articles that a process which serves or judges groups at each look at the catalogue, so that no
look takes long."""
GROUPED_AT_MOST = 2_000
"""Articles that it groups when many come at once, as at the start or with a large load: those that
readers could see last."""
ONE_LOAD_S = 600.0
"""Articles that come within this time may be of one load, seconds."""
GIVEN_UP_S = 3600.0
"""For an article that has no vector when others come so much later, nobody waits, seconds."""
AT_ONCE = 64
"""After this many articles, what is too old is forgotten; until then, cosines are computed at
once."""


@dataclass(frozen=True, slots=True, eq=False)
class Stories:
    """How the articles of a pool belong together, one element per row.

    Attributes:
        story: row of the first article of the same event, the own row for the first, int64 [size].
        twin: row of the first article with the same text likewise, int64 [size].
        series: row of the first article of the same column or template, -1 for none, int64 [size].
        several: whether the event of an article has other articles, bool [size].
        versions: rows of all articles of each story that has several, sorted, by `story`.
    """

    story: Rows
    twin: Rows
    series: Rows
    several: Flags
    versions: Mapping[int, Rows]


@dataclass(slots=True)
class _Placed:
    row: int
    text: StoryText
    at: float
    story: int
    updates: bool = False


@dataclass(slots=True)
class _Waiting:
    row: int
    article: Article
    at: float
    vector: npt.NDArray[np.float16]
    order: tuple[float, float, str] = (0.0, 0.0, "")
    was_encoded_late: bool = False


class StoryFinder:
    """Groups articles one after the other, in the order in which they came.

    An article joins the story that it fits best, or begins one, and stays there however its text
    changes. The outcome depends on the order of articles, never on how many are placed at a time.
    An article without a vector waits for one. Those of a large load are encoded in no order, so
    they get their places when all of them have their vectors, or when articles come that are
    `GIVEN_UP_S` younger than those without. The cost of an article is bounded:
    one product with the vectors of the window, and a comparison of words with `NEIGHBOURS`
    articles.

    Args:
        at_a_time: articles that one call of `place` places at most; the others go on waiting.
        most_waiting: if more than this wait, only those that readers could see last are ever
            placed, so many.
    """

    def __init__(self, at_a_time: int = sys.maxsize, most_waiting: int = sys.maxsize) -> None:
        self._at_a_time, self._most_waiting = at_a_time, most_waiting
        self._judge = PairJudge()
        self._waiting: dict[int, _Waiting] = {}
        self._unencoded: dict[int, float] = {}
        self._latest_arrival = -math.inf
        self._placed: list[_Placed] = []
        self._known: set[int] = set()
        self._vectors: Matrix = np.zeros((0, 0), np.float32)
        self._latest = -math.inf
        self._count = 0
        self._place_of: dict[int, int] = {}
        self._members: dict[int, list[_Placed]] = {}
        self._story: dict[int, int] = {}
        self._versions: dict[int, list[int]] = {}
        self._twin: dict[int, int] = {}
        self._series: dict[int, int] = {}

    def put(
        self,
        row: int,
        article: Article,
        vector: npt.NDArray[np.float16],
        added_at: float,
        seen_at: float,
    ) -> None:
        """Take in an article; one that has its place keeps it.

        A sponsored article has none: it neither stands for what others report nor gives way to it.

        Args:
            row: of the article in the pool.
            article: as it is now.
            vector: of unit length, [d]; zero for none.
            added_at: when it came, epoch seconds.
            seen_at: when readers could first see it, epoch seconds.
        """
        is_late = self._unencoded.pop(row, None) is not None
        self._latest_arrival = max(self._latest_arrival, added_at)
        if row in self._known or article.sponsored or not vector.any():
            return
        order = (added_at, seen_at, article.article_id)
        self._waiting[row] = _Waiting(row, article, seen_at, vector.copy(), order, is_late)
        if len(self._waiting) >= 2 * self._most_waiting:
            self._waiting = {one.row: one for one in self._latest_waiting()}

    def note_unencoded(self, row: int, added_at: float) -> None:
        """Take note that an article is still to be encoded; `put` it when it is."""
        self._unencoded[row] = added_at
        self._latest_arrival = max(self._latest_arrival, added_at)

    def awaits_vector(self, row: int) -> bool:
        """Return whether an article is still to be encoded."""
        return row in self._unencoded

    @property
    def awaits_vectors(self) -> bool:
        """Whether any article is still to be encoded."""
        return bool(self._unencoded)

    @property
    def unencoded_rows(self) -> frozenset[int]:
        """The articles that are still to be encoded."""
        return frozenset(self._unencoded)

    def remove(self, row: int) -> None:
        """Take note that an article is gone, so nobody encodes it any more."""
        self._unencoded.pop(row, None)

    def move(self, vectors: Vectors) -> None:
        """Compare by the vectors of another encoder from now on; every article keeps its place.

        Args:
            vectors: by row, of unit length, [rows, d]; zero for none.
        """
        self._vectors = vectors[[one.row for one in self._placed]].astype(np.float32)
        for row, one in list(self._waiting.items()):
            if vectors[row].any():
                one.vector = vectors[row].copy()
            else:
                del self._waiting[row]

    @property
    def has_waiting(self) -> bool:
        """Whether another call of `place` would place something."""
        return bool(self._ready(self._waiting.values()))

    def place(self, size: int) -> Stories | None:
        """Give waiting articles their places; return them all, None if nothing belongs together.

        Args:
            size: rows of the pool.
        """
        ordered = self._latest_waiting()
        waiting = self._ready(ordered)[: self._at_a_time]
        self._waiting = {one.row: one for one in ordered}
        for one in waiting:
            del self._waiting[one.row]
        while waiting:
            room = AT_ONCE - self._count % AT_ONCE
            self._place_some(waiting[:room])
            waiting = waiting[room:]
        if not self._story and not self._twin and not self._series:
            return None
        several = np.zeros(size, np.bool_)
        several[[*self._story, *self._versions]] = True
        return Stories(
            story=_filled(np.arange(size), self._story),
            twin=_filled(np.arange(size), self._twin),
            series=_filled(np.full(size, -1), self._series),
            several=several,
            versions={story: np.array(sorted(rows)) for story, rows in self._versions.items()},
        )

    def _latest_waiting(self) -> list[_Waiting]:
        """Return what waits in the order in which it came, without what is too much."""
        waiting = sorted(self._waiting.values(), key=lambda one: (one.at, one.order))
        return sorted(waiting[-self._most_waiting :], key=lambda one: one.order)

    def _ready(self, waiting: Iterable[_Waiting]) -> list[_Waiting]:
        """Return what need not wait for others of its load to be encoded."""
        given_up = self._latest_arrival - GIVEN_UP_S
        first = min((at for at in self._unencoded.values() if at > given_up), default=math.inf)
        return [
            one for one in waiting if not one.was_encoded_late or one.order[0] + ONE_LOAD_S < first
        ]

    def _place_some(self, waiting: Sequence[_Waiting]) -> None:
        block = np.stack([one.vector for one in waiting]).astype(np.float32)
        if self._count % AT_ONCE == 0:
            self._forget_old()
        self._count += len(waiting)
        before = len(self._placed)
        if self._vectors.shape[1] != block.shape[1]:
            self._vectors = np.zeros((0, block.shape[1]), np.float32)
        earlier = self._vectors[:before] @ block.T
        among = block @ block.T
        self._make_room(before + len(block))
        for k, one in enumerate(waiting):
            cosines = np.concatenate([earlier[:, k], among[:k, k]])
            self._place(one, np.round(cosines, 4).astype(np.float64))
            self._vectors[before + k] = block[k]

    def _place(self, one: _Waiting, cosines: Floats) -> None:
        placed = _Placed(one.row, read_text(one.article), one.at, one.row)
        self._judge.learn(placed.text)
        self._known.add(one.row)
        self._latest = max(self._latest, one.at)
        near = self._neighbours(cosines, one.at)
        levels: dict[int, tuple[Level, float]] = {}
        for at in near:
            pair = self._pair(placed, self._placed[at], float(cosines[at]))
            if self._judge.may_belong(pair):
                levels[at] = self._judge.judge(pair)
        placed.updates = any(
            level is Level.STORY
            and self._judge.is_update(self._pair(placed, self._placed[at], float(cosines[at])))
            for at, (level, _) in levels.items()
        )
        if placed.updates:  # what they repeat is neither boilerplate nor a common word
            self._judge.forget(placed.text)
        twins = [at for at, (level, _) in levels.items() if level is Level.TWIN]
        column = [at for at, (level, _) in levels.items() if level is Level.SERIES]
        if column:
            first = self._placed[min(column)].row
            self._series[one.row] = self._series.setdefault(first, first)
        if twins:
            other = self._placed[min(twins)]
            self._twin[one.row] = self._twin.get(other.row, other.row)
            self._join(placed, other.story)
        else:
            self._join(placed, self._best_story(placed, levels, cosines))
        self._place_of[one.row] = len(self._placed)
        self._placed.append(placed)

    def _neighbours(self, cosines: Floats, at: float) -> list[int]:
        """Return the places of the articles to compare with, the most similar first."""
        places = np.flatnonzero(cosines >= LEAST_COSINE)
        window = WINDOW_HOURS * HOUR_S
        near: list[int] = []
        for place in places[np.argsort(-cosines[places], kind="stable")].tolist():
            if abs(self._placed[place].at - at) <= window:
                near.append(place)
            if len(near) == NEIGHBOURS:
                break
        return near

    @staticmethod
    def _pair(one: _Placed, other: _Placed, cosine: float) -> Pair:
        return Pair(other.text, one.text, cosine, abs(one.at - other.at) / HOUR_S)

    def _best_story(
        self, placed: _Placed, levels: dict[int, tuple[Level, float]], cosines: Floats
    ) -> int:
        """Return the story that an article fits best, its own row if it fits none.

        The average over several members keeps a story from growing along a chain of articles each
        of which resembles only the one before. A story never has two articles of one series.
        """
        alike = [
            self._placed[at].story for at, (level, _) in levels.items() if level is Level.STORY
        ]
        best, best_odds = placed.row, 0.0
        for story in sorted(set(alike)):
            members = self._members[story]
            some = members if len(members) <= MEMBERS else [members[0], *members[1 - MEMBERS :]]
            places = [self._place_of[member.row] for member in some]
            for at in places:
                if at not in levels:
                    pair = self._pair(placed, self._placed[at], float(cosines[at]))
                    levels[at] = self._judge.judge(pair)
            if any(levels[at][0] is Level.SERIES for at in places):
                continue
            odds = float(np.mean([min(max(levels[at][1], -CLEAR), CLEAR) for at in places]))
            if odds >= best_odds:
                best, best_odds = story, odds
        return best

    def _join(self, placed: _Placed, story: int) -> None:
        placed.story = story
        self._members.setdefault(story, []).append(placed)
        if story != placed.row:
            self._story[placed.row] = story
            self._versions.setdefault(story, [story]).append(placed.row)

    def _forget_old(self) -> None:
        """Drop what is too far from the latest article, or beyond the number that is compared."""
        oldest = self._latest - WINDOW_HOURS * HOUR_S
        keep = [i for i, one in enumerate(self._placed) if one.at >= oldest][-WINDOW_ARTICLES:]
        if len(keep) == len(self._placed):
            return
        for i in set(range(len(self._placed))) - set(keep):
            if not self._placed[i].updates:
                self._judge.forget(self._placed[i].text)
        self._vectors = self._vectors[keep]
        self._placed = [self._placed[i] for i in keep]
        self._place_of = {one.row: i for i, one in enumerate(self._placed)}
        self._members = {}
        for one in self._placed:
            self._members.setdefault(one.story, []).append(one)

    def _make_room(self, size: int) -> None:
        if size > len(self._vectors):
            grown = np.zeros(
                (max(size, 2 * len(self._vectors)), self._vectors.shape[1]), np.float32
            )
            grown[: len(self._vectors)] = self._vectors
            self._vectors = grown


def _filled(rows: Rows, codes: dict[int, int]) -> Rows:
    rows = rows.astype(np.int64)
    known = [row for row in codes if row < len(rows)]
    rows[known] = [codes[row] for row in known]
    return rows
