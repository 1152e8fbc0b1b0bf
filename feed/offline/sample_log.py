"""A small log, drawn by chance, in which plugins are tried out."""

from __future__ import annotations

import numpy as np

from feed.arrays import Matrix, Rows
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, READ, EventColumns
from feed.newsroom.articles import load_articles
from feed.offline.event_log import EventLog, Impressions, sort_events

ENDS_AT = 1_780_000_000.0
LISTS, LIST_SIZE, READERS, DIMENSIONS = 400, 12, 25, 16
HOURS = 30.0
CLICKED = 0.15


def draw_log(seed: int = 5) -> EventLog:
    """Return 400 lists of the built-in newsroom's articles, shown and clicked by chance."""
    rng = np.random.default_rng(seed)
    catalogue = load_articles(ENDS_AT)
    published = np.array([article.published_at for article in catalogue])
    at = np.sort(ENDS_AT - 3600.0 * HOURS * rng.random(LISTS))
    shown = np.concatenate(
        [rng.permutation(np.flatnonzero(published < moment))[:LIST_SIZE] for moment in at]
    )
    sizes = np.array([min(int((published < moment).sum()), LIST_SIZE) for moment in at])
    clicked = rng.random(len(shown)) < CLICKED
    users = rng.integers(0, READERS, LISTS)
    nowhere = np.full(LISTS, -1)
    impressions = Impressions(
        keys=np.arange(LISTS),
        users=users,
        at=at,
        pages=nowhere,
        devices=rng.integers(1, 3, LISTS),
        subscribers=nowhere,
        starts=np.r_[0, np.cumsum(sizes)],
        shown=shown,
        clicked=clicked,
    )
    columns = _events(np.repeat(users, sizes)[clicked], np.repeat(at, sizes)[clicked],
                      shown[clicked], rng)  # fmt: skip
    from_feed = columns.kinds == CLICK
    everywhere = np.zeros(len(from_feed), np.bool_)
    return EventLog(
        name="sample",
        articles=IdMap([article.article_id for article in catalogue]),
        users=IdMap([f"reader-{number}" for number in range(READERS)]),
        events=sort_events(columns, from_feed, everywhere, ~everywhere),
        impressions=impressions,
        first_seen_at=published,
        catalogue=tuple(catalogue),
    )


def draw_vectors(log: EventLog, seed: int = 6) -> Matrix:
    """Return a unit vector for each article, f32 [articles, 16]."""
    drawn = np.random.default_rng(seed).normal(size=(len(log.articles), DIMENSIONS))
    vectors: Matrix = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def _events(users: Rows, at: np.ndarray, rows: Rows, rng: np.random.Generator) -> EventColumns:
    """Return a click and, a moment later, a read for each clicked article."""
    count = len(users)
    clicked_at = at + rng.uniform(2.0, 60.0, count)
    dwell_s = rng.uniform(1.0, 200.0, count)
    return EventColumns(
        users=np.tile(users, 2),
        articles=np.tile(rows, 2),
        kinds=np.repeat(np.array([CLICK, READ], np.int8), count),
        occurred_at=np.concatenate([clicked_at, clicked_at + dwell_s]),
        dwell_s=np.concatenate([np.full(count, np.nan), dwell_s]),
    )
