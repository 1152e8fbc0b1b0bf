"""Reasons in words: one true sentence each, and the facts it needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache, lru_cache

import numpy as np

from feed.config import HOUR_S
from feed.domain import Reason, ReasonCode
from feed.editorial.editorial_limits import Limit, LimitOf
from feed.features.counters import HALF_LIVES_S
from feed.ranking.context import RankingContext

NEW_HOURS = 24.0
"""Younger articles may be called new."""
FEWEST_READERS = 3.0
"""Fewer recent readers do not make an article popular."""
POPULAR_COLUMN = 1
POPULAR_HOURS = round(HALF_LIVES_S[POPULAR_COLUMN] / math.log(2) / HOUR_S)

TEMPLATES = {
    ReasonCode.BECAUSE_YOU_READ: "Because you read “{title}”",
    ReasonCode.NEW_SINCE_YOU_READ: "New since you read “{title}”",
    ReasonCode.SECTION_YOU_FOLLOW: "From {section}, a section you follow",
    ReasonCode.SOURCE_YOU_FOLLOW: "From {source}, a source you follow",
    ReasonCode.TRENDING: "Trending: {readers} readers in the last {window} minutes",
    ReasonCode.POPULAR: "Popular: {readers} readers in the last {hours} hours",
    ReasonCode.NEW: "New",
    ReasonCode.EDITORS_PICK: "Chosen by the editors",
    ReasonCode.EDITORS_LIMIT: "Our editors want {what} on every front page",
    ReasonCode.MIXTURE: "{section} is among what {who} read",
    ReasonCode.YOU_ASKED: "You asked for more {what}",
    ReasonCode.EXPLORE: "Few readers have been shown this yet",
}
STORY_TRENDS = "Trending: {readers} readers of this story in the last {window} minutes"
READING_NOW = "More like “{title}”, which you are reading"
RECENT = "Published in the last {days} days"


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


def followed_reason(context: RankingContext, row: int, *, by_section: bool) -> Reason:
    """Return the reason of an article whose section (else: whose source) the reader follows."""
    pool = context.view.pool
    if by_section:
        return _of_section(_followed_name(context, row))
    return _of_source(pool.sources.ids[pool.source[row]])


def _followed_name(context: RankingContext, row: int) -> str:
    """Return the name of the section of an article that the reader follows, as published."""
    pool = context.view.pool
    followed: list[int] = context.profile.preferences.followed_sections.tolist()
    if pool.section[row] in followed:
        return pool.section_names.ids[int(pool.section_name[row])]
    alone = np.array([row])
    code = next(code for code in followed if pool.stand_in(alone, [code])[0])
    return pool.sections.ids[code]


def trending_reason(context: RankingContext, row: int) -> Reason | None:
    """Return the reason of an article whose story is labelled, None without the label."""
    entry = context.trending.entry(row)
    if entry is None or not entry.labelled:
        return None
    readers = round(entry.readers)
    template = STORY_TRENDS if entry.others else TEMPLATES[ReasonCode.TRENDING]
    text = template.format(readers=readers, window=entry.window_minutes)
    return Reason(
        code=ReasonCode.TRENDING, text=text, readers=readers, window_minutes=entry.window_minutes
    )


def popular_reason(readers: float) -> Reason | None:
    """Return the reason of a much read article (decayed readers, half-life 2 h), or None."""
    return _popular(round(readers)) if readers >= FEWEST_READERS else None


def age_reason(age_s: float) -> Reason:
    """Return the reason of an article that only its age speaks for; always true."""
    return _aged(max(math.ceil(age_s / (24 * HOUR_S)), 1))


@lru_cache(maxsize=4096)
def fact_reasons(readers_or_days: float) -> tuple[Reason]:
    """Return one reason: it names a number of readers or, if negative, an age in days."""
    fact = int(readers_or_days)
    return (_popular(fact) if fact > 0 else _aged(-fact),)


@lru_cache(maxsize=4096)
def reading_reason(article_id: str, *, still_open: bool) -> Reason:
    """Return the reason that names an article the reader has read, or has before them."""
    text = READING_NOW if still_open else TEMPLATES[ReasonCode.BECAUSE_YOU_READ]
    return Reason(code=ReasonCode.BECAUSE_YOU_READ, text=text, article_id=article_id)


def moved_on_reason(article_id: str) -> Reason:
    """Return the reason of an article that continues the story of one the reader has read."""
    text = TEMPLATES[ReasonCode.NEW_SINCE_YOU_READ]
    return Reason(code=ReasonCode.NEW_SINCE_YOU_READ, text=text, article_id=article_id)


def mixture_reason(context: RankingContext, row: int, *, is_own: bool) -> Reason:
    """Return the reason of an article that calibration brought onto the first page.

    Args:
        context: the request.
        row: of the article, which has a section.
        is_own: whether the reader, and not only readers in general, has read its section.
    """
    pool = context.view.pool
    return _of_mixture(pool.section_names.ids[int(pool.section_name[row])], is_own=is_own)


@cache
def plain_reason(code: ReasonCode) -> Reason:
    """Return a reason whose sentence needs no facts."""
    return Reason(code=code, text=TEMPLATES[code])


@lru_cache(maxsize=64)
def limit_reason(limit: Limit) -> Reason:
    """Return the reason of an article that stands where it does because of a minimum."""
    what = {
        LimitOf.SECTION: f"articles of {limit.value}",
        LimitOf.SOURCE: f"articles of {limit.value}",
        LimitOf.LANGUAGE: f"articles in the language {limit.value}",
    }.get(limit.of, "new articles")
    return Reason(
        code=ReasonCode.EDITORS_LIMIT,
        text=TEMPLATES[ReasonCode.EDITORS_LIMIT].format(what=what),
        section=limit.value if limit.of is LimitOf.SECTION else None,
        source=limit.value if limit.of is LimitOf.SOURCE else None,
    )


@lru_cache(maxsize=1024)
def _of_section(section: str) -> Reason:
    text = TEMPLATES[ReasonCode.SECTION_YOU_FOLLOW].format(section=section)
    return Reason(code=ReasonCode.SECTION_YOU_FOLLOW, text=text, section=section)


@lru_cache(maxsize=1024)
def _of_mixture(section: str, *, is_own: bool) -> Reason:
    who = "you" if is_own else "our readers"
    text = TEMPLATES[ReasonCode.MIXTURE].format(section=section, who=who)
    return Reason(code=ReasonCode.MIXTURE, text=text, section=section)


@lru_cache(maxsize=1024)
def _of_source(source: str) -> Reason:
    text = TEMPLATES[ReasonCode.SOURCE_YOU_FOLLOW].format(source=source)
    return Reason(code=ReasonCode.SOURCE_YOU_FOLLOW, text=text, source=source)


@lru_cache(maxsize=4096)
def _popular(readers: int) -> Reason:
    text = TEMPLATES[ReasonCode.POPULAR].format(readers=readers, hours=POPULAR_HOURS)
    return Reason(
        code=ReasonCode.POPULAR, text=text, readers=readers, window_minutes=POPULAR_HOURS * 60
    )


@lru_cache(maxsize=64)
def _aged(days: int) -> Reason:
    if days == 1:
        return plain_reason(ReasonCode.NEW)
    return Reason(code=ReasonCode.NEW, text=RECENT.format(days=days))
