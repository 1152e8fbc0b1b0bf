"""Reads articles from Google News sitemaps."""

from __future__ import annotations

from datetime import UTC, tzinfo
from xml.etree import ElementTree as ET

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.entries import Channel, FeedEntry, build_documents
from feed.ingest.fetching import FetchedDocument
from feed.ingest.markup import read_plain
from feed.ingest.pictures import WIDTH_OF_FILE, Picture


def is_sitemap(content: bytes) -> bool:
    """Return whether a document is a sitemap or an index of sitemaps."""
    start = content[:4096]
    return b"<urlset" in start or b"<sitemapindex" in start


def parse_sitemap(document: FetchedDocument, now: float, zone: tzinfo = UTC) -> Documents:
    """Return the articles of a news sitemap.

    Args:
        document: the bytes and the address that they came from.
        now: epoch seconds; stands in for a missing publication time.
        zone: of the source.

    Raises:
        InvalidInputError: the bytes are not whole, or an index of other sitemaps.
    """
    parser = ET.XMLParser(encoding=document.charset or None)  # noqa: S314 - expat bounds entities
    try:
        root = ET.fromstring(document.content, parser)  # noqa: S314
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InvalidInputError("source", f"is no whole sitemap: {error}") from None
    if root.tag.endswith("sitemapindex"):
        raise InvalidInputError("source", "is an index; ingest the sitemaps that it names")
    entries = [_entry(url) for url in root.iterfind("{*}url")]
    title = next((entry.source for entry in entries if entry.source), "")
    channel = Channel(title=title, own=document.address, base=document.address)
    return build_documents(channel, entries, now, zone)


def _entry(url: ET.Element) -> FeedEntry:
    location = _text(url, "loc")
    picture = _text(url, "image/{*}loc")
    keywords = _text(url, "news/{*}keywords").split(",")
    return FeedEntry(
        guid=location,
        link=location,
        title=_text(url, "news/{*}title"),
        published=_text(url, "news/{*}publication_date"),
        updated=_text(url, "lastmod"),
        tags=tuple(word.strip() for word in keywords if word.strip()),
        language=_text(url, "news/{*}publication/{*}language"),
        source=_text(url, "news/{*}publication/{*}name"),
        pictures=(Picture(picture, WIDTH_OF_FILE),) if picture else (),
    )


def _text(url: ET.Element, path: str) -> str:
    return read_plain(url.findtext(f"{{*}}{path}") or "")
