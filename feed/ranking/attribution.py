"""Attribution: which article of the reader's history adds most to a candidate's score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from feed.arrays import Codes, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.features.covisitation import RECENT
from feed.features.ids import find
from feed.models.schema import FEATURES, columns_of
from feed.ranking.context import RankingContext, Situation

MOST_CLICKS = RECENT
"""How many of the last clicks are considered."""
_LEAST = 1e-9
"""A click that adds less than this is no reason."""
_WEIGHTS = {feature.name: feature.weight for feature in FEATURES}
_SHARES = ("section_share", "source_share", "language_share")
_AFFINITY = {FEATURES[column].name for column in columns_of(("affinity",))}


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
        self._engaged = np.flatnonzero(profile.engaged_rows < pool.size)
        self._engaged_places = find(profile.engaged_rows, self._past)
        self._in_session = (self._places < len(profile.session_rows)).astype(np.float64)

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
        shared = self._add_up(_AFFINITY & self.parts.keys()) > 0
        return self._find_best(np.where(shared, self._added, 0.0))

    @cached_property
    def parts(self) -> dict[str, Floats]:
        """What each past click adds to each feature of the candidates, f64 [past, k] each."""
        return {
            **(dict(self._content()) if self._config.use_content else {}),
            **dict(self._covisitation()),
            **(dict(self._collaborative()) if self._config.use_collaborative else {}),
            **dict(self._affinity()),
        }

    @cached_property
    def _added(self) -> Floats:
        return self._add_up(self.parts)

    def _add_up(self, names: Iterable[str]) -> Floats:
        weights = _WEIGHTS | self._config.weights
        parts = np.array([self.parts[name] for name in names])
        weighed: Floats = np.einsum("f,fpk->pk", [weights[name] for name in names], parts)
        return weighed

    def _find_best(self, added: Floats) -> list[int]:
        """Return the visible past row that adds most for each candidate, -1 for none."""
        added = added * self._visible[:, None]
        best = np.where(added.max(axis=0) > _LEAST, self._past[added.argmax(axis=0)], -1)
        found: list[int] = best.tolist()
        return found

    def _content(self) -> Iterator[tuple[str, Floats]]:
        content, reader = self._context.view.content, self._situation.reader
        cosines = (content[self._past] @ content[self._rows].T).astype(np.float64)
        yield "content_nearest", _lead_over_next(cosines)
        if reader.content_long is not None:
            yield "content_long", (self._weights / reader.long_length)[:, None] * cosines
        if reader.content_session is not None:
            yield "content_session", (self._in_session / reader.session_length)[:, None] * cosines

    def _covisitation(self) -> Iterator[tuple[str, Floats]]:
        context = self._context
        votes = self._situation.votes
        if context.request.page_row >= 0:  # the request's votes count the page's article as a click
            clicked, at = context.profile.clicked_rows, context.profile.clicked_at
            votes = context.signals.covisitation.votes(clicked, at, context.request.now)
        by_click = _place_votes(votes.rows, votes.weights, votes.clicks, MOST_CLICKS, self._rows)
        whole = by_click.sum(axis=0)
        parts = np.log1p(1e4 * whole) - np.log1p(1e4 * np.maximum(whole - by_click, 0.0))
        yield "covisit", parts[self._places]
        yield "neighbours", self._neighbours()

    def _neighbours(self) -> Floats:
        view, count = self._context.view, len(self._past)
        of_past, of_rows = view.bundle_rows[self._past], view.bundle_rows[self._rows]
        known = np.flatnonzero(of_past >= 0)
        index, weights = view.bundle.neighbour_index, view.bundle.neighbour_weights
        if not index.size:
            return np.zeros((count, len(self._rows)))
        index, weights = index[of_past[known]], weights[of_past[known]]
        clicks = np.repeat(known, index.shape[1])
        return _place_votes(index.ravel(), weights.ravel(), clicks, count, of_rows)

    def _collaborative(self) -> Iterator[tuple[str, Floats]]:
        view, fold = self._context.view, self._situation.reader.fold
        if fold is None:
            return
        weights = self._of_past(self._context.profile.fold_in_weights)
        confidence = np.where(weights > 0, 1.0 + view.bundle.alpha * weights, 0.0)
        solved = fold.solve(view.factors[self._past].T.astype(np.float64))
        yield "collaborative", (view.factors[self._rows] @ (solved * confidence)).T

    def _affinity(self) -> Iterator[tuple[str, Floats]]:
        pool, profile = self._context.view.pool, self._context.profile
        session = profile.session_rows[profile.session_rows < pool.size]
        engaged = profile.engaged_rows[self._engaged]
        rows = np.concatenate([engaged, self._past, self._rows])
        codes = np.array([pool.section[rows], pool.source[rows], pool.language[rows]])
        candidates_from = len(engaged) + len(self._past)
        of_engaged, of_past = codes[:, : len(engaged)], codes[:, len(engaged) : candidates_from]
        of_rows = codes[:, candidates_from:]
        same = (of_past[:, :, None] == of_rows[:, None, :]) & (of_rows >= 0)[:, None, :]
        totals = (of_engaged >= 0) @ np.maximum(profile.weights[self._engaged], 0.0)
        shares = np.maximum(self._weights, 0.0) / (totals[:, None] + 1.0)
        yield from zip(_SHARES, shares[:, :, None] * same, strict=True)
        in_session = self._in_session / ((pool.section[session] >= 0).sum() + 1.0)
        yield "section_session", in_session[:, None] * same[0]

    @cached_property
    def _weights(self) -> Floats:
        return self._of_past(self._context.profile.weights)

    def _of_past(self, weights: Floats) -> Floats:
        return np.where(self._engaged_places >= 0, weights[self._engaged_places], 0.0)


def _lead_over_next(cosines: Floats) -> Floats:
    """Return what the nearest past article adds: its cosine less the next one's, f64 [past, k].

    Cosines below zero count as zero.
    """
    nothing = np.zeros(cosines.shape[1])
    second, first = np.partition(np.vstack([cosines, nothing]), -2, axis=0)[-2:]
    return np.where(cosines == first, first - second, 0.0)


def _place_votes(
    voted: Rows | Codes,
    weights: Floats | Matrix,
    clicks: Rows,
    count: int,
    rows: Rows | Codes,
) -> Floats:
    """Return the weight of each click's vote for each candidate, f64 [count, k].

    Args:
        voted: the articles voted for, -1 for none.
        weights: of the votes.
        clicks: which click each vote comes from, below `count`.
        count: number of clicks.
        rows: the candidates, none twice, -1 for none.
    """
    parts = np.zeros((count, len(rows)))
    if len(voted):
        place = np.zeros(max(int(voted.max()), int(rows.max())) + 2, np.int32)
        place[rows] = np.arange(1, len(rows) + 1)
        place[-1] = 0
        at = place[voted]
        there = np.flatnonzero(at)
        parts[clicks[there], at[there] - 1] = weights[there]
    return parts
