"""Reads EB-NeRD in its published layout as an EventLog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from feed.arrays import Columns, Rows
from feed.domain import ArchiveError, Article, NotFoundError
from feed.features.embeddings import BODY_CHARACTERS
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, READ, EventColumns
from feed.offline.event_log import (
    EventLog,
    Impressions,
    LoggedEvents,
    first_appearance,
    kinds_of,
    sort_events,
)

SAME_CLICK_S = 3600.0
"""A history read this close to a click of the same reader on the same article is that click."""

_FOLDERS = ("train", "validation", "test")

_IMPRESSIONS = """
SELECT impression_id, user_id, epoch(impression_time) AS seen_at,
       CAST(article_id AS BIGINT) AS page,
       device_type AS device, CAST(is_subscriber AS INTEGER) AS subscriber,
       coalesce(read_time, 0) AS read_time, next_read_time,
       article_ids_inview AS shown, article_ids_clicked AS clicked
FROM read_parquet({paths}, union_by_name = true)
QUALIFY row_number() OVER (PARTITION BY impression_id, user_id ORDER BY impression_time) = 1
"""

_HISTORY = """
SELECT DISTINCT user_id, epoch(unnest(impression_time_fixed)) AS seen_at,
       unnest(article_id_fixed) AS article, unnest(read_time_fixed) AS dwell
