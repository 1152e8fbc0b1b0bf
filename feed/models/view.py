"""RankingView: the article pool with one model's vectors, as arrays by article row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.features.pool import ArticlePool
from feed.models.bundle import ModelBundle
from feed.models.fold_in import blend_factors


@dataclass(frozen=True, slots=True, eq=False)
class PackedVectors:
    """The vectors of some rows side by side in memory, where searching them is fast.

    `rows` int64 [k], `content` f32 [k, d], `factors` f32 [k, f].
    """

    rows: Rows
    content: Matrix
    factors: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingView:
    """What a request reads of articles; rows are those of `pool`, a snapshot like it.

    `content` f32 [size, d] are centred, reduced, unit vectors (zero rows: no vector; d is 0 when
    there are none at all); `factors` f32 [size, f] blend learnt and content-mapped factors;
    `worded` and `placed`, bool [size], say which articles have a content vector and factors;
    `bundle_rows` int64 [size] are the rows in the bundle, -1 for articles it never saw;
    `pool_rows` int64 [m] the way back; `packed` is what `pack` returned last.
    """

    pool: ArticlePool
    bundle: ModelBundle
    content: Matrix
    factors: Matrix
    worded: Flags
    placed: Flags
    bundle_rows: Rows
    pool_rows: Rows
    packed: list[PackedVectors] = field(default_factory=list, init=False, compare=False, repr=False)

    def pack(self, rows: Rows) -> PackedVectors:
        """Return the vectors of rows packed; those packed last are kept for the next request."""
        held = self.packed[0] if self.packed else None
        if held is None or (held.rows is not rows and not np.array_equal(held.rows, rows)):
            held = PackedVectors(rows, self.content[rows], self.factors[rows])
            self.packed[:] = [held]
        return held

    def with_pool(self, pool: ArticlePool) -> RankingView:
        """Return the view of another snapshot in which every article has the same vector."""
        view = replace(self, pool=pool)
        view.packed[:] = self.packed
        return view

    def with_live(self, live: Flags, like: RankingView | None = None) -> RankingView:
        """Return the view with other articles live, bool [size].

        Args:
            live: which articles can be shown.
            like: a view of the same model, whose packed vectors are used again.
        """
        view = replace(self, pool=replace(self.pool, live=live))
        if like is not None and like.content is self.content and like.factors is self.factors:
            view.packed[:] = like.packed
        return view

    @property
    def has_content(self) -> bool:
        """Some article has a vector."""
        return bool(self.content.shape[1])

    @property
    def has_factors(self) -> bool:
        """The bundle learnt factors."""
        return bool(self.factors.shape[1])

    def neighbours(self, rows: Rows) -> tuple[Rows, Floats]:
        """Return item-item neighbours of articles: rows (repeats possible) and similarities."""
        known = self.bundle_rows[rows[(rows >= 0) & (rows < self.pool.size)]]
        known = known[known >= 0]
        index = self.bundle.neighbour_index
        if not len(known) or not index.size:
            return np.zeros(0, np.int64), np.zeros(0)
        others, weights = index[known].ravel(), self.bundle.neighbour_weights[known].ravel()
        others, weights = others[others >= 0], weights[others >= 0]
        there = self.pool_rows[others]
        return there[there >= 0], weights[there >= 0].astype(np.float64)


def build_view(
    pool: ArticlePool, bundle: ModelBundle, previous: RankingView | None = None
) -> RankingView:
    """Return the view of a pool through a bundle.

    Args:
        pool: the articles.
        bundle: the model; `bundle.empty_bundle()` before there is one.
        previous: a view of an older snapshot of the same pool; with the same bundle, only rows
            whose vector is new are computed again.
    """
    size, width = pool.size, pool.embedding.shape[1]
    fits = bundle.fits_to(pool.space)
    reuse = previous is not None and previous.bundle is bundle and previous.pool.ids is pool.ids
    reuse = reuse and previous is not None and previous.pool.space == pool.space
    dimensions = bundle.content_dimensions(width) if fits else width
    stale, old = np.arange(size), 0
    if reuse and previous is not None and previous.content.shape[1] == dimensions:
        old = min(previous.pool.size, size)
        changed = _changed_rows(pool.embedding[:old], previous.pool.embedding[:old])
        stale = np.concatenate([changed, np.arange(old, size)])
        if not len(stale) and previous.pool.size == size:
            return previous.with_pool(pool)
    content = np.zeros((size, dimensions), np.float32)
    factors = np.zeros((size, bundle.factors.shape[1]), np.float32)
    worded, placed = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    bundle_rows = np.full(size, -1, np.int64)
    if old and previous is not None:
        content[:old], factors[:old] = previous.content[:old], previous.factors[:old]
        worded[:old], placed[:old] = previous.worded[:old], previous.placed[:old]
        bundle_rows[:old] = previous.bundle_rows[:old]
    if len(stale):
        ids = pool.ids.ids
        bundle_rows[stale] = bundle.article_ids.rows([ids[r] for r in stale.tolist()])
        embedding = pool.embedding if len(stale) == size else pool.embedding[stale]
        content[stale] = bundle.reduce_content(embedding) if fits else embedding
        factors[stale] = _factors(bundle, content[stale] if fits else None, bundle_rows[stale])
        worded[stale], placed[stale] = content[stale].any(axis=1), factors[stale].any(axis=1)
    return RankingView(
        pool=pool,
        bundle=bundle,
        content=content,
        factors=factors,
        worded=worded,
        placed=placed,
        bundle_rows=bundle_rows,
        pool_rows=_pool_rows(bundle_rows, len(bundle.article_ids)),
    )


def _factors(bundle: ModelBundle, content: Matrix | None, bundle_rows: Rows) -> Matrix:
    """Return factors of articles; `content` None: their vectors mean nothing to the model."""
    known = bundle_rows >= 0
    own = np.zeros((len(bundle_rows), bundle.factors.shape[1]), np.float32)
    own[known] = bundle.factors[bundle_rows[known]]
    readers = np.zeros(len(bundle_rows))
    readers[known] = bundle.readers[bundle_rows[known]]
    mapped = np.zeros_like(own)
    if content is not None and 0 < content.shape[1] == bundle.content_map.shape[0]:
        worded = content.any(axis=1)
        mapped[worded] = content[worded] @ bundle.content_map + bundle.content_bias
    return blend_factors(own, mapped, readers, bundle.shrinkage_readers)


def _changed_rows(new: npt.NDArray[np.floating], old: npt.NDArray[np.floating]) -> Rows:
    if new.shape != old.shape:
        return np.arange(len(new))
    if new.base is not None and new.base is old.base:
        return np.zeros(0, np.int64)
    bits = np.dtype(f"u{new.itemsize}")  # whole numbers are compared in half the time
    return np.flatnonzero((new.view(bits) != old.view(bits)).any(axis=1))


def _pool_rows(bundle_rows: Rows, count: int) -> Rows:
    rows = np.full(count, -1, np.int64)
    known = bundle_rows >= 0
    rows[bundle_rows[known]] = np.flatnonzero(known)
    return rows
