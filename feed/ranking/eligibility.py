"""Which articles may be shown at all to this reader on this request."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import neg

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Rows
from feed.config import HOUR_S, RankingConfig
from feed.features.pool import SCHEDULE_TOLERANCE_S, ArticlePool
from feed.features.profile import Profile
from feed.features.request_context import RequestContext
from feed.ranking.live_index import LiveIndex
from feed.ranking.versions import hidden_versions, read_versions

FEWEST = 10
"""Articles below which the age limit is raised, so that a site that publishes little, or a reader
who has read much of it, still gets a feed."""

PERSONAL_RULES = (
    "read",
    "story_read",
    "hidden",
    "story_hidden",
    "muted_section",
    "muted_source",
    "language",
)
"""The rules that hold because of what the reader did or chose."""


@dataclass(frozen=True, eq=False)
class Eligibility:
    """What may be shown: `mask` over the pool's rows, all of them among `newest`.

    `dropped` counts the articles that each rule took out, in the order of the rules.
    `window_hours` is the age limit to which `max_age_hours` had to be raised, None if it held.
    """

    mask: Flags
    newest: Rows
    dropped: dict[str, int]
    window_hours: float | None = None

    @cached_property
    def count(self) -> int:
        """How many articles may be shown."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> Rows:
        """What may be shown, newest first, int64 [count]."""
        return self.newest[self.mask[self.newest]]


def find_eligible(
    pool: ArticlePool,
    index: LiveIndex,
    request: RequestContext,
    profile: Profile | None,
    config: RankingConfig,
    withdrawn: Rows,
) -> Eligibility:
    """Return the articles that every rule allows.

    Live, published, not expired, not older than `max_age_hours`, of the section and languages
    asked for, not the page's own article or its story; and for a reader: not read, not of a story
    that was read and has not moved on, not hidden or disliked, nor of a story of which an article
    was, not of a muted section or source, of a language the reader chose. An article without a
    language is dropped when languages are asked for. An article with several sections is of each of
    them, but only its own section can be muted.

    If these are fewer than `FEWEST` and age alone keeps out others, the age limit is doubled until
    they are enough or no other is left. Only such a request looks at the older articles.

    Args:
        pool: the articles.
        index: the snapshot's orders.
        request: time and filters of the request.
        profile: the reader; None where no history may be touched.
        config: `max_age_hours`.
        withdrawn: rows that were retracted since the snapshot.
    """
    find = partial(_find_within, pool, index, request, profile, withdrawn)
    eligible = find(config.max_age_hours)
    if eligible.count >= FEWEST or not eligible.dropped["too_old"]:
        return eligible
    allowed = np.flatnonzero(find(np.inf).mask[index.newest])
    if len(allowed) <= eligible.count:
        return eligible
    oldest = request.now - index.newest_at[allowed[:FEWEST][-1]]
    hours = max(config.max_age_hours, 1.0)
    while hours * HOUR_S < oldest:
        hours *= 2
    return replace(find(hours), window_hours=hours)


def _find_within(
    pool: ArticlePool,
    index: LiveIndex,
    request: RequestContext,
    profile: Profile | None,
    withdrawn: Rows,
    max_age_hours: float,
) -> Eligibility:
    oldest = request.now - max_age_hours * HOUR_S
    count = bisect_right(index.newest_at, -oldest, key=neg)
    rows = index.newest[:count]
    mask = np.zeros(pool.size, np.bool_)
    known = len(index.live)
    mask[:known] = index.live & pool.live[:known]  # the index may be older than a retraction
    mask[index.newest[count:]] = False
    dropped = {"too_old": len(index.newest) - count}
    over = index.expiring[pool.expires_at[index.expiring] <= request.now]
    dropped["expired"] = _drop(mask, over)
    dropped["withdrawn"] = _drop(mask, withdrawn)
    if request.page_row >= 0:
        same_story = read_versions(pool, None, request)
        dropped["page"] = _drop(mask, np.append(same_story, request.page_row))
    if profile is not None:
        dropped["read"] = _drop(mask, profile.read_rows)
        dropped["hidden"] = _drop(mask, profile.hidden_rows)
        preferences = profile.preferences
        _drop_codes(mask, rows, pool.section, preferences.muted_sections, "muted_section", dropped)
        _drop_codes(mask, rows, pool.source, preferences.muted_sources, "muted_source", dropped)
        chosen = tuple(preferences.languages.tolist())
        _keep_languages(mask, rows, pool, chosen, "language", dropped)
        dropped["story_read"] = _drop(mask, read_versions(pool, profile, request))
        dropped["story_hidden"] = _drop(mask, hidden_versions(pool, profile))
    if request.section >= 0:
        wrong = rows[~pool.stand_in(rows, [request.section])]
        dropped["other_section"] = _drop(mask, wrong)
    _keep_languages(mask, rows, pool, request.languages, "other_language", dropped)
    return Eligibility(mask, rows, dropped)


