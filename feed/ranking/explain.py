"""True reasons: what would lower an article's score most if it were taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.config import HOUR_S, RankingConfig
from feed.domain import Reason
from feed.features.profile import Profile
from feed.models.ranker import Ranker, default_ranker, logistic
from feed.ranking.context import RankingContext, Situation
from feed.ranking.past import PastFinder
from feed.ranking.reasons import (
    FEWEST_READERS,
    NEW_HOURS,
    POPULAR_COLUMN,
    age_reason,
    fact_reason,
    followed_reason,
    popular_reason,
    reading_reason,
    trending_reason,
)
from feed.ranking.scoring import Scores, find_followed

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

HISTORY, AFFINITY, POPULARITY, TREND, FRESHNESS = range(5)
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("content", "session_content", "covisitation", "collaborative"),
    ("affinity",),
    ("popularity",),
    ("trend",),
    ("freshness",),
)
"""Feature groups that one kind of reason stands for, in the order of the constants above."""
SECOND_SHARE = 0.5
"""A second reason is given when its part is at least this share of the first one's."""


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
    situation: Situation | None = None,
) -> Explanations:
    """Return the reasons of some candidates by what their score would lose.

    Every family of features is taken away in turn: with the ranker's margin m and the family's
    part c in it, the score loses the share `1 - s(m - c) / s(m)`, s the logistic function; the
    trending and followed factors are taken away with the families they belong to. The reason is
    the greatest loss of which a true sentence can be said: "you follow" only of what is really
    followed, "trending" only with the label on, "because you read" only with an article that
    stands in the reader's history.

    Args:
        context: the request.
        scores: of all candidates.
        rows: rows of all candidates.
        at: positions of those to explain, int64 [k].
        ranker: what made `scores.base`.
        config: boosts.
        situation: what the request has worked out of the reader already.
    """
    features, margin = scores.features[at], scores.margin[at]
    parts = ranker.contributions(features, margin, FAMILIES)
    losses = family_losses(scores, at, parts)
    spread = spread_history(features, parts, config)
    writer = _Writer(context, rows[at], PastFinder(context, rows[at], spread, config, situation))
    order = np.argsort(-losses, axis=1, kind="stable").tolist()
    reasons = [
        writer.write(i, o, loss)
        for i, (o, loss) in enumerate(zip(order, losses.tolist(), strict=True))
    ]
    personal = _moves(scores.followed_factor) or _moves(scores.fatigue_factor)
    if not personal and _is_known(context.profile):
        personal = _moves(parts[:, [HISTORY, AFFINITY]]) or _moves(
            ranker.contributions(features, margin, [("fatigue",)])
        )
    return Explanations(reasons, personal)


def family_losses(scores: Scores, at: Rows, parts: Floats) -> Floats:
    """Return the share of the score that each of `FAMILIES` carries, f64 [k, families].

    `parts` f64 [k, families] are those of the candidates `at` in their margins.
    """
    without = logistic(scores.margin[at][:, None] - parts) / scores.base[at][:, None]
    without[:, TREND] /= scores.trend_factor[at]
    without[:, AFFINITY] /= scores.followed_factor[at]
    return np.asarray(1.0 - without, np.float64)


def spread_history(features: Matrix, parts: Floats, config: RankingConfig) -> dict[str, Floats]:
    """Return what each group that reads the history gives the candidates, f64 [k] each.

    The history's part is the ranker's own, its groups taken away together; it is spread over
    them as the default weights see them, which asks no trees. With the default ranker nothing
    that speaks for an article is changed by it.
    """
    default = default_ranker(config.weights)
    groups = [(group,) for group in FAMILIES[HISTORY]]
    seen = np.maximum(default.contributions(features, parts[:, 0], groups), 0.0)
    shares = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1e-12)
    given = dict(zip(FAMILIES[HISTORY], (shares * parts[:, [HISTORY]]).T, strict=True))
    return {**given, "affinity": parts[:, AFFINITY]}


