"""The requests of the last hours that the streams still hold, to be ranked once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from feed.storage.records import RecordType
from feed.storage.stream_part import StreamPart

NEWEST_RECORDS = 1_000
"""Records of the streams that are looked at, over all partitions."""


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


def _of_record(served: Mapping[str, Any]) -> RecordedRequest:
    return recorded_request(served, served["context"], served["attributes"])


def recorded_request(
    served: Mapping[str, Any], context: Mapping[str, str], attributes: Mapping[str, str]
) -> RecordedRequest:
    """Return the request of a record's columns, with what it holds as JSON decoded."""
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
