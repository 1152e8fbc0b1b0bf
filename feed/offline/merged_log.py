"""The identity records of an archive as the merges of a log."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import orjson

from feed.features.ids import IdMap
from feed.offline.merges import LogMerge, Merges, Repeat, Undone

MergeRow = tuple[str, str, float, str, str]
"""Two ids, when they were merged (epoch seconds), and clicks and reactions as JSON."""

_MERGES = """
SELECT from_id, to_id, epoch_us(merged_at) / 1e6, clicks, reactions
FROM identities ORDER BY merged_at, partition, length(stream_id), stream_id
"""


def read_merges(
    db: duckdb.DuckDBPyConnection, users: IdMap, articles: IdMap, from_at: float
) -> Merges:
    """Return the merges in the view `identities`, as `make_merges` does."""
    return make_merges(read_merge_rows(db), users, articles, from_at)


def read_merge_rows(db: duckdb.DuckDBPyConnection) -> list[MergeRow]:
    """Return the identity records in the view `identities`, oldest first."""
    return db.execute(_MERGES).fetchall()


def make_merges(rows: Iterable[MergeRow], users: IdMap, articles: IdMap, from_at: float) -> Merges:
    """Return identity records as merges.

    Args:
        rows: the records.
        users: numbering of users.
        articles: numbering of articles.
        from_at: begin of the log's window, epoch seconds: what happened before it has counted
            nowhere in it, so nothing of that is taken back.
    """
    return Merges(
        LogMerge(
            user=users.row(from_id),
            reader=users.row(to_id),
            at=at,
            repeats=tuple(
                Repeat(articles.row(article_id), moment, from_feed, on_page)
                for article_id, moment, from_feed, on_page in orjson.loads(clicks)
                if moment >= from_at and article_id in articles
            ),
            undone=tuple(
                Undone(articles.row(article_id), likes, dislikes)
                for article_id, moment, likes, dislikes in orjson.loads(reactions)
                if moment >= from_at and article_id in articles
            ),
        )
        for from_id, to_id, at, clicks, reactions in rows
    )
