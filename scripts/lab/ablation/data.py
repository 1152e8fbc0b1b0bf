"""The published data sets for the ablation of the collaborative model, as plain columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Integers, Matrix
from feed.domain import ArchiveError


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads in time order: user and article rows, a time that orders them, a signed weight.

    `content` f32 [articles, d] holds the articles' vectors, d 0 where there are none.
    """

    users: Integers
    articles: Integers
    at: Floats
    weights: Floats
    content: Matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and articles."""
        count = max(int(self.articles.max()) + 1, len(self.content))
        return int(self.users.max()) + 1, count

    def part(self, wanted: npt.NDArray[np.bool_]) -> Reads:
        """Return some of the reads under the same numbers."""
        return Reads(
            self.users[wanted],
            self.articles[wanted],
            self.at[wanted],
            self.weights[wanted],
            self.content,
        )


def read_globo(directory: Path) -> Reads:
    """Return Globo.com's first 24 hours: each reader's reads in order, and content vectors.

    Raises:
        ArchiveError: a file is missing.
    """
    try:
        reads = np.loadtxt(
            directory / "user_reads_first24h.csv", np.int64, delimiter=",", skiprows=1
        )
        ids = np.load(directory / "article_ids_4097.npy", allow_pickle=False)
        content = np.load(directory / "articles_embeddings_4097x250.npy", allow_pickle=False)
    except OSError as error:
        raise ArchiveError(f"no Globo data in {directory}: {error}") from error
    order = np.argsort(ids)
    places = np.minimum(np.searchsorted(ids[order], reads[:, 2]), len(ids) - 1)
    rows = order[places]
    known = ids[rows] == reads[:, 2]
    _, users = np.unique(reads[known, 0], return_inverse=True)
    unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-9)
    return Reads(
        users=users.astype(np.int64),
        articles=rows[known],
        at=reads[known, 1].astype(np.float64),
        weights=np.ones(int(known.sum())),
        content=unit.astype(np.float32),
    )


def read_movielens(directory: Path) -> Reads:
    """Return MovieLens 100k; a rating of 4 or 5 weighs +1, 1 or 2 weighs -1, 3 nothing.

    Raises:
        ArchiveError: the file is missing.
    """
    try:
        table = np.loadtxt(directory / "u.data", np.int64)
    except OSError as error:
        raise ArchiveError(f"no MovieLens data in {directory}: {error}") from error
    table = table[np.argsort(table[:, 3], kind="stable")]
    rating = table[:, 2]
    weights = np.where(rating >= 4, 1.0, np.where(rating <= 2, -1.0, 0.0))
    kept = weights != 0
    count = int(table[:, 1].max())
    return Reads(
        users=table[kept, 0] - 1,
        articles=table[kept, 1] - 1,
        at=table[kept, 3].astype(np.float64),
        weights=weights[kept],
        content=np.zeros((count, 0), np.float32),
    )
