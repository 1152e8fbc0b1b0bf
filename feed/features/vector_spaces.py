"""Vectors of articles from several encoders, of which one serves: they are never mixed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Vectors

COVERED = 0.99
"""Another encoder's vectors serve when they are there for this share of the live articles that have
one of the serving encoder; or for more articles."""
UNNAMED = "vectors"
"""What vectors are called whose encoder nobody names."""

Unit = npt.NDArray[np.float16]
_Space = tuple[str, int]


class VectorSpaces:
    """The vectors of the encoder that serves as a matrix, and those of others by row.

    Vectors of another encoder or of another length are another space. While articles are encoded
    anew, an article keeps the vector of the serving space beside its new one. The first vector's
    space serves at first.
    """

    def __init__(self) -> None:
        self._serving: _Space | None = None
        self._others: dict[_Space, dict[int, Unit]] = {}
        self._shared_rows = 0
        self._has: Flags = np.zeros(64, np.bool_)
        self.matrix: Vectors = np.zeros((64, 0), np.float16)

    @property
    def name(self) -> str:
        """The encoder whose vectors serve; empty before the first vector."""
        return self._serving[0] if self._serving else ""

    def share(self, size: int) -> Vectors:
        """Return the first rows, f16 [size, d]; later changes never touch them."""
        self._shared_rows = size
        return self.matrix[:size]

    def forget(self) -> None:
        """Forget the vectors that serve, but not which rows have one; they read as zero."""
        self.matrix, self._shared_rows = np.zeros(self.matrix.shape, np.float16), 0

    def make_room(self, capacity: int) -> None:
        """Let there be so many rows."""
        grown = np.zeros((capacity, self.matrix.shape[1]), np.float16)
        grown[: len(self.matrix)] = self.matrix
        self.matrix, self._shared_rows = grown, 0
        self._has = np.append(self._has, np.zeros(capacity - len(self._has), np.bool_))

    def put(self, row: int, embedding: npt.ArrayLike | None, name: str) -> bool:
        """Take an article's vector; return whether it is of another space than serves now.

        Args:
            row: of the article.
            embedding: of any length; None, empty or zero for an article without a vector.
            name: of its encoder; empty while the article waits to be encoded. Then it keeps what
                it has: nobody says which encoder made the vector of its earlier text.
        """
        vector = np.asarray(() if embedding is None else embedding, np.float32)
        norm = math.sqrt(vector.dot(vector)) if vector.size else 0.0
        if not name:
            return False
        space = (name, vector.size) if 0 < norm < math.inf else None
        for other, held in self._others.items():
            if other != space:
                held.pop(row, None)
        if space is None:
            self._write(row, np.zeros(self.matrix.shape[1], np.float16), has=False)
            return False
        unit = (vector / norm).astype(np.float16)
        if self._serving is None:
            self._serve(space)
        if space != self._serving:
            self._others.setdefault(space, {})[row] = unit
            return True
        self._write(row, unit, has=True)
        return False

    def settle(self, live: Flags) -> bool:
        """Let another space serve if its time has come; return whether one has taken over.

        It takes over when nearly all live articles that have a vector of the serving space have one
        of it, too, or when more live articles have one of it, as may be at the start.

        Args:
            live: whether each article is, bool [at least as many as rows].
        """
        served = self._has & live[: len(self._has)]
        count = np.count_nonzero(served)
        ready = {}
        for space, held in self._others.items():
            size, covered = (sum(map(flags.item, held)) for flags in (live, served))
            if size and (covered >= COVERED * count or size > count):
                ready[space] = size
        if self._serving is None or not ready:
            return False
        best = max(ready, key=lambda space: (ready[space], space))
        held = self._others.pop(best)
        left = [row for row in np.flatnonzero(self._has).tolist() if row not in held]
        self._others[self._serving] = {row: self.matrix[row].copy() for row in left}
        self._serve(best)
        self.matrix[[*held]] = np.stack([*held.values()])
        self._has[[*held]] = True
        return True

    def _serve(self, space: _Space) -> None:
        self._serving, self._shared_rows = space, 0
        self.matrix = np.zeros((len(self.matrix), space[1]), np.float16)
        self._has[:] = False

    def _write(self, row: int, new: Unit, *, has: bool) -> None:
        if row < self._shared_rows and not np.array_equal(self.matrix[row], new):
            self.matrix, self._shared_rows = self.matrix.copy(), 0
        self.matrix[row] = new
        self._has[row] = has
