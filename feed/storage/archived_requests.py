"""The requests of the last hours that the archive holds, to be ranked once more.

As a module that is run, it answers one question from standard input: no web process holds the
query engine's memory.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from feed.storage.archive import Archive
from feed.storage.recent_requests import RecordedRequest, recorded_request

_MEMORY_MB = 300
_COLUMNS = ("user_id", "mode", "section", "language", "platform", "context", "attributes")


def read_archived(archive: Archive, since: float, most: int) -> list[RecordedRequest]:
    """Return the requests that the archive holds, the newest first.

    Args:
        archive: The event log.
        since: Epoch seconds.
        most: How many at most.

    Raises:
        ArchiveError: a file cannot be read.
    """
    with archive.query(since) as connection:
        rows = connection.execute(
            f"SELECT request_id, epoch(served_at), {', '.join(_COLUMNS)} FROM served"
            " WHERE position = 0 AND epoch(served_at) >= ? ORDER BY served_at DESC LIMIT ?",
            [since, most],
        ).fetchall()
    return [_of_row(row) for row in rows]


def _of_row(row: tuple[Any, ...]) -> RecordedRequest:
    served = dict(zip(("request_id", "served_at", *_COLUMNS), row, strict=True))
    context, attributes = (orjson.loads(served[name] or "{}") for name in ("context", "attributes"))
    return recorded_request(served, context, attributes)


def main() -> None:
    """Answer the question on standard input: an object with `data_dir`, `since` and `most`."""
    question = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(question["data_dir"]) / "archive", memory_mb=_MEMORY_MB, threads=1)
    found = read_archived(archive, question["since"], question["most"])
    sys.stdout.buffer.write(orjson.dumps([asdict(one) for one in found]))


if __name__ == "__main__":
    main()