FROM read_parquet({paths}, union_by_name = true)
"""


def read_ebnerd(directory: Path) -> EventLog:
    """Return the log of a directory with `train/` and/or `validation/`, or of one such folder.

    The page below which a list stood (`article_id`) was being read at that moment: it is a
    click in the reader's history, but answered no list and is counted for no article. The
    second half of the histories lies in the first week of the impressions: a live system would
    have known it then, but for no more than some of the readers and in no other week, and a
    model taught on such a week expects too much of the next. It arrives when that half ends,
    for its reader's profile only, and enters no counter. The click on a list came when the
    reader left the page, `read_time` seconds after the impression: that is where its time goes
    (in the histories, which hold true times, it is so for nine clicks in ten). How long the
    reader then stayed with the clicked article is `next_read_time`, which is its dwell;
    `read_time` is that of the page before. A history's read within an hour of such a click is
    the same click and is dropped. Nothing that totals later behaviour (`total_pageviews` and
    the like) is read.

    Raises:
        NotFoundError: there is no behaviour file.
        ArchiveError: one cannot be read.
    """
    behaviors = _paths(directory, "behaviors.parquet")
    if not behaviors:
        raise NotFoundError(f"no behaviors.parquet in {directory} or its train and validation")
    try:
        with duckdb.connect() as db:
            db.execute("SET threads = 2")
            views = _IMPRESSIONS.format(paths=behaviors)
            plain = f"SELECT * EXCLUDE (shown, clicked) FROM ({views}) {_BY}"  # noqa: S608
            impressions = _fetch(db, plain)
            lists = _fetch(db, _unnested(views, "shown"))
            clicks = _fetch(db, _unnested(views, "clicked"))
            history = _read_history(db, _paths(directory, "history.parquet"))
        catalogue = _read_catalogue(directory)
    except duckdb.Error as error:
        raise ArchiveError(f"cannot read EB-NeRD in {directory}: {error}") from error
    return _assemble(impressions, lists, clicks, history, catalogue)


_BY = "ORDER BY seen_at, impression_id, user_id"


def _unnested(views: str, column: str) -> str:
    return f"""
    SELECT i - 1 AS impression, unnest({column}) AS article FROM
    (SELECT {column}, row_number() OVER ({_BY}) AS i FROM ({views})) ORDER BY 1, 2
    """  # noqa: S608 - no outside text


def _paths(directory: Path, name: str) -> list[str]:
    candidates = [directory / name, *(directory / folder / name for folder in _FOLDERS)]
    return [str(path) for path in candidates if path.is_file()]


def _fetch(db: duckdb.DuckDBPyConnection, query: str) -> Columns:
    columns = db.execute(query).fetchnumpy()
    return {name: _plain(values) for name, values in columns.items()}


def _plain(values: Any) -> npt.NDArray[Any]:
    if np.ma.isMaskedArray(values):
        missing = np.nan if np.issubdtype(values.dtype, np.floating) else -1
        return np.asarray(values.filled(missing))
    return np.asarray(values)


def _read_history(db: duckdb.DuckDBPyConnection, paths: list[str]) -> Columns:
    if not paths:
        empty = np.zeros(0)
        return {"user_id": empty, "seen_at": empty, "article": empty, "dwell": empty}
    return _fetch(db, _HISTORY.format(paths=paths))


def _assemble(
    impressions: Columns,
    lists: Columns,
    clicks: Columns,
    history: Columns,
    catalogue: tuple[Article, ...],
) -> EventLog:
    pages = impressions["page"].astype(np.int64)
    numbers = np.unique(
        np.concatenate([lists["article"], clicks["article"], history["article"], pages[pages >= 0]])
    ).astype(np.int64)
    articles = IdMap(str(n) for n in numbers.tolist())
    people = np.unique(np.concatenate([impressions["user_id"], history["user_id"]]))
    rows = _Numbering(numbers)
    views = _impressions(impressions, lists, clicks, rows, _Numbering(people))
    events = _events(impressions, clicks, history, views, rows, _Numbering(people))
    published = {articles.row(a.article_id): a.published_at for a in catalogue if a.published_at}
    published.pop(-1, None)
    return EventLog(
        name="ebnerd",
        articles=articles,
        users=IdMap(str(int(p)) for p in people),
        events=events,
        impressions=views,
        first_seen_at=first_appearance(len(articles), views, events.columns, published),
        catalogue=tuple(a for a in catalogue if a.article_id in articles),
        integer_ids=True,
    )


class _Numbering:
    """Sorted numbers and their places."""

    def __init__(self, numbers: npt.NDArray[Any]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def rows(self, values: npt.NDArray[Any]) -> Rows:
        if not len(self._numbers):
            return np.full(len(values), -1, np.int64)
        at = np.minimum(np.searchsorted(self._numbers, values), len(self._numbers) - 1)
        return np.where(self._numbers[at] == values, at, -1).astype(np.int64)


def _impressions(
    columns: Columns, lists: Columns, clicks: Columns, rows: _Numbering, people: _Numbering
) -> Impressions:
    count = len(columns["seen_at"])
    shown = rows.rows(lists["article"])
    width = np.int64(shown.max(initial=0)) + 1
    pairs = lists["impression"].astype(np.int64) * width + shown
    wanted = clicks["impression"].astype(np.int64) * width + rows.rows(clicks["article"])
    return Impressions(
        keys=columns["impression_id"].astype(np.int64),
        users=people.rows(columns["user_id"]),
        at=columns["seen_at"].astype(np.float64),
        pages=rows.rows(columns["page"].astype(np.int64)),
        devices=columns["device"].astype(np.int64),
        subscribers=columns["subscriber"].astype(np.int64),
        starts=np.searchsorted(lists["impression"], np.arange(count + 1)).astype(np.int64),
        shown=shown,
        clicked=np.isin(pairs, wanted),
    )


def _events(
    impressions: Columns,
    clicks: Columns,
    history: Columns,
    views: Impressions,
    rows: _Numbering,
    people: _Numbering,
) -> LoggedEvents:
    which = clicks["impression"].astype(np.int64)
    click_at = views.at[which] + np.maximum(np.nan_to_num(impressions["read_time"][which]), 0.0)
    click_user, click_row = views.users[which], rows.rows(clicks["article"])
    click_dwell = impressions["next_read_time"][which].astype(np.float64)
    user, row = people.rows(history["user_id"]), rows.rows(history["article"])
    at, dwell = history["seen_at"].astype(np.float64), history["dwell"].astype(np.float64)
    width = np.int64(len(rows))
    own = _far_from(user * width + row, at, click_user * width + click_row, click_at)
    user, row, at, dwell = user[own], row[own], at[own], dwell[own]
    paged = views.pages >= 0
    nothing = np.full(int(paged.sum()), np.nan)
    users = np.concatenate([click_user, user, views.users[paged]])
    articles = np.concatenate([click_row, row, views.pages[paged]])
    times = np.concatenate([click_at, at, views.at[paged]])
    dwells = np.concatenate([click_dwell, dwell, nothing])
    feed = np.arange(len(users)) < len(which)
    page = np.zeros(len(users), bool)
    page[: len(which)] = paged[which]
    of_history = ~feed & (np.arange(len(users)) < len(which) + len(user))
    late = of_history & (times >= views.at.min(initial=np.inf))
    arrives = np.where(late, history["seen_at"].max(initial=0.0) + 1.0, times)
    read = np.flatnonzero(~np.isnan(dwells))
    read_at = times[read] + np.maximum(dwells[read], 0.0)
    no = np.zeros(len(read), bool)
    return sort_events(
        EventColumns(
            users=np.concatenate([users, users[read]]),
            articles=np.concatenate([articles, articles[read]]),
            kinds=np.concatenate([kinds_of(len(users), CLICK), kinds_of(len(read), READ)]),
            occurred_at=np.concatenate([times, read_at]),
            dwell_s=np.concatenate([np.full(len(users), np.nan), dwells[read]]),
        ),
        np.concatenate([feed, no]),
        np.concatenate([page, no]),
        np.concatenate([feed | (of_history & ~late), no]),
        np.concatenate([arrives, np.maximum(arrives[read], read_at)]),
    )


def _far_from(
    keys: Rows, at: npt.NDArray[Any], other_keys: Rows, other_at: npt.NDArray[Any]
) -> Any:
    """Return which events have no other event of the same key within `SAME_CLICK_S`."""
    if not len(other_keys):
        return np.ones(len(keys), bool)
    names, places = np.unique(other_keys, return_inverse=True)
    stride = np.int64(1) << 34
    stamps = np.sort(places.astype(np.int64) * stride + other_at.astype(np.int64))
    place = np.minimum(np.searchsorted(names, keys), len(names) - 1)
    stamp = place * stride + at.astype(np.int64)
    after = np.minimum(np.searchsorted(stamps, stamp), len(stamps) - 1)
    gap = np.minimum(
        np.abs(stamps[after] - stamp), np.abs(stamps[np.maximum(after - 1, 0)] - stamp)
    )
    return (names[place] != keys) | (gap > SAME_CLICK_S)


_ARTICLE_COLUMNS = {
    "title": "''",
    "subtitle": "''",
    "body": "''",
    "category_str": "''",
}


def _read_catalogue(directory: Path) -> tuple[Article, ...]:
    paths = _paths(directory, "articles.parquet")
    if not paths:
        return ()
    with duckdb.connect() as db:
        there = {
            row[0] for row in db.execute(f"DESCRIBE FROM read_parquet('{paths[0]}')").fetchall()
        }
        wanted = [
            f"coalesce({name}, {default}) AS {name}" if name in there else f"{default} AS {name}"
            for name, default in _ARTICLE_COLUMNS.items()
        ]
        time = "published_time" if "published_time" in there else "NULL"
        query = (
            f"SELECT article_id, {', '.join(wanted)}, "  # noqa: S608 - fixed names
            f"epoch(CAST({time} AS TIMESTAMP)) FROM read_parquet('{paths[0]}')"
        )
        rows = db.execute(query).fetchall()
    return tuple(
        Article(
            article_id=str(number),
            title=title,
            standfirst=subtitle,
            body=body[:BODY_CHARACTERS],
            section=section,
            source="Ekstra Bladet",
            language="da",
            published_at=published or 0.0,
        )
        for number, title, subtitle, body, section, published in rows
    )
