"""Every rule that keeps one article out of one request: eligibility, asked about one row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from feed.config import HOUR_S, RankingConfig
from feed.features.pool import SCHEDULE_TOLERANCE_S, ArticlePool
from feed.features.profile import Profile
from feed.ranking.context import RankingContext, Situation
from feed.ranking.versions import hidden_versions, read_versions


class Rule(StrEnum):
    """Why an article may not be shown to a reader on a request."""

    UNKNOWN = "unknown"
    GONE = "gone"
    EXPIRED = "expired"
    SCHEDULED = "scheduled"
    TWIN = "twin"
    WITHDRAWN = "withdrawn"
    TOO_OLD = "too_old"
    PAGE = "page"
    READ = "read"
    STORY_READ = "story_read"
    STORY_HIDDEN = "story_hidden"
    HIDDEN = "hidden"
    MUTED_SECTION = "muted_section"
    MUTED_SOURCE = "muted_source"
    LANGUAGE = "language"
    OTHER_SECTION = "other_section"
    OTHER_LANGUAGE = "other_language"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One rule that keeps an article out.

    Attributes:
        rule: which one. `LANGUAGE` is the reader's choice, `OTHER_LANGUAGE` the request's.
        at: when it expired, is to be published, was dated, or was last read, epoch seconds.
        hours: the age limit in force.
        twin: row of the article that is shown instead, -1 for none.
    """

    rule: Rule
    at: float | None = None
    hours: float | None = None
    twin: int = -1


def find_obstacles(
    context: RankingContext, situation: Situation, config: RankingConfig, row: int
) -> list[Obstacle]:
    """Return every rule that keeps an article out, whichever of them `find_eligible` met first.

    There is none exactly if the article is eligible. Of a twin that another article stands for,
    only what concerns the article itself is said.

    Args:
        context: the request.
        situation: what the request has worked out of the reader already.
        config: `max_age_hours`.
        row: of the article; -1 or beyond the pool for one that is not known.
    """
    pool = context.view.pool
    if not 0 <= row < pool.size or not pool.first_seen_at[row]:
        return [Obstacle(Rule.UNKNOWN)]
    found = [*_of_article(context, situation, row)]
    if pool.leader_of(row) != row:
        return found
    found += _of_age(context, situation, config, row)
    found += _of_reader(pool, context.profile, row)
    found += _of_request(context, row)
    if not found and row in read_versions(pool, context.profile, context.request):
        found.append(Obstacle(Rule.STORY_READ))
    if not found and row in hidden_versions(pool, context.profile):
        found.append(Obstacle(Rule.STORY_HIDDEN))
    return found


def _of_article(context: RankingContext, situation: Situation, row: int) -> Iterator[Obstacle]:
    """Yield what keeps the article from every reader."""
    pool, now = context.view.pool, context.request.now
    index = situation.index
    indexed = row < len(index.live) and bool(index.live[row])
    if not pool.is_live(row):
        yield Obstacle(Rule.GONE)
    expires_at, published_at = float(pool.expires_at[row]), float(pool.published_at[row])
    if expires_at <= now:
        yield Obstacle(Rule.EXPIRED, at=expires_at)
    is_early = published_at > now + SCHEDULE_TOLERANCE_S
    if is_early or (pool.live[row] and not indexed and expires_at > now):
        yield Obstacle(Rule.SCHEDULED, at=published_at)
    if pool.is_live(row) and not pool.live[row]:
        yield Obstacle(Rule.TWIN, twin=pool.leader_of(row))
    if row in context.withdrawn:
        yield Obstacle(Rule.WITHDRAWN)


def _of_age(
    context: RankingContext, situation: Situation, config: RankingConfig, row: int
) -> Iterator[Obstacle]:
    hours = situation.eligible.window_hours or config.max_age_hours
    fresh_at = float(context.view.pool.fresh_at[row])
    if fresh_at < context.request.now - hours * HOUR_S:
        yield Obstacle(Rule.TOO_OLD, at=fresh_at, hours=hours)


def _of_reader(pool: ArticlePool, profile: Profile, row: int) -> Iterator[Obstacle]:
    """Yield what the reader did or chose that keeps the article out."""
    if row in profile.read_rows:
        clicked = np.flatnonzero(profile.clicked_rows == row)
        at = float(profile.clicked_at[clicked[0]]) if clicked.size else None
        yield Obstacle(Rule.READ, at=at)
    if row in profile.hidden_rows:
        yield Obstacle(Rule.HIDDEN)
    preferences = profile.preferences
    if pool.section[row] in preferences.muted_sections:
        yield Obstacle(Rule.MUTED_SECTION)
    if pool.source[row] in preferences.muted_sources:
        yield Obstacle(Rule.MUTED_SOURCE)
    if preferences.languages.size and pool.language[row] not in preferences.languages:
        yield Obstacle(Rule.LANGUAGE)


def _of_request(context: RankingContext, row: int) -> Iterator[Obstacle]:
    pool, request = context.view.pool, context.request
    if row == request.page_row:
        yield Obstacle(Rule.PAGE)
    if request.section >= 0 and not pool.stand_in(np.array([row]), [request.section])[0]:
        yield Obstacle(Rule.OTHER_SECTION)
    if request.languages and pool.language[row] not in request.languages:
        yield Obstacle(Rule.OTHER_LANGUAGE)