def find_barred(pool: ArticlePool, rows: Rows, now: float, profile: Profile) -> Flags:
    """Return which articles no feed of this reader may show, whatever it asks for, bool [k].

    They are not published yet or have expired, or the reader has hidden, disliked or muted them,
    their story, section or source, or has chosen other languages. An article that the pool does
    not know is not barred.

    Args:
        pool: the articles.
        rows: of the articles, int64 [k].
        now: epoch seconds.
        profile: the reader.
    """
    barred = (rows >= 0) & (rows < pool.size)
    known = rows[barred]
    preferences = profile.preferences
    wrong = pool.published_at[known] > now + SCHEDULE_TOLERANCE_S
    wrong |= pool.expires_at[known] <= now
    wrong |= np.isin(pool.leaders_of(known), profile.hidden_rows)
    wrong |= np.isin(known, hidden_versions(pool, profile))
    wrong |= np.isin(pool.section[known], preferences.muted_sections)
    wrong |= np.isin(pool.source[known], preferences.muted_sources)
    if preferences.languages.size:
        wrong |= ~np.isin(pool.language[known], preferences.languages)
    barred[barred] = wrong
    return barred


def may_be_pinned(
    pool: ArticlePool, rows: Rows, request: RequestContext, profile: Profile
) -> Flags:
    """Return which editors' picks may be shown, bool [k]: every rule counts but age.

    Args:
        pool: the articles.
        rows: of the picks, int64 [k]; -1 or beyond the pool for one that is not known.
        request: time, page and filters of the request.
        profile: the reader.
    """
    allowed = (rows >= 0) & (rows < pool.size)
    known = rows[allowed]
    leaders = pool.leaders_of(known)
    right = pool.live[known] if pool.folded is None else pool.live[known] | pool.folded[known]
    right &= ~find_barred(pool, known, request.now, profile)
    right &= (leaders != request.page_row) & ~np.isin(leaders, profile.read_rows)
    right &= ~np.isin(known, read_versions(pool, profile, request))
    if request.section >= 0:
        right &= pool.stand_in(known, [request.section])
    if request.languages:
        right &= np.isin(pool.language[known], request.languages)
    allowed[allowed] = right
    return allowed


def _drop(mask: Flags, rows: Rows) -> int:
    if not rows.size:
        return 0
    known = rows[(rows >= 0) & (rows < len(mask))]
    known = known[mask[known]]
    mask[known] = False
    return len(known)


def _drop_codes(
    mask: Flags,
    rows: Rows,
    codes: npt.NDArray[np.int32],
    unwanted: Rows,
    rule: str,
    dropped: dict[str, int],
) -> None:
    if unwanted.size:
        dropped[rule] = _drop(mask, rows[np.isin(codes[rows], unwanted)])


def _keep_languages(
    mask: Flags,
    rows: Rows,
    pool: ArticlePool,
    languages: tuple[int, ...],
    rule: str,
    dropped: dict[str, int],
) -> None:
    if languages:
        wrong = rows[~np.isin(pool.language[rows], languages)]
        dropped[rule] = _drop(mask, wrong)
