"""True reasons: what would lower an article's score most if it were taken away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from feed.config import HOUR_S, RankingConfig
from feed.domain import Reason, ReasonCode
from feed.features.counters import HALF_LIVES_S
from feed.models.ranker import Ranker
from feed.models.schema import GROUPS
from feed.ranking.context import RankingContext
from feed.ranking.past import PastFinder
from feed.ranking.scoring import Scores, find_followed

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HISTORY, AFFINITY, POPULARITY, TREND, FRESHNESS = range(5)
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("content", "session_content", "covisitation", "collaborative"),
    ("affinity",),
    ("popularity",),
    ("trend",),
    ("freshness",),
)
"""Feature groups that one kind of reason stands for, in the order of the constants above."""
PERSONAL_GROUPS = [GROUPS.index(g) for g in (*FAMILIES[HISTORY], "affinity", "fatigue")]

SECOND_SHARE = 0.5
"""A second reason is given when its part is at least this share of the first one's."""
NEW_HOURS = 24.0
FEWEST_READERS = 3.0
_POPULAR = 1
_POPULAR_HOURS = round(HALF_LIVES_S[_POPULAR] / math.log(2) / HOUR_S)

TEMPLATES = {
    ReasonCode.BECAUSE_YOU_READ: "Because you read “{title}”",
    ReasonCode.SECTION_YOU_FOLLOW: "From {section}, a section you follow",
    ReasonCode.SOURCE_YOU_FOLLOW: "From {source}, a source you follow",
    ReasonCode.TRENDING: "Trending: {readers} readers in the last {window} minutes",
    ReasonCode.POPULAR: "Popular: {readers} readers in the last {hours} hours",
    ReasonCode.NEW: "New",
    ReasonCode.EDITORS_PICK: "Chosen by the editors",
    ReasonCode.EXPLORE: "Few readers have been shown this yet",
}
READING_NOW = "More like “{title}”, which you are reading"
RECENT = "Published in the last {days} days"


@dataclass(frozen=True, slots=True, eq=False)
class Explanations:
    """Reasons per slot, best first, and whether the reader made a difference to the order."""

    reasons: list[tuple[Reason, ...]]
    personal: bool


def sentence(reason: Reason, titles: Mapping[str, str]) -> str:
    """Return a reason's sentence, the title of the article it names filled in.

    Args:
        reason: as `explain` made it; `text` may hold `{title}`.
        titles: titles by article id. Without the title the sentence says "another article".
    """
    if "{title}" not in reason.text:
        return reason.text
    title = titles.get(reason.article_id or "")
    if title is None:
        return reason.text.replace("“{title}”", "another article")
    return reason.text.replace("{title}", title)


