"""An installation's own archive as an EventLog."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from feed.domain import ArchiveError, Article, EventKind
from feed.features.ids import IdMap, Rows
from feed.features.interactions import KIND_CODE, EventColumns
from feed.features.state import PAGE_KEY
from feed.offline.event_log import EventLog, Impressions, first_appearance, sort_events
from feed.storage.archive import Archive

Columns = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

_FIELDS = (
    "user_id",
    "article_id",
    "kind",
    "occurred_at",
    "dwell_s",
    "request_id",
    "context",
    "device",
)


def read_archive(
    archive: Archive, from_at: float = float("-inf"), to_at: float = float("inf")
) -> tuple[EventLog, Matrix | None]:
    """Return the log of an archive's window with the vectors of its articles.

    A list is the impressions of one reader under one request id, at the time of the first; what
    is clicked of it are the clicks under the same request id. Clicks without a request id came
    from elsewhere: they count as clicks, but answer no list.

    Args:
        archive: the archive.
        from_at: begin of the window, epoch seconds.
        to_at: end, itself outside.

    Returns:
        The log, and f32 [articles, d] with zero rows where an article has no vector (None when
        no article has one).

    Raises:
        ArchiveError: the archive cannot be read, or holds no event in the window.
    """
    span = archive.span()
    if span is None:
        raise ArchiveError("the archive holds no events yet")
    columns = archive.event_columns(max(from_at, span[0]), min(to_at, span[1] + 1.0), _FIELDS)
    if not len(columns["occurred_at"]):
        raise ArchiveError("the archive holds no events in this window")
    known = archive.articles(min(to_at, span[1] + 1.0))
    return _assemble(columns, known)


def _assemble(columns: Columns, known: Columns) -> tuple[EventLog, Matrix | None]:
    articles, users = IdMap(known["article_id"].tolist()), IdMap()
    rows = articles.add_all(columns["article_id"].tolist())
    people = users.add_all(columns["user_id"].tolist())
    kinds = np.array([KIND_CODE[EventKind(k)] for k in columns["kind"].tolist()], np.int8)
    requests = np.array([r or "" for r in columns["request_id"].tolist()], object)
    pages = _pages(columns["context"], articles)
    at = columns["occurred_at"].astype(np.float64)
    shown = kinds == KIND_CODE[EventKind.IMPRESSION]
    devices = IdMap()
    device = devices.add_all([str(d or "") for d in columns["device"].tolist()])
    impressions = _impressions(people, rows, kinds, requests, pages, at, device, len(articles))
    answered = requests != ""
    kept = ~shown
    dwell = np.ma.filled(columns["dwell_s"].astype(np.float64), np.nan)
    events = sort_events(
        EventColumns(
            users=people[kept],
            articles=rows[kept],
            kinds=kinds[kept],
            occurred_at=at[kept],
            dwell_s=np.asarray(dwell)[kept],
        ),
        from_feed=answered[kept].astype(bool),
        on_page=(pages >= 0)[kept],
        counted=np.ones(int(kept.sum()), bool),
    )
    catalogue = _catalogue(known)
    added = dict(zip(range(len(known["article_id"])), known["added_at"].tolist(), strict=True))
    log = EventLog(
        name="archive",
        articles=articles,
        users=users,
        events=events,
        impressions=impressions,
        first_seen_at=first_appearance(len(articles), impressions, events.columns, added),
        catalogue=catalogue,
    )
    return log, _embeddings(known["embedding"], len(articles))


def _impressions(
    people: Rows,
    rows: Rows,
    kinds: npt.NDArray[np.int8],
    requests: npt.NDArray[Any],
    pages: Rows,
    at: Floats,
    device: Rows,
    n_articles: int,
) -> Impressions:
    names = np.array([f"{u} {r}" for u, r in zip(people.tolist(), requests, strict=True)], object)
    shown = np.flatnonzero((kinds == KIND_CODE[EventKind.IMPRESSION]) & (requests != ""))
    clicks = np.flatnonzero((kinds == KIND_CODE[EventKind.CLICK]) & (requests != ""))
    lists = IdMap()
    which = lists.add_all(names[shown].tolist())
    pair = which * np.int64(n_articles) + rows[shown]
    _, first = np.unique(pair, return_index=True)
    shown, which, pair = shown[first], which[first], pair[first]
    begun = np.full(len(lists), np.inf)
    np.minimum.at(begun, which, at[shown])
    place = np.empty(len(lists), np.int64)
    place[np.lexsort((np.arange(len(lists)), begun))] = np.arange(len(lists))
    order = np.lexsort((rows[shown], place[which]))
    shown, which, pair = shown[order], which[order], pair[order]
    clicked = lists.rows(names[clicks].tolist()) * np.int64(n_articles) + rows[clicks]
    starts = np.searchsorted(place[which], np.arange(len(lists) + 1)).astype(np.int64)
    head = shown[starts[:-1]] if len(lists) else np.zeros(0, np.int64)
    return Impressions(
        keys=requests[head].astype(str),
        users=people[head],
        at=np.sort(begun),
        pages=pages[head],
        devices=device[head],
        subscribers=np.full(len(head), -1, np.int64),
        starts=starts,
        shown=rows[shown],
        clicked=np.isin(pair, clicked),
    )


def _pages(contexts: npt.NDArray[Any], articles: IdMap) -> Rows:
    pages = np.full(len(contexts), -1, np.int64)
    for place, text in enumerate(contexts.tolist()):
        if text and PAGE_KEY in text:
            page = orjson.loads(text).get(PAGE_KEY)
            pages[place] = articles.row(str(page)) if page else -1
    return pages


def _catalogue(known: Columns) -> tuple[Article, ...]:
    names = ("article_id", "title", "section", "source", "language", "published_at", "retracted")
    return tuple(
        Article(
            article_id=article_id,
            title=title or "",
            section=section or "",
            source=source or "",
            language=language or "",
            published_at=float(published_at),
            retracted=bool(retracted),
        )
        for article_id, title, section, source, language, published_at, retracted in zip(
            *(known[name].tolist() for name in names), strict=True
        )
    )


def _embeddings(vectors: npt.NDArray[Any], count: int) -> Matrix | None:
    sizes = [len(v) for v in vectors if v is not None and len(v)]
    if not sizes:
        return None
    size = max(set(sizes), key=sizes.count)
    matrix = np.zeros((count, size), np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None and len(vector) == size:
            matrix[row] = vector
    return matrix
