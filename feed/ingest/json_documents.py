"""Reads JSON documents of any kind: JSON Feed, arrays and batches of records, JSON lines."""

from __future__ import annotations

from datetime import UTC, tzinfo

import orjson

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.json_feed import VERSION, is_json_feed, parse_json_feed
from feed.ingest.json_lines import parse_json_lines, parse_records
from feed.ingest.json_text import mend_json


def parse_json(content: bytes, address: str, now: float, zone: tzinfo = UTC) -> Documents:
    """Return the articles and events of a JSON document.

    Args:
        content: a JSON Feed, an array of records, a batch as the API takes it, or JSON lines.
        address: where it was fetched; empty for a file.
        now: epoch seconds; stands in for times that are missing.
        zone: of a feed.

    Raises:
        InvalidInputError: a document is not whole.
    """
    content = mend_json(content).strip()
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        lines = content.splitlines()
        if (
            content.startswith(b"[")
            or VERSION.encode() in content
            or not any(map(_is_object, lines))
        ):
            raise InvalidInputError("source", f"is no whole JSON ({error})") from None
        return parse_json_lines(lines, now)
    if is_json_feed(document):
        return parse_json_feed(document, address, now, zone)
    if isinstance(document, dict):
        batches = [document[name] for name in ("articles", "events") if name in document]
        lists = [batch for batch in batches if isinstance(batch, list)]
        document = [record for batch in lists for record in batch] if lists else [document]
    return parse_records(document if isinstance(document, list) else [document], now)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
