"""How often articles are clicked, compared with others at the same places, from the archive.

As a module that is run, it answers one question from standard input: `data_dir` and `since`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from feed.offline.place_clicks import PlaceClicks
from feed.storage.archive import Archive

MOST_PLACES = 50
"""Places from this one on count as one."""
MOST_ARTICLES = 20_000
"""Articles of one answer."""
_MEMORY_MB = 300
_PLACES = f"""
WITH clicks AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
), slots AS (
    SELECT least(s.position, {MOST_PLACES}) AS place, s.article_id,
           c.article_id IS NOT NULL AS clicked
    FROM served AS s LEFT JOIN clicks AS c USING (user_id, request_id, article_id)
    WHERE epoch(s.served_at) >= ?
), rates AS (
    SELECT place, count(*) FILTER (clicked) / count(*) AS rate FROM slots GROUP BY place
)
SELECT article_id, count(*), count(*) FILTER (clicked), sum(rate)
FROM slots JOIN rates USING (place) GROUP BY article_id ORDER BY count(*) DESC LIMIT {MOST_ARTICLES}
"""  # noqa: S608 - constants


def count_place_clicks(archive: Archive, since: float) -> dict[str, PlaceClicks]:
    """Return the clicks of each article and what its places foretold, from one pass.

    Args:
        archive: The event log.
        since: Earlier feeds do not count, epoch seconds.

    Returns:
        By article id, those served most often; an article that was not served is not in it.

    Raises:
        ArchiveError: a file cannot be read.
    """
    with archive.query(since) as connection:
        rows = connection.execute(_PLACES, [since]).fetchall()
    return {
        article_id: PlaceClicks(served=served, clicked=clicked, expected=float(expected))
        for article_id, served, clicked, expected in rows
    }


def main() -> None:
    """Answer the question on standard input."""
    question = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(question["data_dir"]) / "archive", memory_mb=_MEMORY_MB, threads=1)
    found = count_place_clicks(archive, question["since"])
    answer = {article_id: asdict(clicks) for article_id, clicks in found.items()}
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main()
