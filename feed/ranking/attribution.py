"""Attribution: which article of the reader's history adds most to a candidate's score."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from feed.arrays import Codes, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.features.covisitation import RECENT
from feed.features.ids import find
from feed.models.schema import FEATURES
from feed.ranking.context import RankingContext, Situation

MOST_CLICKS = RECENT
"""How many of the last clicks are considered."""
PARTS = (
    "content_nearest",
    "content_long",
    "content_session",
    "covisit",
    "neighbours",
    "collaborative",
    "section_share",
    "source_share",
    "language_share",
    "section_session",
)
"""The features that read the history."""
_CONTENT, _COVISIT, _NEIGHBOURS, _COLLABORATIVE, _AFFINITY = slice(3), 3, 4, 5, slice(6, None)
_LEAST = 1e-9
"""A click that adds less than this is no reason."""
_WEIGHTS = {feature.name: feature.weight for feature in FEATURES}


class HistoryAttribution:
    """What each of the reader's last clicks adds to the features of candidates.

    Nearly all features that read the history are sums over past articles, so a click adds its own
    term to them:

    - in a mean of contents, its weight times the cosine;
    - in item-item similarity, its own similarity;
    - in a share of a section, source or language, its own part;
    - in the fold-in, `c_j y_i' A^-1 y_j`, where `A` is the matrix of the equations that were
      solved and `c_j` the click's confidence.

    Two features are no sums. There a click adds what the feature would lose without it: for the
    nearest article, the distance to the next nearest; for co-visitation, the difference of the
    logarithms of the votes. The features are added up with the weights of the default linear
    ranker.

    Source: Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (2008),
    section 5.
    """

    def __init__(
        self, context: RankingContext, rows: Rows, config: RankingConfig, situation: Situation
    ) -> None:
        """Prepare for candidates `rows` [k]; nothing is computed before it is read.

        Args:
            context: the request.
            rows: distinct candidates, int64 [k].
            config: engines that are switched off, and the default ranker's weights.
            situation: what the request has already computed about the reader.
        """
        self._context = context
        self._config = config
        self._situation = situation
        self._rows = rows
        pool, profile = context.view.pool, context.profile
        self._places = np.flatnonzero(profile.clicked_rows[:MOST_CLICKS] < pool.size)
        self._past = profile.clicked_rows[self._places]
        self._visible = pool.live[self._past]
        self._engaged_places = find(profile.engaged_rows, self._past)
        self._in_session = self._places < len(profile.session_rows)

    @property
    def can_name(self) -> bool:
        """Whether any past click is on an article that readers may still be sent to."""
        return bool(self._visible.any())

    @cached_property
    def best(self) -> list[int]:
        """The past row that adds most to each candidate, -1 where none adds anything."""
        return self._find_best(self._added) if self.can_name else [-1] * len(self._rows)

    @cached_property
    def best_by_affinity(self) -> list[int]:
        """The same among clicks that share the candidate's section, source or language."""
        if not self.can_name:
            return self.best
        shared = self._add_up(_AFFINITY) > 0
        return self._find_best(np.where(shared, self._added, 0.0))

    @cached_property
    def parts(self) -> Floats:
        """What each past click adds to each of `PARTS`, f64 [len(PARTS), past, k].

        Those of engines that are switched off are 0.
        """
        parts = np.zeros((len(PARTS), len(self._past), len(self._rows)))
        if self._config.use_content:
            self._put_content(parts[_CONTENT])
        self._put_covisitation(parts[_COVISIT])
        self._put_neighbours(parts[_NEIGHBOURS])
        if self._config.use_collaborative:
            self._put_collaborative(parts[_COLLABORATIVE])
        self._put_affinity(parts[_AFFINITY])
        return parts

    @cached_property
    def _added(self) -> Floats:
        return self._add_up(slice(None))

    def _add_up(self, which: slice) -> Floats:
        own = self._config.weights
        weights = np.array([own.get(name, _WEIGHTS[name]) for name in PARTS[which]])
        parts = self.parts[which]
        added: Floats = (weights @ parts.reshape(len(weights), -1)).reshape(parts.shape[1:])
        return added

    def _find_best(self, added: Floats) -> list[int]:
        """Return the visible past row that adds most for each candidate, -1 for none."""
        added = added * self._visible[:, None]
        best = np.where(added.max(axis=0) > _LEAST, self._past[added.argmax(axis=0)], -1)
        found: list[int] = best.tolist()
        return found

    def _put_content(self, parts: Floats) -> None:
        content, reader = self._context.view.content, self._situation.reader
        cosines = np.zeros((len(self._past) + 1, len(self._rows)))  # below zero counts as zero
        cosines[:-1] = content[self._past] @ content[self._rows].T
        second, first = np.partition(cosines, -2, axis=0)[-2:]
        cosines = cosines[:-1]
        np.copyto(parts[0], first - second, where=cosines == first)
        if reader.content_long is not None:
            np.multiply((self._weights / reader.long_length)[:, None], cosines, out=parts[1])
        if reader.content_session is not None:
            share = self._in_session / reader.session_length
            np.multiply(share[:, None], cosines, out=parts[2])

    def _put_covisitation(self, parts: Floats) -> None:
        context, votes = self._context, self._situation.votes
        if context.request.page_row >= 0:  # the request's votes count the page's article as a click
            clicked, at = context.profile.clicked_rows, context.profile.clicked_at
            votes = context.signals.covisitation.votes(clicked, at, context.request.now)
        by_click = np.zeros((MOST_CLICKS, len(self._rows)))
        size = max(len(votes.totals), context.view.pool.size)
        _place_votes(votes.rows, votes.weights, votes.clicks, self._rows, size, by_click)
        by_click *= 1e4
        whole = by_click.sum(axis=0)
        without = np.log1p(np.maximum(whole - by_click, 0.0))
        np.subtract(np.log1p(whole), without[self._places], out=parts)

    def _put_neighbours(self, parts: Floats) -> None:
        view = self._context.view
        index, weights = view.bundle.neighbour_index, view.bundle.neighbour_weights
        if not index.size:
            return
        of_past = view.bundle_rows[self._past]
        known = np.flatnonzero(of_past >= 0)
        of_past = of_past[known]
        _place_votes(
            index[of_past].ravel(),
            weights[of_past].ravel(),
            np.repeat(known, index.shape[1]),
            view.bundle_rows[self._rows],
            len(index),
            parts,
        )

    def _put_collaborative(self, parts: Floats) -> None:
        view, fold = self._context.view, self._situation.reader.fold
        if fold is None:
            return
        weights = self._of_past(self._context.profile.fold_in_weights)
        confidence = np.where(weights > 0, 1.0 + view.bundle.alpha * weights, 0.0)
        solved = fold.solve(view.factors[self._past].T.astype(np.float64))
        np.matmul((solved * confidence).T, view.factors[self._rows].T, out=parts)

    def _put_affinity(self, parts: Floats) -> None:
        pool, profile = self._context.view.pool, self._context.profile
        engaged = np.searchsorted(profile.engaged_rows, pool.size)
        past = engaged + len(self._past)
        rows = np.concatenate([profile.engaged_rows[:engaged], self._past, self._rows])
        codes = np.array([pool.section[rows], pool.source[rows], pool.language[rows]])
        of_past, of_rows = codes[:, engaged:past, None], codes[:, None, past:]
        same = (of_past == of_rows) & (of_rows >= 0)
        totals = (codes[:, :engaged] >= 0) @ np.maximum(profile.weights[:engaged], 0.0)
        shares = np.maximum(self._weights, 0.0) / (totals[:, None] + 1.0)
        np.copyto(parts[:3], shares[:, :, None], where=same)
        session = profile.session_rows[profile.session_rows < pool.size]
        in_session = self._in_session / ((pool.section[session] >= 0).sum() + 1.0)
        np.copyto(parts[3], in_session[:, None], where=same[0])

    @cached_property
    def _weights(self) -> Floats:
        return self._of_past(self._context.profile.weights)

    def _of_past(self, weights: Floats) -> Floats:
        return np.where(self._engaged_places >= 0, weights[self._engaged_places], 0.0)


def _place_votes(
    voted: Rows | Codes,
    weights: Floats | Matrix,
    clicks: Rows,
    rows: Rows | Codes,
    size: int,
    parts: Floats,
) -> None:
    """Put the weight of each click's vote for each candidate into `parts`, f64 [clicks, k].

    Args:
        voted: the articles voted for, below `size`, -1 for none.
        weights: of the votes.
        clicks: which click each vote comes from.
        rows: the candidates, none twice, below `size`, -1 for none.
        size: number of articles.
        parts: zeros.
    """
    place = np.zeros(size + 1, np.int32)
    place[rows] = np.arange(1, len(rows) + 1)
    place[-1] = 0
    at = place[voted]
    there = np.flatnonzero(at)
    parts[clicks[there], at[there] - 1] = weights[there]
