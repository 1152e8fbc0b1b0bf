"""True reasons: what would lower an article's score most if it were taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import HOUR_S, RankingConfig
from feed.domain import Reason, ReasonCode
from feed.features.profile import Profile
from feed.models.ranker import Ranker, logistic
from feed.models.schema import GROUPS, PLUGINS
from feed.ranking.attribution import HistoryAttribution
from feed.ranking.context import RankingContext, Situation
from feed.ranking.reasons import (
    FEWEST_READERS,
    NEW_HOURS,
    POPULAR_COLUMN,
    age_reason,
    fact_reasons,
    followed_reason,
    plain_reason,
    popular_reason,
    reading_reason,
    trending_reason,
)
from feed.ranking.scoring import Scores, find_followed
from feed.ranking.wish_factor import wish_reason

HISTORY, AFFINITY, POPULARITY, TREND, FRESHNESS, EDITORIAL, WISHES = range(7)
N_LOSSES = WISHES + 1
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("content", "session_content", "covisitation", "collaborative"),
    ("affinity",),
    ("popularity",),
    ("trend",),
    ("freshness",),
)
"""Feature groups that one kind of reason stands for, in the order of the constants above; a boost
of editors and a reader's wishes have no features."""
PERSONAL = (
    FAMILIES[HISTORY],
    FAMILIES[AFFINITY],
    ("fatigue",),
    *([(PLUGINS,)] if PLUGINS in GROUPS else []),
)
"""Families that read the reader's own past, or may: what plugins read of it is not known."""
SECOND_SHARE = 0.5
"""A second reason is given when its part is at least this share of the first one's."""
LEAST_LOSS = 1e-6
"""A family that carries a smaller share of the score is no reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanations:
    """Reasons per slot, best first, and whether the reader made a difference to the order."""

    reasons: list[tuple[Reason, ...]]
    personal: bool


def explain(
    context: RankingContext,
    scores: Scores,
    rows: Rows,
    at: Rows,
    ranker: Ranker,
    config: RankingConfig,
    situation: Situation,
) -> Explanations:
    """Return the reasons of slots: on the first page by what their score would lose.

    Every family of features is taken away in turn: with the ranker's margin m and the family's
    part c in it, the score loses the share `1 - s(m - c) / s(m)`, s the logistic function; the
    trending and followed factors are taken away with the families they belong to. The reason is
    the family with the greatest loss among those for which a true sentence exists: "you follow"
    only for what is really followed, "trending" only with the label on, "because you read" only
    with an article from the reader's history. An editor's boost and the reader's wishes are taken
    away likewise, and are the reason where they carry most. Slots below the first page get one
    fact each.

    Args:
        context: the request.
        scores: of all candidates.
        rows: rows of all candidates.
        at: positions of those that have slots, in the order of the slots, int64 [slots].
        ranker: what made `scores.base`.
        config: boosts, and how many slots the first page has.
        situation: what the request has worked out of the reader already.
    """
    if not context.with_reasons:
        return Explanations([()] * len(at), personal=False)
    facts = _Facts(context, rows[at])
    at = at[: config.first_page]
    features, margin = scores.features[at], scores.margin[at]
    past = HistoryAttribution(context, rows[at], config, situation)
    explainable = facts.explainable(len(at), can_name=past.can_name)
    parts = ranker.contributions(features, margin, FAMILIES, explainable)
    losses = np.zeros((len(at), N_LOSSES))
    np.copyto(losses[:, : len(FAMILIES)], family_losses(scores, at, parts), where=explainable)
    losses[:, EDITORIAL] = raising_losses(scores.editorial_factor[at])
    losses[:, WISHES] = raising_losses(scores.wish_factor[at])
    order = np.argsort(-losses, axis=1, kind="stable").tolist()
    writer = _Writer(context, facts, past, len(at))
    reasons = [
        *(writer.write(i, *of) for i, of in enumerate(zip(order, losses.tolist(), strict=True))),
        *facts.plain_reasons(context, len(at)),
    ]
    return Explanations(reasons, _is_personal(context, scores, features, margin, parts, ranker))


def _is_personal(
    context: RankingContext,
    scores: Scores,
    features: Matrix,
    margin: Floats,
    parts: Floats,
    ranker: Ranker,
) -> bool:
    """Return whether the reader made a difference to the order.

    `features`, `margin` and their `parts` in it are those of the first page.
    """
    known = _is_known(context.profile)
    return bool(
        (known and _moves(parts[:, : AFFINITY + 1]))
        or any(map(_moves, (scores.followed_factor, scores.fatigue_factor, scores.wish_factor)))
        or (known and _moves(ranker.contributions(features, margin, PERSONAL)))
    )


def family_losses(scores: Scores, at: Rows, parts: Floats) -> Floats:
    """Return the share of the score that each of `FAMILIES` carries, f64 [k, families].

    `parts` f64 [k, families] are those of the candidates `at` in their margins.
    """
    without = logistic(scores.margin[at][:, None] - parts) / scores.base[at][:, None]
    without[:, TREND] /= scores.trend_factor[at]
    without[:, AFFINITY] /= scores.followed_factor[at]
    return np.asarray(1.0 - without, np.float64)


def raising_losses(factor: Floats) -> Floats:
    """Return the share of the score that a factor carries, f64 [k]; 0 where it lowers the score."""
    return np.asarray(np.maximum(1.0 - 1.0 / factor, 0.0), np.float64)


def _is_known(profile: Profile) -> bool:
    return bool(profile.n_events or len(profile.shown_rows) or len(profile.clicked_rows))


def _moves(values: Floats) -> bool:
    """Return whether any column of values moves candidates against each other."""
    return len(values) > 0 and bool(np.ptp(values, axis=0).max() > 1e-9)


class _Facts:
    """Facts about the articles in the slots: labels, follows, recent readers, age."""

    def __init__(self, context: RankingContext, rows: Rows) -> None:
        now = context.request.now
        self.rows = rows
        self.labelled = context.trending.labelled_once(rows)
        self.by_section, by_source = find_followed(context, rows)
        self.followed = self.by_section | by_source
        self.readers = context.signals.counters.clicks(rows, now)[:, POPULAR_COLUMN]
        self.age_s = now - context.view.pool.published_at[rows]

    def explainable(self, count: int, *, can_name: bool) -> Flags:
        """Return for which families a true sentence exists, bool [count, families].

        Columns of `HISTORY` and `AFFINITY` are whole or empty. `can_name` says whether any past
        article may be named.
        """
        explainable = np.empty((count, len(FAMILIES)), np.bool_)
        explainable[:, HISTORY] = can_name
        explainable[:, AFFINITY] = can_name or self.followed[:count].any()
        explainable[:, POPULARITY] = self.readers[:count] >= FEWEST_READERS
        explainable[:, TREND] = self.labelled[:count]
        explainable[:, FRESHNESS] = self.age_s[:count] <= NEW_HOURS * HOUR_S
        return explainable

    def plain_reasons(self, context: RankingContext, first: int) -> list[tuple[Reason, ...]]:
        """Return one fact per slot from `first` on: label, follow, many readers or age."""
        readers, rows = self.readers[first:], self.rows[first:]
        days = np.maximum(np.ceil(self.age_s[first:] / (24 * HOUR_S)), 1)
        facts = np.where(readers >= FEWEST_READERS, np.round(readers), -days).tolist()
        found: list[tuple[Reason, ...]] = [fact_reasons(fact) for fact in facts]
        for i in np.flatnonzero(self.followed[first:]).tolist():
            by_section = bool(self.by_section[first + i])
            found[i] = (followed_reason(context, int(rows[i]), by_section=by_section),)
        for i in np.flatnonzero(self.labelled[first:]).tolist():
            reason = trending_reason(context, int(rows[i]))
            found[i] = (reason,) if reason else found[i]
        return found


class _Writer:
    """Finds the sentence for one candidate after the other; looks things up only when needed."""

    def __init__(
        self, context: RankingContext, facts: _Facts, past: HistoryAttribution, count: int
    ) -> None:
        """Prepare for the first `count` slots."""
        self._context = context
        self._past = past
        self._rows = facts.rows[:count].tolist()
        self._followed = facts.followed[:count].tolist()
        self._by_section = facts.by_section[:count].tolist()
        self._readers = facts.readers[:count].tolist()
        self._age_s = facts.age_s[:count].tolist()

    def write(self, i: int, order: list[int], losses: list[float]) -> tuple[Reason, ...]:
        """Return one or two reasons of candidate i, the strongest first."""
        found: list[Reason] = []
        first = 0.0
        for family in order:
            loss = losses[family]
            if loss <= LEAST_LOSS or (found and loss < SECOND_SHARE * first):
                break
            reason = self._reason(i, family)
            if reason is None or (found and reason.code is found[0].code):
                continue
            found.append(reason)
            if len(found) == 2:
                break
            first = loss
        return tuple(found) or (age_reason(self._age_s[i]),)

    def _reason(self, i: int, family: int) -> Reason | None:
        if family in (EDITORIAL, WISHES):
            by_editor = plain_reason(ReasonCode.EDITORS_PICK)
            return by_editor if family == EDITORIAL else wish_reason(self._context, self._rows[i])
        if family == TREND:
            return trending_reason(self._context, self._rows[i])
        if family == POPULARITY:
            return popular_reason(self._readers[i])
        if family == FRESHNESS:
            return age_reason(self._age_s[i])
        if family == AFFINITY and self._followed[i]:
            by_section = self._by_section[i]
            return followed_reason(self._context, self._rows[i], by_section=by_section)
        best = self._past.best_by_affinity if family == AFFINITY else self._past.best
        return self._because_of(best[i])

    def _because_of(self, past: int) -> Reason | None:
        if past < 0:
            return None
        article_id = self._context.view.pool.ids.ids[past]
        return reading_reason(article_id, still_open=past == self._context.request.page_row)
