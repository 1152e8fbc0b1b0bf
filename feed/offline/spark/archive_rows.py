"""Reads the archive's Parquet with Spark: events and lists of every reader, as text ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from feed.offline.archive_log import LOG, PLACES, SLOTS, microseconds
from feed.offline.spark.window_files import ArchiveFiles
from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_schema import EVENTS, SERVED

ROWS = (
    "who string, article_id string, kind string, moment double, dwell_s double, answers boolean,"
    " first boolean, on_page boolean, key string, device string, page string,"
    " shown array<string>, clicked array<boolean>, places array<int>, scores array<double>,"
    " drawn array<boolean>"
)
"""A row of the log: an engagement (with `kind`, `article_id`) or a list (`key`, `shown`)."""

_COLUMNS = {
    EVENTS: (
        "event_id string, user_id string, article_id string, kind string, occurred_at timestamp,"
        " received_at timestamp, dwell_s double, request_id string, context string,"
        " device string, first boolean"
    ),
    SERVED: (
        "request_id string, user_id string, served_at timestamp, context string, mode string,"
        " position int, article_id string, score double, explored boolean, pinned boolean"
    ),
}
_VIEWS = """
CREATE VIEW named AS
SELECT * REPLACE (coalesce(reader, user_id) AS user_id), user_id AS logged_user_id FROM logged;
CREATE VIEW events AS SELECT * FROM named WHERE served_at IS NULL;
CREATE VIEW served AS SELECT * FROM named WHERE served_at IS NOT NULL;
"""
_ENGAGEMENTS = """
SELECT who, article_id, kind, moment, dwell_s, answers, first, page IS NOT NULL AS on_page,
       NULL::VARCHAR AS key, NULL::VARCHAR AS device, NULL::VARCHAR AS page,
       NULL::VARCHAR[] AS shown, NULL::BOOLEAN[] AS clicked, NULL::INTEGER[] AS places,
       NULL::DOUBLE[] AS scores, NULL::BOOLEAN[] AS drawn
FROM log WHERE kind <> 'impression'
"""
_LISTS = """
SELECT any_value(s.who) AS who, NULL::VARCHAR AS article_id, NULL::VARCHAR AS kind,
       any_value(s.moment) AS moment, NULL::DOUBLE AS dwell_s, NULL::BOOLEAN AS answers,
       NULL::BOOLEAN AS first, NULL::BOOLEAN AS on_page, any_value(s.list) AS key,
       any_value(coalesce(s.device, '')) AS device, any_value(s.page) AS page,
       list(s.article_id ORDER BY s.article_id) AS shown,
       list(s.clicked ORDER BY s.article_id) AS clicked,
       list(coalesce(p.place, -1)::INTEGER ORDER BY s.article_id) AS places,
       list(p.score::DOUBLE ORDER BY s.article_id) AS scores,
       list(coalesce(p.drawn, false) ORDER BY s.article_id) AS drawn
FROM slots s LEFT JOIN places p ON p.number = s.number AND p.article_id = s.article_id
GROUP BY s.number
"""


def read_rows(
    session: Any,
    files: ArchiveFiles,
    reader_of: Any,
    from_at: float,
    partitions: int,
) -> Any:
    """Return a DataFrame of `ROWS` from `from_at` (epoch seconds) on, in no order.

    The readers are dealt out among the partitions; each partition puts its readers' events and
    served records together by the queries of `archive_log`.

    Args:
        session: the Spark session.
        files: of the tables `events` and `served`.
        reader_of: DataFrame of `id` and the `reader` it was merged into in the end.
        from_at: begin of the window.
        partitions: how many parts.
    """
    events = files.read(session, EVENTS, _COLUMNS[EVENTS]).where(
        (F.col("occurred_at") >= F.timestamp_micros(F.lit(microseconds(from_at))))
        & (F.col("kind") != "custom")
    )
    served = files.read(session, SERVED, _COLUMNS[SERVED]).where("user_id <> ''").distinct()
    rows = events.unionByName(served, allowMissingColumns=True)
    rows = rows.join(F.broadcast(reader_of), rows.user_id == reader_of.id, "left").drop("id")
    dealt = F.when(F.col("user_id") == "", F.col("event_id")).otherwise(
        F.coalesce("reader", "user_id")
    )
    rows = rows.repartition(partitions, dealt)
    return rows.mapInArrow(lambda batches: _put_together(batches, from_at), ROWS)


def _put_together(batches: Iterator[pa.RecordBatch], from_at: float) -> Iterator[pa.RecordBatch]:
    """Yield one partition's rows of the log."""
    found = list(batches)
    if not found:
        return
    table = pa.Table.from_batches(found)
    with open_duckdb() as db:
        db.register("logged", table)
        db.execute(_VIEWS)
        db.execute(LOG, [microseconds(from_at), microseconds(float("inf"))])
        for statement in (SLOTS, PLACES):
            db.execute(statement)
        for query in (_ENGAGEMENTS, _LISTS):
            yield from db.sql(query).to_arrow_table().to_batches()
