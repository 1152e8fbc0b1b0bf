"""An installation's own archive as an EventLog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from feed.arrays import Columns, Floats, Matrix
from feed.domain import PAGE_KEY, AiGenerated, ArchiveError, Article
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, KINDS, EventColumns
from feed.features.request_context import device_code
from feed.features.sections import section_key
from feed.offline.event_log import (
    UNPLACED,
    EventLog,
    Impressions,
    ListPlaces,
    LoggedEvents,
    first_appearance,
    sort_events,
)
from feed.offline.merged_log import read_merges
from feed.storage.archive import Archive

LATE_S = 3600.0
"""Impressions this long after their feed was served do not speak for the moment of serving."""
_ITSELF = "concat_ws(' ', 'event', event_id, article_id, epoch_us(received_at))"
# `who` is an id as it was logged, `reader` the one it was merged into in the end; of readers
# without personalisation nothing joins two events. What names no request belongs to no `list`, but
# an impression, which is one by itself.
LOG = f"""
CREATE TEMP TABLE log AS
SELECT CASE WHEN logged_user_id = '' THEN {_ITSELF} ELSE logged_user_id END AS who,
       CASE WHEN user_id = '' THEN {_ITSELF} ELSE user_id END AS reader,
       CASE WHEN request_id <> '' THEN request_id
            WHEN kind = 'impression' THEN {_ITSELF} END AS list,
       request_id IS NOT NULL AS answers, article_id, kind,
       epoch_us(occurred_at) / 1e6 AS moment, dwell_s, coalesce(first, true) AS first, device,
       CASE WHEN context <> '{{}}' THEN nullif(context ->> '{PAGE_KEY}', '') END AS page
FROM events WHERE occurred_at >= make_timestamptz(?) AND occurred_at < make_timestamptz(?)
  AND kind <> 'custom'
"""  # noqa: S608 - a constant

CATALOGUE = """
CREATE TEMP TABLE catalogue AS
SELECT article_id, title, section, source, language, published_at, expires_at, ai_generated,
       sponsored, retracted, fresh_at, added_at, embedding, encoder
FROM articles
WHERE NOT coalesce(deleted, false)
QUALIFY row_number() OVER (PARTITION BY article_id ORDER BY logged_at DESC) = 1
"""

_NUMBERINGS = (
    """CREATE TEMP TABLE article_rows AS
    SELECT article_id, row_number() OVER (ORDER BY article_id) - 1 AS number
    FROM (SELECT article_id FROM catalogue UNION SELECT article_id FROM log
          UNION SELECT page FROM log WHERE page IS NOT NULL)""",
    """CREATE TEMP TABLE readers AS
    SELECT who, row_number() OVER (ORDER BY who) - 1 AS number
    FROM (SELECT who FROM log UNION SELECT who FROM slots
          UNION SELECT from_id FROM identities UNION SELECT to_id FROM identities)
    WHERE who <> ''""",
)

_KINDS = ", ".join(f"'{kind.value}'" for kind in KINDS)
_EVENTS = f"""
SELECT r.number AS reader, a.number AS article, enum_code(l.kind::ENUM ({_KINDS})) AS kind,
       l.moment, l.dwell_s, l.answers, l.first, l.page IS NOT NULL AS on_page
FROM log l JOIN readers r USING (who) JOIN article_rows a USING (article_id)
WHERE l.kind <> 'impression'
"""  # noqa: S608 - a constant

SLOTS = f"""
CREATE TEMP TABLE slots AS
WITH moments AS (
    SELECT request_id AS list, user_id AS reader, min(logged_user_id) AS who,
           min(epoch_us(served_at)) / 1e6 AS served_at,
           any_value(context ->> 'device') AS device
    FROM served GROUP BY request_id, user_id
), lists AS (
    SELECT l.reader, l.list, coalesce(any_value(m.who), min(l.who)) AS who,
           min(l.moment) AS seen_at,
           any_value(coalesce(m.device, l.device)) AS device,
           any_value(m.served_at) AS served_at, any_value(l.page) AS page
    FROM log l LEFT JOIN moments m USING (reader, list) WHERE l.kind = 'impression'
    GROUP BY l.reader, l.list
), numbered AS (
    SELECT *, row_number() OVER (ORDER BY moment, list, who) - 1 AS number FROM (
        SELECT *, CASE WHEN served_at BETWEEN seen_at - {LATE_S} AND seen_at
                       THEN served_at ELSE seen_at END AS moment FROM lists)
)
SELECT n.number, any_value(n.list) AS list, any_value(n.who) AS who,
       any_value(n.moment) AS moment, any_value(n.device) AS device, any_value(n.page) AS page,
       l.article_id, bool_or(l.kind = 'click') AS clicked
