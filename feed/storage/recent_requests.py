"""The requests of the last hours, from the streams and the archive, to be ranked once more.

As a module that is run, it answers one question from standard input: what the archive holds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from feed.storage.archive import Archive
from feed.storage.records import RecordType
from feed.storage.stream_part import StreamPart

NEWEST_RECORDS = 1_000
"""Records of the streams that are looked at, over all partitions."""
_MEMORY_MB = 300
_COLUMNS = ("user_id", "mode", "section", "language", "platform", "context", "attributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """What a reader asked for when a first page was served; `served_at` is epoch seconds."""

    request_id: str
    served_at: float
    user_id: str
    mode: str
    section: str = ""
    language: str = ""
    platform: str = ""
    device: str = ""
    page_article_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_newest(store: StreamPart) -> list[RecordedRequest]:
    """Return the requests among the newest records of the streams, the newest first."""
    records = store.newest_records(max(1, NEWEST_RECORDS // store.partitions))
    served = [orjson.loads(r.payload) for r in records if r.type is RecordType.SERVED]
    found = [_of_record(one) for one in served if one["shown_from"] == 0]
    return sorted(found, key=lambda one: -one.served_at)


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
            f"SELECT request_id, epoch(served_at), {', '.join(_COLUMNS)} FROM served"  # noqa: S608
            " WHERE position = 0 AND epoch(served_at) >= ? ORDER BY served_at DESC LIMIT ?",
            [since, most],
        ).fetchall()
    return [_of_row(row) for row in rows]


def _of_record(served: Mapping[str, Any]) -> RecordedRequest:
    return _request(served, served["context"], served["attributes"])


def _of_row(row: tuple[Any, ...]) -> RecordedRequest:
    served = dict(zip(("request_id", "served_at", *_COLUMNS), row, strict=True))
    context, attributes = (orjson.loads(served[name] or "{}") for name in ("context", "attributes"))
    return _request(served, context, attributes)


def _request(
    served: Mapping[str, Any], context: Mapping[str, str], attributes: Mapping[str, str]
) -> RecordedRequest:
    return RecordedRequest(
        request_id=served["request_id"],
        served_at=float(served["served_at"]),
        user_id=served["user_id"],
        mode=served["mode"],
        section=served["section"] or "",
        language=served["language"] or "",
        platform=context.get("platform", ""),
        device=context.get("device", ""),
        page_article_id=context.get("page_article_id", ""),
        attributes=attributes or {},
    )


def main() -> None:
    """Answer the question on standard input: an object with `data_dir`, `since` and `most`."""
    question = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(question["data_dir"]) / "archive", memory_mb=_MEMORY_MB, threads=1)
    found = read_archived(archive, question["since"], question["most"])
    sys.stdout.buffer.write(orjson.dumps([asdict(one) for one in found]))


if __name__ == "__main__":
    main()
