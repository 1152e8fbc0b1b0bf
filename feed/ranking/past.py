"""Which article of the reader's history speaks most for a candidate."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig
from feed.features.covisitation import RECENT
from feed.features.profile import find
from feed.ranking.context import RankingContext, Situation

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST = 40
"""Only so many of the last clicks are asked."""


class PastFinder:
    """Evidence of each past article for each candidate, per feature group, made when asked for.

    The past are the reader's last clicks that are still live, newest first, and before them the
    article of the page. Evidence is the part of the group's feature that the past article adds:
    its weighted cosine, its co-visitation votes, its term of the fold-in.
    """

    def __init__(
        self, context: RankingContext, situation: Situation, rows: Rows, config: RankingConfig
    ) -> None:
        pool = context.view.pool
        self._context = context
        self._rows = rows
        self._config = config
        usable = situation.recent_rows < pool.size
        past, at = situation.recent_rows[usable][:MOST], situation.recent_at[usable][:MOST]
        live = pool.live[past]
        self._past, self._at = past[live], at[live]

    def find(self, group: str, i: int) -> int:
        """Return the past row with the most evidence for candidate i, -1 if none has any."""
        if not self._past.size:
            return -1
        evidence = getattr(self, f"_{group}")
        best = int(evidence[:, i].argmax())
        return int(self._past[best]) if evidence[best, i] > 0 else -1

    @cached_property
    def _weights(self) -> Floats:
        """What each past article weighs in the profile; the page's article weighs 1."""
        profile = self._context.profile
        at = find(profile.engaged_rows, self._past)
        weights = np.zeros(len(self._past))
        weights[at >= 0] = np.maximum(profile.weights[at[at >= 0]], 0.0)
        weights[self._past == self._context.request.page_row] = 1.0
        return weights

    @cached_property
    def _cosines(self) -> Floats:
        content = self._context.view.content
        return (content[self._past] @ content[self._rows].T).astype(np.float64)

    @cached_property
    def _content(self) -> Floats:
        return self._cosines * self._weights[:, None]

    @cached_property
    def _session_content(self) -> Floats:
        in_session = self._at >= self._context.request.now - self._config.session_minutes * 60
        return self._cosines * in_session[:, None]

    @cached_property
    def _covisitation(self) -> Floats:
        pairs, now = self._context.signals.covisitation, self._context.request.now
        votes = np.zeros((len(self._past), len(self._rows)))
        for i in range(min(len(self._past), RECENT)):
            one = slice(i, i + 1)
            votes[i] = pairs.scores(self._past[one], self._at[one], self._rows, now)
        return votes

    @cached_property
    def _collaborative(self) -> Floats:
        """The terms of the fold-in: `c_i y' W y_i` with W the inverse of its normal matrix.

        Source: Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback (2008), sec. 5.
        """
        view, profile = self._context.view, self._context.profile
        known = profile.engaged_rows < view.pool.size
        rows, weights = profile.engaged_rows[known], profile.fold_in_weights[known]
        strength = view.bundle.alpha * np.abs(weights)
        engaged = view.factors[rows].astype(np.float64)
        normal = view.bundle.gramian + view.bundle.regularization * np.eye(engaged.shape[1])
        normal = normal + (engaged * strength[:, None]).T @ engaged
        at = find(profile.engaged_rows, self._past)
        own = np.where(at >= 0, profile.fold_in_weights[at], 0.0)
        confidence = np.where(own > 0, 1 + view.bundle.alpha * own, 0.0)
        solved = np.linalg.solve(normal, view.factors[self._rows].T.astype(np.float64))
        terms: Floats = confidence[:, None] * (view.factors[self._past] @ solved)
        return terms

    @cached_property
    def _affinity(self) -> Floats:
        pool = self._context.view.pool
        section, source = pool.section, pool.source
        past, rows = self._past[:, None], self._rows[None]
        same = (section[past] == section[rows]) & (section[rows] >= 0)
        same = same | ((source[past] == source[rows]) & (source[rows] >= 0))
        return np.asarray(same * self._weights[:, None], np.float64)
