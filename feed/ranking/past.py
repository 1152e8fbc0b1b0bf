"""Which article of the reader's history speaks most for a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig
from feed.features.ids import find
from feed.models.reader_vectors import RECENT, build_reader_vectors
from feed.models.schema import FEATURES, feature_index
from feed.ranking.context import RankingContext, Situation

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST = 20
"""Only so many of the last clicks are asked."""
_NEAREST = 20


class PastFinder:
    """What each candidate would lose if one past click had never been.

    For every feature group that reads the history, the share of the group's features that
    goes when one click is left out (features weighed among themselves as by the default linear
    ranker), times what the group gives the candidate. Means, shares and votes are taken without
    the click exactly; the fold-in by a rank-one update. With the default ranker the sum is the
    loss in log-odds, up to the ranks among candidates.
    """

    def __init__(
        self,
        context: RankingContext,
        rows: Rows,
        contributions: Mapping[str, Floats],
        config: RankingConfig,
        situation: Situation | None = None,
    ) -> None:
        """Prepare for candidates `rows` [k] with what each feature group gives them, f64 [k].

        `situation`: what the request has worked out of the reader already.
        """
        self._view = context.view
        self._profile = context.profile
        self._signals = context.signals
        self._now = context.request.now
        self._rows = rows
        self._contributions = contributions
        clicked = context.profile.clicked_rows
        known = clicked < context.view.pool.size
        known_votes = situation and context.request.page_row < 0 and known[:MOST].all()
        self._votes = situation.votes if situation and known_votes else None
        self._reader = (
            situation.reader if situation else build_reader_vectors(context.view, context.profile)
        )
        self._past = clicked[known][:MOST]
        self._at = context.profile.clicked_at[known][:MOST]
        self._in_session = self._at >= self._now - config.session_minutes * 60
        self._visible = context.view.pool.live[self._past]

    def find(self, i: int, *, affinity_only: bool = False) -> int:
        """Return the past row whose absence costs candidate i most, -1 if none costs anything.

        Args:
            i: position of the candidate.
            affinity_only: look at what section, source and language say, no further.
        """
        if not self._visible.any():
            return -1
        return int((self._by_affinity if affinity_only else self._by_total)[i])

    @cached_property
    def _by_total(self) -> Rows:
        return self._most_missed(self._total)

    @cached_property
    def _by_affinity(self) -> Rows:
        return self._most_missed(np.where(self._total > 0, self._affinity, 0.0))

    def _most_missed(self, costs: Floats) -> Rows:
        """Return the visible past row of the greatest cost for each candidate, -1 for none."""
        costs = np.where(self._visible[:, None], costs, -np.inf)
        return np.where(costs.max(axis=0) > 1e-9, self._past[costs.argmax(axis=0)], -1)

    @cached_property
    def _total(self) -> Floats:
        total = self._affinity + self._of("content", self._content)
        total += self._of("session_content", self._session_content)
        total += self._of("covisitation", self._covisitation)
        return total + self._of("collaborative", self._collaborative)

    def _of(self, group: str, share: Floats) -> Floats:
        return share * self._contributions[group]

    @cached_property
    def _weights(self) -> Floats:
        at = find(self._profile.engaged_rows, self._past)
        return np.where(at >= 0, self._profile.weights[at], 0.0)

    @cached_property
    def _vectors(self) -> Floats:
        return self._view.content[self._past].astype(np.float64)

    @cached_property
    def _candidates(self) -> Floats:
        return self._view.content[self._rows].astype(np.float64)

    @cached_property
    def _cosines(self) -> Floats:
        return np.asarray(self._vectors @ self._candidates.T, np.float64)

    @property
    def _content(self) -> Floats:
        known = self._profile.engaged_rows < self._view.pool.size
        rows, weights = self._profile.engaged_rows[known], self._profile.weights[known]
        total = weights @ self._view.content[rows].astype(np.float64)
        long, without = _leave_one_out(total, self._weights, self._vectors, self._candidates)
        nearest, second = _leave_nearest_out(self._cosines[:_NEAREST], len(self._past))
        return _share_lost(
            [
                (long, without, _weight("content_long")),
                (nearest, second, _weight("content_nearest")),
            ]
        )

    @property
    def _session_content(self) -> Floats:
        weights = self._in_session.astype(np.float64)
        total = weights @ self._vectors
        mean, without = _leave_one_out(total, weights, self._vectors, self._candidates)
        return _share_lost([(mean, without, 1.0)])

    @property
    def _covisitation(self) -> Floats:
        votes = self._votes
        if votes is None:
            votes = self._signals.covisitation.votes(self._past, self._at, self._now)
        by_click = votes.by_click(len(self._past), self._rows)
        neighbours = self._neighbour_votes()
        whole = by_click.sum(axis=0)
        known = neighbours.sum(axis=0)
        return _share_lost(
            [
                (_log_votes(whole), _log_votes(whole - by_click), _weight("covisit")),
                (known, known - neighbours, _weight("neighbours")),
            ]
        )

    def _neighbour_votes(self) -> Floats:
        votes = np.zeros((len(self._past), len(self._rows)))
        bundle = self._view.bundle
        of_past = self._view.bundle_rows[self._past[:RECENT]]
        known = np.flatnonzero(of_past >= 0)
        if not bundle.neighbour_index.size or not known.size:
            return votes
        index = bundle.neighbour_index[of_past[known]]
        weights = bundle.neighbour_weights[of_past[known]]
        targets = self._view.bundle_rows[self._rows]
        same = (index[:, :, None] == targets) & (targets >= 0)
        votes[known] = (same * weights[:, :, None]).sum(axis=1)
        return votes

    @property
    def _collaborative(self) -> Floats:
        """Leave one article out of the fold-in (Sherman, Morrison 1950)."""
        view, profile = self._view, self._profile
        fold = self._reader.fold
        if fold is None:
            return np.zeros((len(self._past), len(self._rows)))
        alpha = view.bundle.alpha
        at = find(profile.engaged_rows, self._past)
        own = np.where(at >= 0, profile.fold_in_weights[at], 0.0)
        pull, extra = np.where(own > 0, 1 + alpha * own, 0.0), alpha * np.abs(own)
        past = view.factors[self._past].astype(np.float64)
        z = fold.solve(past.T)
        candidates = view.factors[self._rows].astype(np.float64)
        whole = candidates @ fold.vector
        leverage = (past * z.T).sum(axis=1)
        change = extra * (past @ fold.vector - pull * leverage)
        change /= np.maximum(1 - extra * leverage, 1e-9)
        without = whole + (candidates @ z * (change - pull)).T
        return _share_lost([(whole, without, 1.0)])

    @cached_property
    def _affinity(self) -> Floats:
        pool, profile = self._view.pool, self._profile
        known = profile.engaged_rows < pool.size
        rows, mass = profile.engaged_rows[known], np.maximum(profile.weights[known], 0.0)
        columns = (pool.section, pool.source, pool.language)
        history, past, of_rows = (
            np.stack([codes[r] for codes in columns]) for r in (rows, self._past, self._rows)
        )
        shares, without = _leave_code_out(
            history, mass, past, np.maximum(self._weights, 0.0), of_rows
        )
        ones = self._in_session.astype(np.float64)
        session, session_without = _leave_code_out(past[:1], ones, past[:1], ones, of_rows[:1])
        names = ("section_share", "source_share", "language_share", "section_session")
        parts = zip(
            [*shares, *session], [*without, *session_without], map(_weight, names), strict=True
        )
        return self._of("affinity", _share_lost([*parts]))


def _weight(name: str) -> float:
    return FEATURES[feature_index()[name]].weight


def _share_lost(parts: list[tuple[Floats, Floats, float]]) -> Floats:
    """Return the share of a weighted sum of features that goes: whole [k], without [past, k]."""
    whole = sum(weight * value for value, _, weight in parts)
    lost = sum(weight * (value - without) for value, without, weight in parts)
    size = np.maximum(np.abs(np.asarray(whole)), 1e-9)
    return np.asarray(np.sign(whole) * lost / size, np.float64)


def _leave_one_out(
    total: Floats, weights: Floats, vectors: Floats, candidates: Floats
) -> tuple[Floats, Floats]:
    """Return cosines of candidates with the sum, and with the sum without each vector."""
    norm = float(np.linalg.norm(total))
    products = candidates @ total
    if norm < 1e-9:
        return np.zeros(len(candidates)), np.zeros((len(vectors), len(candidates)))
    rest = total - weights[:, None] * vectors
    norms = np.linalg.norm(rest, axis=1)
    without = rest @ candidates.T / np.where(norms > 1e-9, norms, np.inf)[:, None]
    return products / norm, without


def _leave_nearest_out(cosines: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the greatest cosine [k], and without each past article [count, k]."""
    ordered = np.sort(cosines, axis=0)
    nearest = ordered[-1]
    second = ordered[-2] if len(ordered) > 1 else np.zeros_like(nearest)
    without = np.repeat(nearest[None], count, axis=0)
    without[: len(cosines)][cosines == nearest] = np.broadcast_to(second, cosines.shape)[
        cosines == nearest
    ]
    return nearest, without


def _leave_code_out(
    history: Codes, mass: Floats, past: Codes, own: Floats, of_rows: Codes
) -> tuple[Floats, Floats]:
    """Return each candidate's share of the history's mass by code, and without each past one.

    For g kinds of codes at once (section, source ...): history [g, h] with mass [h], past [g, p]
    with their own mass [p], candidates [g, k]; f64 [g, k] and [g, p, k] come back.
    """
    coded = (of_rows >= 0)[:, None, :]
    same_history = (history[:, :, None] == of_rows[:, None, :]) & coded
    by_code = mass @ same_history.astype(np.float64)
    total = (history >= 0) @ mass
    own_mass = np.where(past >= 0, own, 0.0)
    same = (past[:, :, None] == of_rows[:, None, :]) & coded
    left = (total[:, None] - own_mass + 1.0)[:, :, None]
    without = (by_code[:, None, :] - own_mass[:, :, None] * same) / left
    return by_code / (total + 1.0)[:, None], without


def _log_votes(votes: Floats) -> Floats:
    return np.asarray(np.log(1e-4 + np.maximum(votes, 0.0)) - np.log(1e-4), np.float64)
