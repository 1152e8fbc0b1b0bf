"""What became of the newsroom's limits on one feed: kept in its record, stated in its answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from feed.domain import Mode, ServedFeed
from feed.editorial.editorial_limits import LIMITS_KEY, Limit, limit_from_json
from feed.features.pool import ArticlePool
from feed.ranking.front_page_limits import LimitState, states_of
from feed.schemas import FeedQuery


def limits_of(query: FeedQuery, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return the limits that hold for a request: all if it asks for a front page, else none."""
    is_front_page = not query.section and not query.page_article_id
    return limits if is_front_page and query.mode is Mode.PERSONALIZED else ()


def states_to_text(states: Iterable[LimitState]) -> str:
    """Return states as the text that a feed's record keeps; empty if there are none."""
    told = [
        {"limit": state.limit.to_json(), "met": state.met, "moved": state.moved} for state in states
    ]
    return orjson.dumps(told).decode() if told else ""


def present_limits(served: ServedFeed) -> list[dict[str, Any]]:
    """Return what became of each limit, JSON-ready; empty where none held."""
    text = served.context.get(LIMITS_KEY)
    told: list[dict[str, Any]] = orjson.loads(text) if text else []
    return [{**one, "text": limit_from_json(one["limit"]).sentence()} for one in told]


def restate_limits(
    served: ServedFeed, limits: Sequence[Limit], pool: ArticlePool, now: float
) -> ServedFeed:
    """Return a feed of two rankings with what became of the limits in it as a whole."""
    if not limits:
        return served
    moved = [one["moved"] for one in present_limits(served)] or [0] * len(limits)
    rows = pool.ids.rows(served.slots.article_ids)
    text = states_to_text(states_of(limits, moved, pool, rows, now))
    return replace(served, context=served.context | {LIMITS_KEY: text})
