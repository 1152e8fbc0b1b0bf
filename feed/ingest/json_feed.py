"""Reads articles from JSON Feed, versions 1.0 and 1.1."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import Any

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents, Finding
from feed.ingest.entries import Channel, FeedEntry, build_documents
from feed.ingest.markup import Text, read_markup, read_plain
from feed.ingest.pictures import WIDTH_OF_FILE, Picture, read_picture

VERSION = "jsonfeed.org/version/"


def is_json_feed(document: Any) -> bool:
    """Return whether a JSON document says that it is a JSON Feed."""
    return isinstance(document, dict) and VERSION in str(document.get("version", ""))


def parse_json_feed(
    feed: dict[str, Any], address: str, now: float, zone: tzinfo = UTC
) -> Documents:
    """Return the articles of a JSON Feed.

    Args:
        feed: the document.
        address: where it was fetched; empty for a file.
        now: epoch seconds; stands in for a missing publication time.
        zone: of the source.

    Raises:
        InvalidInputError: it has no list of items; null, as some write for none, is one.
    """
    if not isinstance(feed.get("items", ""), list | None):
        raise InvalidInputError("source", "is a JSON Feed without a list of items")
    home = _string(feed.get("home_page_url"))
    channel = Channel(
        title=read_plain(_string(feed.get("title"))),
        home=home,
        own=address or _string(feed.get("feed_url")),
        base=address or _string(feed.get("feed_url")) or home,
        language=_string(feed.get("language")),
        authors=_authors(feed),
    )
    items = _list(feed.get("items"))
    entries = [_entry(item) for item in items if isinstance(item, dict)]
    documents = build_documents(channel, entries, now, zone)
    wrong = [n for n, item in enumerate(items, start=1) if not isinstance(item, dict)]
    documents.faults += [Finding(f"item {n}", "", "must be a JSON object") for n in wrong]
    return documents


def _entry(item: dict[str, Any]) -> FeedEntry:
    markup = _string(item.get("content_html")) or html.escape(_string(item.get("content_text")))
    return FeedEntry(
        guid=_string(item.get("id")).strip(),
        link=_string(item.get("url")) or _string(item.get("external_url")),
        title=read_plain(_string(item.get("title"))),
        summary=Text(read_plain(_string(item.get("summary")))),
        content=read_markup(markup),
        published=_string(item.get("date_published")),
        updated=_string(item.get("date_modified")),
        tags=tuple(filter(None, map(str.strip, _tags(item.get("tags"))))),
        authors=_authors(item),
        language=_string(item.get("language")),
        pictures=tuple(_pictures(item)),
    )


def _tags(value: Any) -> Iterator[str]:
    """Yield the tags in a list, or in a text with commas, as some write them."""
    tags = value.split(",") if isinstance(value, str) else _list(value)
    yield from (read_plain(_string(tag)) for tag in tags)


def _authors(holder: dict[str, Any]) -> tuple[str, ...]:
    """Return the names in `authors` (version 1.1) or `author` (1.0), or names alone."""
    given = holder.get("authors") or holder.get("author")
    people = given if isinstance(given, list) else [given]
    names = (_string(p.get("name") if isinstance(p, dict) else p) for p in people)
    return tuple(read_plain(name) for name in names if name)


def _pictures(item: dict[str, Any]) -> Iterator[Picture]:
    given = [item.get(name) for name in ("image", "banner_image")]
    files = [(_string(g.get("url") if isinstance(g, dict) else g), "image") for g in given]
    attachments = [a for a in _list(item.get("attachments")) if isinstance(a, dict)]
    files += [(_string(a.get("url")), _string(a.get("mime_type"))) for a in attachments]
    for address, kind in files:
        picture = read_picture(address, kind, WIDTH_OF_FILE, is_surely=False)
        if picture:
            yield picture


def _string(value: Any) -> str:
    is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value) if is_text else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
