"""The export of everything that is held on one reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, Field

from feed.config import Settings
from feed.domain import format_time
from feed.service.archive_process import ask_archive
from feed.service.services import Services
from feed.storage.archive_ledger import START
from feed.storage.archive_schema import record_lines
from feed.storage.key_names import AUDIT_MAX
from feed.storage.records import StreamRecord
from feed.storage.stream_part import StreamPart

ARCHIVE_SECONDS = 60.0
READ_AT_ONCE = 2_000
"""Records of one round trip."""
_ID_FIELDS = ("user_id", "from_id", "to_id")


class ExportOut(BaseModel):
    """Everything that is held on a reader in the store and in the archive."""

    user_id: str
    store: dict[str, Any]
    archive: dict[str, list[dict[str, Any]]]
    unarchived: dict[str, list[dict[str, Any]]] = Field(
        description="by table of the archive: the records that it does not have yet, times in "
        "epoch seconds"
    )
    looked_at: list[str] = Field(description="when somebody of the newsroom looked at the reader")


def export_reader(user_id: str, services: Services) -> dict[str, Any]:
    """Return what the store and the archive hold on a reader, JSON-ready.

    Raises:
        StoreUnavailableError: the store does not answer.
        ArchiveError: the archive cannot be read.
    """
    held = services.store.export_reader(user_id)
    ids = [held["user_id"], *held["merged_ids"]]
    waiting = read_stream_records(ids, services.store)  # first: what is archived meanwhile is there
    archive = read_archive(ids, services.settings)
    return {
        "user_id": held["user_id"],
        "store": held,
        "archive": archive,
        "unarchived": _without(archive, waiting),
        "looked_at": [format_time(at) for at in _looks(ids, services)],
    }


def _looks(ids: Sequence[str], services: Services) -> list[float]:
    """Return when somebody of the newsroom looked at a reader, the last time first."""
    subjects = tuple(f"readers/{user_id}" for user_id in ids)
    entries = services.store.read_audit(AUDIT_MAX, subjects)
    return [entry.at for entry in entries if entry.subject in subjects]


def read_stream_records(ids: Sequence[str], store: StreamPart) -> dict[str, list[dict[str, Any]]]:
    """Return the records on a reader that the streams hold by table of the archive.

    Some of them may be in the archive, too. `ids` are the reader's and those merged into it.

    Raises:
        StoreUnavailableError: the store does not answer.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for partition in sorted({store.partition_of(user_id) for user_id in ids}):
        records = [one for one in _stream(partition, store) if _names(one, ids)]
        for table, lines in record_lines(partition, records).items():
            found.setdefault(table, []).extend(map(orjson.loads, lines))
    return found


def _stream(partition: int, store: StreamPart) -> Iterator[StreamRecord]:
    """Yield what a stream holds now; more may come in the meantime."""
    after, left = START, store.stream_length(partition)
    while left > 0 and (records := store.read_stream(partition, after, min(READ_AT_ONCE, left))):
        yield from records
        after, left = records[-1].stream_id, left - len(records)


def _names(record: StreamRecord, ids: Sequence[str]) -> bool:
    written = [orjson.dumps(user_id) for user_id in ids]
    if not any(text in record.payload for text in written):  # as most, which need not be parsed
        return False
    payload = orjson.loads(record.payload)
    return any(payload.get(field) in ids for field in _ID_FIELDS)


def _without(
    archive: Mapping[str, list[dict[str, Any]]], waiting: Mapping[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the records that are not in the archive."""
    archived = {(row["partition"], row["stream_id"]) for rows in archive.values() for row in rows}
    return {
        table: [one for one in records if (one["partition"], one["stream_id"]) not in archived]
        for table, records in waiting.items()
    }


def read_archive(ids: Sequence[str], settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Return a reader's archived rows by table.

    `ids` are the reader's and those merged into it.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    directory = str(settings.data_dir / "archive")
    tables: dict[str, list[dict[str, Any]]] = ask_archive(
        "feed.storage.archive_export", ids, directory, limit_s=ARCHIVE_SECONDS
    )
    return tables
