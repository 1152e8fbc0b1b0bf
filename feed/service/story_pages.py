"""Stories as callers see them: how many more articles tell of an event, and which."""

from __future__ import annotations

from typing import Any

import numpy as np

from feed.arrays import Flags, Rows
from feed.domain import NotFoundError
from feed.features.pool import SCHEDULE_TOLERANCE_S, ArticlePool
from feed.service.cards import CardCache
from feed.service.snapshot import LiveSnapshot

MOST_ARTICLES = 50
"""Articles that one answer lists at most."""


def more_on_this(rows: Rows, snapshot: LiveSnapshot, now: float) -> list[dict[str, Any] | None]:
    """Return for each pool row the id of its story and how many others tell it; None for none."""
    pool = snapshot.view.pool
    found: list[dict[str, Any] | None] = [None] * len(rows)
    if pool.stories is None:
        return found
    for place in _of_several(pool, rows).nonzero()[0].tolist():
        row = int(rows[place])
        others = _versions(pool, row, now)
        others = others[others != row]
        if others.size:
            story_id = pool.ids.ids[pool.stories.story[row]]
            found[place] = {"story_id": story_id, "count": len(others)}
    return found


def trend_by_story(rows: Rows, snapshot: LiveSnapshot) -> list[bool]:
    """Return for which pool rows it is the story that trends, if anything: it has several.

    The worker has added up the readers of several articles, or did so when the feed was made.
    """
    pool, trending = snapshot.view.pool, snapshot.trending
    by_story: list[bool] = _of_several(pool, rows).tolist()
    for place, entry in enumerate(trending.entries_of(rows)):
        if entry is not None:
            by_story[place] = bool(entry.others)
    return by_story


def show_story(
    story_id: str, snapshot: LiveSnapshot, card_cache: CardCache, now: float
) -> dict[str, Any]:
    """Return the articles that tell a story, newest first, JSON-ready.

    Args:
        story_id: id of any article of the story.
        snapshot: the articles.
        card_cache: their texts.
        now: epoch seconds.

    Raises:
        NotFoundError: there is no such article.
        StoreUnavailableError: the store does not answer.
    """
    if not snapshot.knows(story_id):
        raise NotFoundError("no such story")
    pool = snapshot.view.pool
    row = pool.leader_of(pool.ids.row(story_id))
    rows = _versions(pool, row, now)[:MOST_ARTICLES]
    first = row if pool.stories is None else int(pool.stories.story[row])
    card_cache.sync()
    cards = card_cache.take([pool.ids.ids[one] for one in rows.tolist()])
    return {
        "story_id": pool.ids.ids[first],
        "items": [{"article": card.json} for card in cards if card is not None],
    }


def _of_several(pool: ArticlePool, rows: Rows) -> Flags:
    """Return which articles tell a story that others tell, too; unknown rows do not."""
    if pool.stories is None or not pool.size:
        return np.zeros(len(rows), np.bool_)
    known = (rows >= 0) & (rows < pool.size)
    return known & pool.stories.several[np.where(known, rows, 0)]


def _versions(pool: ArticlePool, row: int, now: float) -> Rows:
    """Return what may be shown of an article's story, newest first, each text once.

    Of articles with one text, it is the given one, or the first that came.
    """
    if not 0 <= row < pool.size:
        return np.zeros(0, np.int64)
    rows = np.array([row])
    if pool.stories is not None:
        rows = pool.stories.versions.get(int(pool.stories.story[row]), rows)
    shown = pool.live[rows] & (pool.expires_at[rows] > now)
    rows = rows[shown & (pool.published_at[rows] <= now + SCHEDULE_TOLERANCE_S)]
    if pool.stories is not None and len(rows) > 1:
        twins = pool.stories.twin[rows]
        order = np.lexsort((rows, rows != row))
        rows = rows[order[np.unique(twins[order], return_index=True)[1]]]
    newest: Rows = rows[np.lexsort((rows, -pool.published_at[rows]))]
    return newest
