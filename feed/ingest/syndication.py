"""Reads articles from RSS and Atom documents."""

from __future__ import annotations

import calendar
import hashlib
import ssl
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import feedparser
import httpx

from feed.domain import ID_PATTERN, Article, InvalidInputError

MAX_DOCUMENT_BYTES = 20_000_000
FETCH_TIMEOUT_S = 20.0


def read_syndication(source: str, now: float) -> list[Article]:
    """Return the articles of an RSS or Atom document.

    Args:
        source: an http(s) address or the path of a file.
        now: epoch seconds; stands in for a missing publication time.

    Raises:
        InvalidInputError: the document can't be fetched, is too large, or is no feed.
    """
    return parse_syndication(_fetch(source), now)


def parse_syndication(document: bytes, now: float) -> list[Article]:
    """Return the articles of an RSS or Atom document given as bytes.

    An entry's id is its guid where that may serve as an identifier, else a hash of it. Markup in
    titles and texts is removed. Entries without a title are left out.

    Raises:
        InvalidInputError: the bytes are no RSS or Atom document.
    """
    parsed = feedparser.parse(document)
    if not parsed.version:
        raise InvalidInputError("source", "must be an RSS or Atom document")
    channel = parsed.feed
    articles = [
        _build_article(entry, str(channel.get("title", "")), _language(channel), now)
        for entry in parsed.entries
        if entry.get("title")
    ]
    return list({a.article_id: a for a in articles}.values())


def _fetch(source: str) -> bytes:
    if not _is_web_address(source):
        path = Path(source)
        if not path.is_file():
            raise InvalidInputError("source", f"{source} is neither a file nor an http(s) address")
        with path.open("rb") as file:
            return _bounded(file.read(MAX_DOCUMENT_BYTES + 1))
    return _bounded(_download(source))


def _download(address: str) -> bytes:
    """Return the document at an address, or a part of it that is longer than what is allowed."""
    document = bytearray()
    try:
        with httpx.stream(
            "GET",
            address,
            headers={"User-Agent": "feed-ingest"},
            timeout=FETCH_TIMEOUT_S,
            follow_redirects=True,
            verify=ssl.create_default_context(),
        ) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                document += part
                if len(document) > MAX_DOCUMENT_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InvalidInputError("source", f"{address} can't be fetched: {reason}") from None
    return bytes(document)


def _is_web_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _bounded(document: bytes) -> bytes:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise InvalidInputError("source", f"must be at most {MAX_DOCUMENT_BYTES} bytes")
    return document


def _build_article(entry: Any, source: str, language: str, now: float) -> Article:
    contents = entry.get("content") or []
    body = _plain_text(" ".join(str(c.get("value", "")) for c in contents))
    standfirst = _plain_text(str(entry.get("summary", "")))
    tags = tuple(str(t["term"]) for t in entry.get("tags", []) if t.get("term"))
    # Past feedparser's own mapping from one time to the other, which warns.
    updated = dict.get(entry, "updated_parsed")
    published = dict.get(entry, "published_parsed") or updated
    return Article(
        article_id=_identifier(str(entry.get("id") or entry.get("link") or entry["title"])),
        title=_plain_text(str(entry["title"])),
        standfirst=standfirst,
        body=body or standfirst,
        url=_web_address(entry.get("link")),
        image_url=_image(entry),
        section=tags[0].lower() if tags else "",
        tags=tuple(t.lower() for t in tags),
        source=source,
        author=str(entry.get("author", "")),
        language=language,
        published_at=float(calendar.timegm(published)) if published else now,
        updated_at=float(calendar.timegm(updated)) if updated else None,
    )


def _identifier(text: str) -> str:
    if ID_PATTERN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _language(channel: Any) -> str:
    return str(channel.get("language", "")).replace("_", "-").split("-")[0].lower()


def _image(entry: Any) -> str | None:
    pictures = list(entry.get("media_content", [])) + list(entry.get("media_thumbnail", []))
    pictures += [e for e in entry.get("enclosures", []) if "image" in str(e.get("type", ""))]
    for picture in pictures:
        address = _web_address(picture.get("url") or picture.get("href"))
        if address:
            return address
    return None


def _web_address(text: Any) -> str | None:
    if text and _is_web_address(str(text)):
        return str(text)
    return None


class _TextOnly(HTMLParser):
    """Collects the text between tags, leaving out scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._silent += tag in {"script", "style"}
        if tag in {"p", "br", "div", "li"}:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"} and self._silent:
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _plain_text(markup: str) -> str:
    parser = _TextOnly()
    parser.feed(markup)
    parser.close()
    return " ".join("".join(parser.parts).split())