def explain(
    context: RankingContext,
    scores: Scores,
    rows: Rows,
    at: Rows,
    ranker: Ranker,
    config: RankingConfig,
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
    """
    contributions = ranker.group_contributions(scores.features[at])
    losses = family_losses(scores, at, contributions)
    writer = _Writer(context, rows[at], contributions, config)
    order = np.argsort(-losses, axis=1, kind="stable").tolist()
    reasons = [
        writer.write(i, o, loss)
        for i, (o, loss) in enumerate(zip(order, losses.tolist(), strict=True))
    ]
    return Explanations(reasons, _is_personal(context, scores, at, contributions))


def family_losses(scores: Scores, at: Rows, contributions: Floats) -> Floats:
    """Return the share of the score that each of `FAMILIES` carries, f64 [k, families]."""
    base = np.clip(scores.base[at], 1e-12, 1 - 1e-12)
    margin = np.log(base / (1 - base))
    losses = np.empty((len(at), len(FAMILIES)))
    factors = {TREND: scores.trend_factor[at], AFFINITY: scores.followed_factor[at]}
    for family, groups in enumerate(FAMILIES):
        part = contributions[:, [GROUPS.index(g) for g in groups]].sum(axis=1)
        without = 1 / (1 + np.exp(-(margin - part)))
        losses[:, family] = 1 - without / base / factors.get(family, 1.0)
    return losses


def _is_personal(context: RankingContext, scores: Scores, at: Rows, contributions: Floats) -> bool:
    """Return whether anything of the reader moves these candidates against each other."""
    profile = context.profile
    known = profile.n_events or len(profile.shown_rows) or len(profile.clicked_rows)
    follows = np.ptp(scores.followed_factor) > 0 if len(scores.followed_factor) else False
    tired = np.ptp(scores.fatigue_factor) > 0 if len(scores.fatigue_factor) else False
    if follows or tired:
        return True
    if not known or not len(at):
        return False
    return bool(np.ptp(contributions[:, PERSONAL_GROUPS], axis=0).max() > 1e-9)


class _Writer:
    """Finds the sentence for one candidate after the other; looks things up only when needed."""

    def __init__(
        self,
        context: RankingContext,
        rows: Rows,
        contributions: Floats,
        config: RankingConfig,
    ) -> None:
        self._context = context
        self._rows = rows
        self._past = PastFinder(context, rows, contributions, config)
        by_section, by_source = find_followed(context, rows)
        counters, now = context.signals.counters, context.request.now
        self._by_section = by_section.tolist()
        self._followed = (by_section | by_source).tolist()
        self._labelled = context.trending.labelled(rows).tolist()
        self._readers = counters.clicks(rows, now)[:, _POPULAR].tolist()
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
        now_open = past == self._context.request.page_row
        text = READING_NOW if now_open else TEMPLATES[ReasonCode.BECAUSE_YOU_READ]
        article_id = self._context.view.pool.ids.ids[past]
        return Reason(code=ReasonCode.BECAUSE_YOU_READ, text=text, article_id=article_id)


def explain_by_facts(context: RankingContext, rows: Rows) -> list[tuple[Reason, ...]]:
    """Return one plain true fact per row, without asking the ranker.

    For slots below the first page: label, follow, many readers, age, in this order.
    """
    by_section, by_source = find_followed(context, rows)
    readers = context.signals.counters.clicks(rows, context.request.now)[:, _POPULAR]
    age_s = context.request.now - context.view.pool.published_at[rows]
    days = np.maximum(np.ceil(age_s / (24 * HOUR_S)), 1)
    facts = np.where(readers >= FEWEST_READERS, np.round(readers), -days).astype(np.int64)
    found = [_fact(fact) for fact in facts.tolist()]
    for i in np.flatnonzero(by_section | by_source).tolist():
        found[i] = (followed_reason(context, int(rows[i]), by_section=bool(by_section[i])),)
    for i in np.flatnonzero(context.trending.labelled(rows)).tolist():
        reason = trending_reason(context, int(rows[i]))
        found[i] = (reason,) if reason else found[i]
    return found


def followed_reason(context: RankingContext, row: int, *, by_section: bool) -> Reason:
    """Return the reason of an article whose section (else: whose source) the reader follows."""
    pool = context.view.pool
    if by_section:
        section = pool.sections.ids[pool.section[row]]
        text = TEMPLATES[ReasonCode.SECTION_YOU_FOLLOW].format(section=section)
        return Reason(code=ReasonCode.SECTION_YOU_FOLLOW, text=text, section=section)
    source = pool.sources.ids[pool.source[row]]
    text = TEMPLATES[ReasonCode.SOURCE_YOU_FOLLOW].format(source=source)
    return Reason(code=ReasonCode.SOURCE_YOU_FOLLOW, text=text, source=source)


def trending_reason(context: RankingContext, row: int) -> Reason | None:
    """Return the reason of a labelled article, None without the label."""
    entry = context.trending.entry(row)
    if entry is None or not entry.labelled:
        return None
    readers = round(entry.readers)
    text = TEMPLATES[ReasonCode.TRENDING].format(readers=readers, window=entry.window_minutes)
    return Reason(
        code=ReasonCode.TRENDING, text=text, readers=readers, window_minutes=entry.window_minutes
    )


def popular_reason(readers: float) -> Reason | None:
    """Return the reason of a much read article (decayed readers, half-life 2 h), or None."""
    return _popular(round(readers)) if readers >= FEWEST_READERS else None


def age_reason(age_s: float) -> Reason:
    """Return the reason of an article that only its age speaks for; always true."""
    return _aged(max(math.ceil(age_s / (24 * HOUR_S)), 1))


def plain_reason(code: ReasonCode) -> Reason:
    """Return a reason whose sentence needs no facts."""
    return Reason(code=code, text=TEMPLATES[code])


@lru_cache(maxsize=4096)
def _fact(readers_or_days: int) -> tuple[Reason, ...]:
    """Return the reason of so many readers, or, if negative, of so many days of age."""
    if readers_or_days > 0:
        return (_popular(readers_or_days),)
    return (_aged(-readers_or_days),)


@lru_cache(maxsize=4096)
def _popular(readers: int) -> Reason:
    text = TEMPLATES[ReasonCode.POPULAR].format(readers=readers, hours=_POPULAR_HOURS)
    return Reason(
        code=ReasonCode.POPULAR, text=text, readers=readers, window_minutes=_POPULAR_HOURS * 60
    )


@lru_cache(maxsize=64)
def _aged(days: int) -> Reason:
    if days == 1:
        return plain_reason(ReasonCode.NEW)
    return Reason(code=ReasonCode.NEW, text=RECENT.format(days=days))
