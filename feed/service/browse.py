"""The trending articles, and the articles related to one article."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from feed.config import RankingConfig
from feed.domain import NotFoundError, format_time
from feed.ranking.versions import first_versions
from feed.schemas import TrendingQuery
from feed.service.cards import CardCache
from feed.service.snapshot import LiveSnapshot
from feed.storage.catalogue_part import CataloguePart

Source = Literal["readers_also_read", "similar_text"]
RELATED_DEPTH = 4
"""Candidates looked at for each related article wanted."""


def show_trending(
    query: TrendingQuery, snapshot: LiveSnapshot, card_cache: CardCache, ranking: RankingConfig
) -> dict[str, Any]:
    """Return the trending articles, with the numbers behind each, JSON-ready.

    Of a story, the article is listed that leads it: of those that may be shown and are in the
    section and language asked for, the one that most readers read now.

    Raises:
        StoreUnavailableError: an article's text is not here and the store does not answer.
    """
    state = snapshot.trending
    pool = snapshot.view.pool
    entries = [*state.select(pool, query.section, query.language or "")]
    rows = pool.ids.rows([entry.article_id for entry in entries])
    leading = np.isin(rows, first_versions(pool, rows))
    entries = [entry for entry, leads in zip(entries, leading, strict=True) if leads]
    entries = entries[: 2 * query.limit]
    card_cache.sync()
    cards = card_cache.take([entry.article_id for entry in entries])
    shown = [(e, c) for e, c in zip(entries, cards, strict=True) if c is not None]
    # A decayed count stands for a window of this length.
    window_minutes = round(ranking.trending_half_life_minutes / math.log(2))
    minutes = entries[0].window_minutes if entries else window_minutes
    return {
        "at": format_time(state.at) if state.at else None,
        "window_minutes": minutes,
        "items": [
            {
                "article": card.json,
                "readers": round(entry.readers, 2),
                "expected": round(entry.expected, 4),
                "lift": round(entry.lift, 3),
                "p_value": entry.p_value,
                "score": round(entry.score, 4),
                "labelled": entry.labelled,
                "since": None if entry.since is None else format_time(entry.since),
                "articles": 1 + len(entry.others),
            }
            for entry, card in shown[: query.limit]
        ],
    }


def show_related(
    article_id: str,
    limit: int,
    until: float,
    snapshot: LiveSnapshot,
    card_cache: CardCache,
    store: CataloguePart,
) -> dict[str, Any]:
    """Return the live articles that are related to one article, JSON-ready.

    Articles that the same readers read come first, then articles with a similar text.

    Args:
        article_id: of the article.
        limit: how many articles at most.
        until: an article published after this, epoch seconds, does not exist for the caller.
        snapshot: the articles.
        card_cache: their texts.
        store: knows the articles that came after the snapshot.

    Raises:
        NotFoundError: there is no such article.
        StoreUnavailableError: the store does not answer.
    """
    if _published_at(article_id, snapshot, store) > until:
        raise NotFoundError("no such article")
    found = _related_rows(article_id, RELATED_DEPTH * limit, snapshot)
    ids = snapshot.view.pool.ids.ids
    card_cache.sync()
    cards = card_cache.take([ids[row] for row, _, _ in found])
    items = [
        {"article": card.json, "score": round(score, 4), "source": source}
        for (_, score, source), card in zip(found, cards, strict=True)
        if card is not None
    ]
    return {"article_id": article_id, "items": items[:limit]}


def _published_at(article_id: str, snapshot: LiveSnapshot, store: CataloguePart) -> float:
    if snapshot.knows(article_id):
        pool = snapshot.view.pool
        return float(pool.published_at[pool.ids.row(article_id)])
    (stored,) = store.read_articles([article_id])
    if stored is None:
        raise NotFoundError("no such article")
    return stored.article.published_at


def _related_rows(
    article_id: str, limit: int, snapshot: LiveSnapshot
) -> list[tuple[int, float, Source]]:
    pool = snapshot.view.pool
    row = pool.ids.row(article_id)
    if not 0 <= row < pool.size:
        return []
    showable = np.zeros(snapshot.view.pool.size, np.bool_)
    showable[snapshot.index.newest] = True
    showable[[row, pool.leader_of(row)]] = False
    found: dict[int, tuple[int, float, Source]] = {}
    for near, score in _read_together(row, snapshot):
        if showable[near]:
            found.setdefault(near, (near, score, "readers_also_read"))
    for near, score in _alike(row, limit, snapshot, showable):
        found.setdefault(near, (near, score, "similar_text"))
    return list(found.values())[:limit]


def _read_together(row: int, snapshot: LiveSnapshot) -> list[tuple[int, float]]:
    view = snapshot.view
    at = int(view.bundle_rows[row])
    if at < 0 or not view.bundle.neighbour_index.size:
        return []
    neighbours = view.bundle.neighbour_index[at]
    weights = view.bundle.neighbour_weights[at][neighbours >= 0]
    rows = view.pool.leaders_of(view.pool_rows[neighbours[neighbours >= 0]])
    return [(r, w) for r, w in zip(rows.tolist(), weights.tolist(), strict=True) if r >= 0]


def _alike(
    row: int, limit: int, snapshot: LiveSnapshot, showable: np.ndarray[Any, np.dtype[np.bool_]]
) -> list[tuple[int, float]]:
    content = snapshot.view.content
    if not content.shape[1] or not content[row].any():
        return []
    rows = np.flatnonzero(showable)
    scores = content[rows] @ content[row]
    best = np.argsort(-scores, kind="stable")[:limit]
    return [(int(rows[i]), float(scores[i])) for i in best if scores[i] > 0]
