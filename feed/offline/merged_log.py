"""The identity records of an archive as the merges of a log."""

from __future__ import annotations

import duckdb
import orjson

from feed.features.ids import IdMap
from feed.offline.merges import LogMerge, Merges, Repeat, Undone

_MERGES = """
SELECT from_id, to_id, epoch_us(merged_at) / 1e6, clicks, reactions
FROM identities ORDER BY merged_at, partition, length(stream_id), stream_id
"""


def read_merges(
    db: duckdb.DuckDBPyConnection, users: IdMap, articles: IdMap, from_at: float
) -> Merges:
    """Return the merges in the view `identities`.

    Args:
        db: with the view.
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
        for from_id, to_id, at, clicks, reactions in db.execute(_MERGES).fetchall()
    )