FROM log l JOIN numbered n USING (reader, list)
WHERE l.list IS NOT NULL AND l.kind IN ('impression', 'click')
GROUP BY n.number, l.article_id HAVING bool_or(l.kind = 'impression')
"""  # noqa: S608 - a constant

PLACES = """
CREATE TEMP TABLE places AS
SELECT n.number, s.article_id, s.position AS place, s.explored AS drawn,
       CASE WHEN s.mode = 'personalized' AND NOT s.explored AND NOT s.pinned
            THEN s.score END AS score
FROM served s JOIN (SELECT DISTINCT number, list, who FROM slots) n
    ON s.request_id = n.list AND s.logged_user_id = n.who
QUALIFY row_number() OVER (PARTITION BY n.number, s.article_id ORDER BY s.position) = 1
"""

_PLACED = """
SELECT coalesce(p.place, -1) AS place, coalesce(p.drawn, false) AS drawn, p.score
FROM slots s JOIN article_rows a USING (article_id)
LEFT JOIN places p ON p.number = s.number AND p.article_id = s.article_id
ORDER BY s.number, a.number
"""

_LISTS = """
SELECT s.number, any_value(s.list) AS key, any_value(r.number) AS reader,
       any_value(s.moment) AS moment, any_value(coalesce(s.device, '')) AS device,
       any_value(coalesce(p.number, -1)) AS page
