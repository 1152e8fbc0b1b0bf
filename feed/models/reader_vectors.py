"""ReaderVectors: one reader in the vector spaces of the model, computed once per request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Matrix, Rows
from feed.features.ids import look_up, sum_by_row
from feed.features.profile import Profile
from feed.models.fold_in import FoldIn, solve_fold_in
from feed.models.view import RankingView

RECENT = 20
"""How many of the last clicks item-item neighbours are asked for."""


@dataclass(frozen=True, slots=True)
class ReaderVectors:
    """A reader's vectors; None where nothing is known that could make one.

    `fold` is the fold-in of weighted recent articles, `collaborative` f32 [f] its vector;
    `content_long` and `content_session` f32 [d] are unit means of content, long-term (signed
    weights) and of the session, `long_length` and `session_length` the lengths of the sums they
    were before; `neighbour_votes` f64 [greatest neighbour + 1] are the similarities of the last
    clicks' item-item neighbours, summed by row.
    """

    view: RankingView
    fold: FoldIn | None
    content_long: Matrix | None
    content_session: Matrix | None
    long_length: float
    session_length: float
    neighbour_votes: Floats

    @property
    def collaborative(self) -> Matrix | None:
        """The reader in the space of the factors."""
        return None if self.fold is None else self.fold.vector

    def neighbour_scores(self, rows: Rows) -> Floats:
        """Return the votes of the last clicks' neighbours for rows, f64 [k]; NaN untaught."""
        if not self.view.bundle.neighbour_index.size:
            return np.full(len(rows), np.nan)
        return look_up(self.neighbour_votes, rows)

    def content_of(self, row: int) -> Matrix | None:
        """Return an article's content vector, or None if it has none."""
        if not 0 <= row < len(self.view.worded) or not self.view.worded[row]:
            return None
        vector: Matrix = self.view.content[row]
        return vector


def build_reader_vectors(view: RankingView, profile: Profile) -> ReaderVectors:
    """Return a reader's vectors in the spaces of a view."""
    neighbours, similarities = view.neighbours(profile.clicked_rows[:RECENT])
    session = profile.session_rows
    long, long_length = _mean_content(view, profile.engaged_rows, profile.weights)
    short, session_length = _mean_content(view, session, np.ones(len(session)))
    return ReaderVectors(
        view=view,
        fold=_fold_in(view, profile),
        content_long=long,
        content_session=short,
        long_length=long_length,
        session_length=session_length,
        neighbour_votes=sum_by_row(neighbours, similarities),
    )


def _fold_in(view: RankingView, profile: Profile) -> FoldIn | None:
    known = profile.engaged_rows < view.pool.size
    rows, weights = profile.engaged_rows[known], profile.fold_in_weights[known]
    if not view.has_factors or not (weights > 0).any() or not view.placed[rows].any():
        return None
    bundle = view.bundle
    return solve_fold_in(
        view.factors,
        bundle.gramian,
        rows,
        weights,
        regularization=bundle.regularization,
        alpha=bundle.alpha,
    )


def _mean_content(view: RankingView, rows: Rows, weights: Floats) -> tuple[Matrix | None, float]:
    """Return the unit vector of a weighted sum of contents, if there is one, and its length."""
    if not view.has_content or not len(rows):
        return None, 0.0
    known = rows < view.pool.size
    if not known.all():
        rows, weights = rows[known], weights[known]
    total = weights.astype(np.float32) @ view.content[rows]
    length = float(np.sqrt(total @ total))
    return (None if length < 1e-6 else np.asarray(total / length, np.float32)), length
