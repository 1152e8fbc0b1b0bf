"""ExampleStore: feature rows rebuilt point-in-time, kept by day until they are too old."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Integers, Matrix


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples: features f32 [n, F], `clicked` bool [n], `sizes` int64 of each list."""

    features: Matrix
    clicked: Flags
    sizes: Integers

    def __len__(self) -> int:
        return len(self.sizes)

    def split(self, lists: int) -> tuple[Examples, Examples]:
        """Return the first so many lists, and the others."""
        rows = int(self.sizes[:lists].sum())
        return (
            Examples(self.features[:rows], self.clicked[:rows], self.sizes[:lists]),
            Examples(self.features[rows:], self.clicked[rows:], self.sizes[lists:]),
        )


@dataclass(slots=True)
class _Chunk:
    newest_at: float
    lists: list[tuple[Matrix, Flags]]


class ExampleStore:
    """Lists with at least one click and one other, in chunks of time; memory is a window's."""

    def __init__(self, window_s: float, chunk_s: float = 3600.0) -> None:
        self._window_s, self._chunk_s = window_s, chunk_s
        self._chunks: deque[_Chunk] = deque()
        self._began_at = -np.inf

    def add(self, features: Matrix, clicked: Flags, at: float) -> None:
        """Keep one list; one without a choice teaches nothing and is left out."""
        if not is_choice(clicked):
            return
        if not self._chunks or at >= self._began_at + self._chunk_s:
            self._chunks.append(_Chunk(at, []))
            self._began_at = at
        self._chunks[-1].lists.append((features, clicked))
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
            np.concatenate([features for features, _ in lists]),
            np.concatenate([clicked for _, clicked in lists]),
            np.array([len(clicked) for _, clicked in lists]),
        )


def is_choice(clicked: Flags) -> bool:
    """Return whether a list has both a click and an entry without one: others teach nothing."""
    return bool(clicked.any()) and not bool(clicked.all())


def sample_negatives(clicked: Flags, limit: int, rng: np.random.Generator) -> Integers:
    """Return the positions of every clicked entry and of at most `limit` others, in order."""
    others = np.flatnonzero(~clicked)
    if len(others) > limit:
        others = rng.choice(others, limit, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(clicked), others]))
