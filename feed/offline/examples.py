"""ExampleStore: feature rows rebuilt point-in-time, kept by day until they are too old."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NEAR = 60
"""How many of the likeliest candidates count as near a click."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples: features f32 [n, F], `clicked` bool [n], `weights` f32 [n].

    `sizes` int64 counts the entries of each list.
    """

    features: Matrix
    clicked: Flags
    weights: Matrix
    sizes: Integers

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(slots=True)
class _Chunk:
    newest_at: float
    lists: list[tuple[Matrix, Flags, Matrix]]


class ExampleStore:
    """Lists with at least one click and one other, in chunks of time; memory is a window's."""

    def __init__(self, window_s: float, chunk_s: float = 3600.0) -> None:
        self._window_s, self._chunk_s = window_s, chunk_s
        self._chunks: deque[_Chunk] = deque()
        self._began_at = -np.inf

    def add(
        self, features: Matrix, clicked: Flags, at: float, weights: Floats | None = None
    ) -> None:
        """Keep one list; one without a choice teaches nothing and is left out.

        Entries weigh 1 where no `weights` are given.
        """
        if not clicked.any() or clicked.all():
            return
        if not self._chunks or at >= self._began_at + self._chunk_s:
            self._chunks.append(_Chunk(at, []))
            self._began_at = at
        given = np.ones(len(clicked)) if weights is None else weights
        self._chunks[-1].lists.append((features, clicked, given.astype(np.float32)))
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
            none = np.zeros(0, np.float32)
            return Examples(none.reshape(0, 0), none > 0, none, np.zeros(0, np.int64))
        return Examples(
            np.concatenate([features for features, _, _ in lists]),
            np.concatenate([clicked for _, clicked, _ in lists]),
            np.concatenate([weights for _, _, weights in lists]),
            np.array([len(clicked) for _, clicked, _ in lists]),
        )


def sample_negatives(
    clicked: Flags, likely: Floats, limit: int, rng: np.random.Generator
) -> tuple[Integers, Floats]:
    """Return every clicked entry and some of the others, with weights that make up for it.

    Three quarters of the sample are drawn from the `NEAR` likeliest of the others, which are the
    ones a ranker must tell from a click, the rest from all that remain; an entry weighs as many
    as it stands for.

    Args:
        clicked: bool [k].
        likely: what makes an entry likely to be seen, f64 [k].
        limit: entries drawn besides the clicked ones.
        rng: where the draw comes from.

    Returns:
        Positions in order, int64 [n], and weights f64 [n] (1 for clicked entries).
    """
    others = np.flatnonzero(~clicked)
    others = others[np.argsort(-np.nan_to_num(likely[others]), kind="stable")]
    near, far = others[:NEAR], others[NEAR:]
    n_near = min(len(near), limit - limit // 4 if len(far) else limit)
    n_far = min(len(far), limit - n_near)
    weights = np.zeros(len(clicked))
    weights[clicked] = 1.0
    for part, count in ((near, n_near), (far, n_far)):
        if count:
            weights[rng.choice(part, count, replace=False)] = len(part) / count
    kept = np.flatnonzero(weights)
    return kept, weights[kept]