def _is_known(profile: Profile) -> bool:
    return bool(profile.n_events or len(profile.shown_rows) or len(profile.clicked_rows))


def _moves(values: Floats) -> bool:
    """Return whether any column of values moves candidates against each other."""
    return len(values) > 0 and bool(np.ptp(values, axis=0).max() > 1e-9)


class _Writer:
    """Finds the sentence for one candidate after the other; looks things up only when needed."""

    def __init__(
        self,
        context: RankingContext,
        rows: Rows,
        past: PastFinder,
    ) -> None:
        self._context = context
        self._rows = rows
        self._past = past
        by_section, by_source = find_followed(context, rows)
        counters, now = context.signals.counters, context.request.now
        self._by_section = by_section.tolist()
        self._followed = (by_section | by_source).tolist()
        self._labelled = context.trending.labelled(rows).tolist()
        self._readers = counters.clicks(rows, now)[:, POPULAR_COLUMN].tolist()
        self._age_s = (now - context.view.pool.published_at[rows]).tolist()

    def write(self, i: int, order: list[int], losses: list[float]) -> tuple[Reason, ...]:
        """Return one or two reasons of candidate i, the strongest first."""
        found: list[Reason] = []
        first = 0.0
        for family in order:
            loss = losses[family]
            if loss <= 1e-6 or (found and loss < SECOND_SHARE * first):
                break
            reason = self._reason(i, family)
            if reason is not None and all(reason.code is not r.code for r in found):
                found.append(reason)
                first = first or loss
            if len(found) == 2:
                break
        return tuple(found) or (age_reason(self._age_s[i]),)

    def _reason(self, i: int, family: int) -> Reason | None:
        if family == HISTORY:
            return self._history(i)
        if family == AFFINITY:
            return self._affinity(i)
        if family == TREND:
            row = int(self._rows[i])
            return trending_reason(self._context, row) if self._labelled[i] else None
        if family == POPULARITY:
            return popular_reason(self._readers[i])
        return age_reason(self._age_s[i]) if self._age_s[i] <= NEW_HOURS * HOUR_S else None

    def _history(self, i: int) -> Reason | None:
        past = self._past.find(i)
        return self._because_of(past) if past >= 0 else None

    def _affinity(self, i: int) -> Reason | None:
        if self._followed[i]:
            row = int(self._rows[i])
            return followed_reason(self._context, row, by_section=self._by_section[i])
        past = self._past.find(i, affinity_only=True)
        return self._because_of(past) if past >= 0 else None

    def _because_of(self, past: int) -> Reason:
        article_id = self._context.view.pool.ids.ids[past]
        return reading_reason(article_id, still_open=past == self._context.request.page_row)


def explain_by_facts(context: RankingContext, rows: Rows) -> list[tuple[Reason, ...]]:
    """Return one plain true fact per row, without asking the ranker.

    For slots below the first page: label, follow, many readers, age, in this order.
    """
    by_section, by_source = find_followed(context, rows)
    readers = context.signals.counters.clicks(rows, context.request.now)[:, POPULAR_COLUMN]
    age_s = context.request.now - context.view.pool.published_at[rows]
    days = np.maximum(np.ceil(age_s / (24 * HOUR_S)), 1)
    facts = np.where(readers >= FEWEST_READERS, np.round(readers), -days).astype(np.int64)
    of_fact = {fact: (fact_reason(fact),) for fact in set(facts.tolist())}
    found: list[tuple[Reason, ...]] = [of_fact[fact] for fact in facts.tolist()]
    for i in np.flatnonzero(by_section | by_source).tolist():
        found[i] = (followed_reason(context, int(rows[i]), by_section=bool(by_section[i])),)
    for i in np.flatnonzero(context.trending.labelled(rows)).tolist():
        reason = trending_reason(context, int(rows[i]))
        found[i] = (reason,) if reason else found[i]
    return found
