"""ExampleStore: feature rows rebuilt point-in-time, kept by day until they are too old."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from feed.arrays import Flags, Floats, Integers, Matrix, Rows
from feed.offline.event_log import Seen
from feed.offline.examination import Examination

NO_PLACES: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples: features f32 [n, F], `clicked` bool [n], `sizes` int64 of each list.

    `places` int64 [n] is where each stood in the list that the reader saw, from 0, and -1 if
    nowhere or not known; it is empty where no list of the log has places.
    """

    features: Matrix
    clicked: Flags
    sizes: Integers
    places: Rows = field(default_factory=lambda: NO_PLACES)

    def __len__(self) -> int:
        return len(self.sizes)

    def split(self, lists: int) -> tuple[Examples, Examples]:
        """Return the first so many lists, and the others."""
        rows = int(self.sizes[:lists].sum())
        first, rest = slice(0, rows), slice(rows, None)
        return (
            Examples(
                self.features[first], self.clicked[first], self.sizes[:lists], self.places[first]
            ),
            Examples(
                self.features[rest], self.clicked[rest], self.sizes[lists:], self.places[rest]
            ),
        )

    def weights(self, examination: Examination | None) -> Floats | None:
        """Return what each example weighs, f64 [n]; None if all weigh the same.

        A click weighs 1: the reader looked. What was not clicked weighs the chance that it was
        looked at, and 1 where its place is not known.
        """
        if examination is None or not len(self.places):
            return None
        return np.where(self.clicked | (self.places < 0), 1.0, examination.at(self.places))


@dataclass(slots=True)
class _Chunk:
    newest_at: float
    lists: list[tuple[Matrix, Flags, Rows]]


class ExampleStore:
    """Lists with at least one click and one other, in chunks of time; memory is a window's."""

    def __init__(self, window_s: float, chunk_s: float = 3600.0) -> None:
        self._window_s, self._chunk_s = window_s, chunk_s
        self._chunks: deque[_Chunk] = deque()
        self._began_at = -np.inf

    def add(self, features: Matrix, clicked: Flags, at: float, places: Rows = NO_PLACES) -> None:
        """Keep one list; one without a choice teaches nothing and is left out.

        Args:
            features: f32 [k, F].
            clicked: bool [k].
            at: when it was served, epoch seconds.
            places: where each stood, int64 [k], -1 if nowhere; empty where that is not known.
        """
        if not is_choice(clicked):
            return
        if not self._chunks or at >= self._began_at + self._chunk_s:
            self._chunks.append(_Chunk(at, []))
            self._began_at = at
        self._chunks[-1].lists.append((features, clicked, places))
        self._chunks[-1].newest_at = at

    def collect(self, until: float) -> Examples:
        """Return the examples of the window that ends at `until`, dropping the older ones."""
        while self._chunks and self._chunks[0].newest_at < until - self._window_s:
            self._chunks.popleft()
        return self.between(-np.inf, until)

    def between(self, start: float, end: float) -> Examples:
        """Return the examples whose chunk of time ended in [start, end)."""
        chunks = [chunk for chunk in self._chunks if start <= chunk.newest_at < end]
        lists = [entry for chunk in chunks for entry in chunk.lists]
        if not lists:
            return Examples(np.zeros((0, 0), np.float32), np.zeros(0, bool), np.zeros(0, np.int64))
        return Examples(
            np.concatenate([features for features, _, _ in lists]),
            np.concatenate([clicked for _, clicked, _ in lists]),
            np.array([len(clicked) for _, clicked, _ in lists]),
            _join_places([(places, len(clicked)) for _, clicked, places in lists]),
        )


def _join_places(lists: list[tuple[Rows, int]]) -> Rows:
    """Return the places of all lists; none where no list has any."""
    if not any(len(places) for places, _ in lists):
        return NO_PLACES
    return np.concatenate([p if len(p) else np.full(size, -1) for p, size in lists])


def is_choice(clicked: Flags) -> bool:
    """Return whether a list has both a click and an entry without one: others teach nothing."""
    return bool(clicked.any()) and not bool(clicked.all())


def sample_negatives(clicked: Flags, limit: int, rng: np.random.Generator) -> Integers:
    """Return the positions of every clicked entry and of at most `limit` others, in order."""
    others = np.flatnonzero(~clicked)
    if len(others) > limit:
        others = rng.choice(others, limit, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(clicked), others]))


def choose_examples(
    rows: Rows,
    clicked: Flags,
    seen: Seen,
    negatives: int,
    rng: np.random.Generator,
) -> tuple[Rows, Rows]:
    """Return which candidates of a list teach, and where each of these stood in it.

    Where the log says how the feed placed a list, only what the reader was shown teaches. An
    article that the feed did not show says nothing: to learn that it was not clicked is to learn
    what the feed shows. Of other lists a sample of the candidates teaches, and none has a place.

    Args:
        rows: the candidates, int64 [k].
        clicked: which of them were clicked, bool [k].
        seen: the list.
        negatives: how many others are sampled.
        rng: of that sample.

    Returns:
        Positions in `rows`, and places as `shown_places` gives them; both int64 [kept].
    """
    return shown_examples(rows, clicked, seen) or (
        sample_negatives(clicked, negatives, rng),
        NO_PLACES,
    )


def shown_examples(rows: Rows, clicked: Flags, seen: Seen) -> tuple[Rows, Rows] | None:
    """Return what `choose_examples` returns of a list whose places the log knows; else None."""
    if not (seen.placed.places >= 0).any():
        return None
    places = shown_places(rows, seen.shown, seen.placed.places)
    kept = np.flatnonzero(clicked | (places >= 0))
    return kept, places[kept]


def shown_places(rows: Rows, shown: Rows, places: Rows) -> Rows:
    """Return where each of `rows` stood in a list, int64 [k]; -1 if nowhere.

    Args:
        rows: int64 [k].
        shown: rows of the list, int64 [n], none twice.
        places: where each stood, int64 [n].
    """
    found = np.full(int(max(rows.max(initial=-1), shown.max(initial=-1))) + 1, -1)
    found[shown] = places
    return np.asarray(found[rows], np.int64)
