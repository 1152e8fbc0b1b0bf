"""Records of events as a stream holds them, and an archive that takes and shows them."""

from __future__ import annotations

import orjson

from feed.storage.archive import Archive
from feed.storage.archive_object_writer import open_writer
from feed.storage.records import RecordType, StreamRecord

NOW = 1_780_000_000.0


def event_record(number, user_id="u", received_at=NOW, **fields):
    payload = {
        "event_id": f"e{number}",
        "user_id": user_id,
        "article_id": "a",
        "kind": "click",
        "occurred_at": received_at,
        "received_at": received_at,
        "dwell_s": None,
        "position": None,
        "context": {},
        "request_id": None,
        "first": True,
        "previous": [],
        "likes": 0,
        "dislikes": 0,
        **fields,
    }
    return StreamRecord(f"{number + 1}-0", RecordType.EVENT, orjson.dumps(payload))


def writer_of(directory, owner="me"):
    writer = open_writer(directory, owner)
    writer.recover(lambda *_: [])
    return writer


def event_ids(directory):
    return sorted(Archive(directory).event_columns(0, 1e11)["event_id"].tolist())
