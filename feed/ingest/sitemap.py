"""Reads articles from Google News sitemaps."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from datetime import UTC, tzinfo
from html.entities import html5
from xml.etree import ElementTree as ET

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.encodings import in_utf8, note_slips
from feed.ingest.entries import Channel, FeedEntry, build_documents
from feed.ingest.fetching import FetchedDocument
from feed.ingest.markup import read_plain
from feed.ingest.pictures import WIDTH_OF_FILE, Picture

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_CDATA = re.compile(rb"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_AMPERSAND = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)(?:([A-Za-z0-9]{2,31});)?"
)


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
    content, charset = in_utf8(document.content, document.charset)
    slips = note_slips(document.content, content)
    content = content.removeprefix(BOM_UTF8).lstrip()
    try:
        root = _parse(content, charset)
    except (ET.ParseError, LookupError, ValueError) as error:
        try:
            root = _parse(_without_slips(content), charset)
        except (ET.ParseError, LookupError, ValueError):
            raise InvalidInputError("source", f"is no whole sitemap: {error}") from None
    if root.tag.endswith("sitemapindex"):
        raise InvalidInputError("source", "is an index; ingest the sitemaps that it names")
    entries = [_entry(url) for url in root.iterfind("{*}url")]
    title = next((entry.source for entry in entries if entry.source), "")
    channel = Channel(title=title, own=document.address, base=document.address)
    documents = build_documents(channel, entries, now, zone)
    documents.notes += slips
    return documents


def _parse(content: bytes, charset: str) -> ET.Element:
    parser = ET.XMLParser(encoding=charset or None)  # noqa: S314 - expat bounds entities
    return ET.fromstring(content, parser)  # noqa: S314


def _without_slips(content: bytes) -> bytes:
    """Return XML without control characters, bare ampersands and the names of HTML's entities."""
    return b"".join(
        part if part.startswith(b"<![CDATA[") else _AMPERSAND.sub(_as_xml, part)
        for part in _CDATA.split(_CONTROLS.sub(b"", content))
    )


def _as_xml(found: re.Match[bytes]) -> bytes:
    characters = html5.get(f"{(found[1] or b'').decode()};")
    if characters is None:
        return b"&amp;" + found[0][1:]
    return "".join(f"&#{ord(one)};" for one in characters).encode()


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