FROM slots s JOIN readers r USING (who) LEFT JOIN article_rows p ON p.article_id = s.page
GROUP BY s.number ORDER BY s.number
"""


def read_archive(
    archive: Archive,
    from_at: float = float("-inf"),
    to_at: float = float("inf"),
    section_aliases: Mapping[str, str] | None = None,
) -> tuple[EventLog, Matrix | None]:
    """Return the log of an archive's window with the vectors of its articles.

    Custom events are no part of it.

    A list is what one reader had in view of one request, at the time it was served (where that
    is not recorded, of the first impression). What was served but never came into view was not
    shown. Clicks that name the request are the clicks on it; others count as clicks, but answer
    no list. Impressions without a request are lists of one. An article is first seen when it
    was published or added, whichever was first, or when the log first shows it.

    Args:
        archive: the archive.
        from_at: begin of the window, epoch seconds.
        to_at: end, itself outside.
        section_aliases: key -> name of the section that an article of this section is in.

    Returns:
        The log, and f32 [articles, d] with zero rows where an article has no vector (None when
        no article has one).

    Raises:
        ArchiveError: the archive cannot be read, or holds no event in the window.
    """
    with archive.query(from_at) as db:
        db.execute(LOG, [microseconds(from_at), microseconds(to_at)])
        for statement in (CATALOGUE, SLOTS, PLACES, *_NUMBERINGS):
            db.execute(statement)
        articles = IdMap(_texts(db, "SELECT article_id FROM article_rows ORDER BY number"))
        users = IdMap(_texts(db, "SELECT who FROM readers ORDER BY number"))
        events = _read_events(db)
        impressions = _read_impressions(db)
        merges = read_merges(db, users, articles, from_at)
        if not len(events) and not len(impressions):
            raise ArchiveError(f"the archive in {archive.directory} holds no events in this window")
        catalogue, added_at = read_catalogue(db, section_aliases or {})
        embeddings = read_embeddings(db, articles)
    seen_at = first_appearance(len(articles), impressions, events.columns, {})
    rows = articles.rows([a.article_id for a in catalogue])
    np.minimum.at(seen_at, rows, added_at)
    log = EventLog(
        name="archive",
        articles=articles,
        users=users,
        events=events,
        impressions=impressions,
        first_seen_at=np.where(np.isfinite(seen_at), seen_at, 0.0),
        catalogue=catalogue,
        merges=merges,
    )
    return log, embeddings


def _read_events(db: duckdb.DuckDBPyConnection) -> LoggedEvents:
    columns = _fetch(db, _EVENTS)
    kinds = columns["kind"].astype(np.int8)
    events = sort_events(
        EventColumns(
            users=columns["reader"].astype(np.int64),
            articles=columns["article"].astype(np.int64),
            kinds=kinds,
            occurred_at=columns["moment"].astype(np.float64),
            dwell_s=columns["dwell_s"].astype(np.float64),
        ),
        from_feed=columns["answers"].astype(bool) & (kinds == CLICK),
        on_page=columns["on_page"].astype(bool),
        counted=columns["first"].astype(bool),
    )
    return events.with_counted_first()


def _read_impressions(db: duckdb.DuckDBPyConnection) -> Impressions:
    lists = _fetch(db, _LISTS)
    slots = _fetch(
        db,
        "SELECT s.number, a.number AS article, s.clicked"
        " FROM slots s JOIN article_rows a USING (article_id) ORDER BY s.number, a.number",
    )
    count = len(lists["number"])
    names, which = np.unique(lists["device"].astype(str), return_inverse=True)
    codes = np.array([device_code(str(name)) for name in names], np.int64)
    return Impressions(
        keys=lists["key"].astype(str),
        users=lists["reader"].astype(np.int64),
        at=lists["moment"].astype(np.float64),
        pages=lists["page"].astype(np.int64),
        devices=codes[which] if count else np.zeros(0, np.int64),
        subscribers=np.full(count, -1, np.int64),
        starts=np.searchsorted(slots["number"], np.arange(count + 1)).astype(np.int64),
        shown=slots["article"].astype(np.int64),
        clicked=slots["clicked"].astype(bool),
        placed=_read_placed(db),
    )


def _read_placed(db: duckdb.DuckDBPyConnection) -> ListPlaces:
    """Return how the feed placed what was shown, by the records of what it served."""
    columns = _fetch(db, _PLACED)
    if not (columns["place"] >= 0).any():
        return UNPLACED
    return ListPlaces(
        places=columns["place"].astype(np.int64),
        scores=columns["score"].astype(np.float32),
        drawn=columns["drawn"].astype(bool),
    )


def read_catalogue(
    db: duckdb.DuckDBPyConnection, section_aliases: Mapping[str, str]
) -> tuple[tuple[Article, ...], Floats]:
    """Return the articles, and when each first came or was published, f64.

    `updated_at` is the last real change, from which their ages count.
    """
    rows = db.execute(
        "SELECT article_id, coalesce(title, ''), coalesce(section, ''), coalesce(source, ''),"
        " coalesce(language, ''), coalesce(epoch_us(published_at) / 1e6, 0.0),"
        " epoch_us(expires_at) / 1e6, coalesce(ai_generated, 'none'),"
        " coalesce(sponsored, false), coalesce(retracted, false),"
        " epoch_us(fresh_at) / 1e6,"
        " coalesce(epoch_us(added_at) / 1e6, 'infinity'::DOUBLE) FROM catalogue ORDER BY article_id"
    ).fetchall()
    catalogue = tuple(
        Article(
            article_id=article_id,
            title=title,
            section=section_aliases.get(section_key(section), section),
            source=source,
            language=language,
            published_at=published_at,
            updated_at=fresh_at,
            expires_at=expires_at,
            ai_generated=AiGenerated(ai_generated),
            sponsored=sponsored,
            retracted=retracted,
        )
        for (
            article_id, title, section, source, language, published_at, expires_at,
            ai_generated, sponsored, retracted, fresh_at, _,
        ) in rows
    )  # fmt: skip
    seen = [min(row[-1], row[5] or float("inf")) for row in rows]
    return catalogue, np.array(seen, np.float64)


def read_embeddings(db: duckdb.DuckDBPyConnection, articles: IdMap) -> Matrix | None:
    """Return vectors by article row, those of one encoder and length: no others compare."""
    found = _commonest_vectors(db)
    if found is None:
        return None
    matrix = np.zeros((len(articles), found[0]), np.float32)
    result = db.execute(
        "SELECT a.number, c.embedding FROM catalogue c JOIN article_rows a USING (article_id)"
        " WHERE len(c.embedding) = ? AND coalesce(c.encoder, '') = ?",
        found,
    )
    rows = result.fetchnumpy()
    matrix[rows["number"]] = np.stack(list(rows["embedding"]))
    return matrix


def encoder_of(archive: Archive) -> str:
    """Return which encoder made the vectors that `read_archive` returns; empty for none."""
    with archive.query() as db:
        db.execute(CATALOGUE)
        found = _commonest_vectors(db)
    return found[1] if found else ""


def _commonest_vectors(db: duckdb.DuckDBPyConnection) -> tuple[int, str] | None:
    """Return the length and the encoder of most vectors."""
    found = db.execute(
        "SELECT len(embedding), coalesce(encoder, '') FROM catalogue WHERE len(embedding) > 0"
        " GROUP BY ALL ORDER BY count(*) DESC, 1 DESC, 2 LIMIT 1"
    ).fetchone()
    return None if found is None else (int(found[0]), str(found[1]))


def _fetch(db: duckdb.DuckDBPyConnection, query: str) -> Columns:
    return {name: _plain(values) for name, values in db.execute(query).fetchnumpy().items()}


def _plain(values: Any) -> npt.NDArray[Any]:
    if not np.ma.isMaskedArray(values):
        return np.asarray(values)
    missing: Any = np.nan if values.dtype.kind == "f" else values.dtype.type()
    return np.asarray(values.filled(missing))


def _texts(db: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [row[0] for row in db.execute(query).fetchall()]


def microseconds(epoch_s: float) -> int:
    """Return a time as DuckDB's `make_timestamptz` takes it, within what it can hold."""
    return round(min(max(epoch_s, 0.0), 2.5e11) * 1e6)
