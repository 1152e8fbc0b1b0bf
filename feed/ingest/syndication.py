"""Reads articles from RSS, RDF and Atom documents."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from html.entities import name2codepoint
from typing import Any

import feedparser

from feed.config import DAY_S, HOUR_S
from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.encodings import in_utf8, note_slips
from feed.ingest.entries import Channel, FeedEntry, build_documents
from feed.ingest.fetching import FetchedDocument
from feed.ingest.markup import Text, find_feeds, read_markup, read_plain, read_title
from feed.ingest.pictures import (
    WIDTH_OF_FILE,
    WIDTH_OF_THUMBNAIL,
    Picture,
    read_picture,
    read_pixels,
)
from feed.ingest.urls import full_address, is_web_address, join_address

ENDS = ("</rss", "</rdf", ":rdf>", "</feed", ":feed>")
"""Every complete document contains one of these."""
PERIODS_S = {
    "hourly": HOUR_S,
    "daily": DAY_S,
    "weekly": 7 * DAY_S,
    "monthly": 30 * DAY_S,
    "yearly": 365 * DAY_S,
}


class WebPageError(InvalidInputError):
    """The document is a web page that names feeds.

    Attributes:
        feeds: their addresses, the page's first one first.
    """

    def __init__(self, feeds: Sequence[str]) -> None:
        super().__init__("source", f"is a web page; its feed is {feeds[0]}")
        self.feeds = tuple(feeds)


class _Corrections:
    """Corrects what feedparser gets wrong: what is said of pictures, and authors' addresses."""

    in_picture = False

    def _start_media_content(self, attributes: dict[str, str]) -> None:
        self.in_picture = True
        super()._start_media_content(attributes)  # type: ignore[misc]

    def _end_media_content(self) -> None:
        self.in_picture = False

    def _start_media_category(self, attributes: dict[str, str]) -> None:
        self.push("media_category", 1)  # type: ignore[attr-defined]
        self._add_keywords(attributes.get("label", ""))

    def _end_media_category(self) -> None:
        self._add_keywords(self.pop("media_category"))  # type: ignore[attr-defined]

    def _end_media_keywords(self) -> None:
        self._add_keywords(self.pop("media_keywords"))  # type: ignore[attr-defined]

    def _end_itunes_keywords(self) -> None:
        self._add_keywords(self.pop("itunes_keywords"))  # type: ignore[attr-defined]

    def _add_keywords(self, text: str | None) -> None:
        """Keep words about an article apart from its sections; drop those about a picture."""
        if not self.in_picture:
            words = self._get_context().setdefault("keywords", [])  # type: ignore[attr-defined]
            words += filter(None, map(str.strip, (text or "").split(",")))

    def _start_caption(self, attributes: dict[str, str]) -> None:  # noqa: ARG002
        self.push("caption", 0)  # type: ignore[attr-defined]

    def _end_caption(self) -> None:
        self.pop("caption")  # type: ignore[attr-defined]

    _start_media_title = _start_media_description = _start_caption
    _end_media_title = _end_media_description = _end_caption

    def _start_title(self, attributes: dict[str, str]) -> None:
        if self.inentry and self.inimage:  # type: ignore[attr-defined]
            self._start_caption(attributes)
        else:
            super()._start_title(attributes)  # type: ignore[misc]

    def _end_title(self) -> None:
        if self.inentry and self.inimage:  # type: ignore[attr-defined]
            self._end_caption()
        else:
            super()._end_title()  # type: ignore[misc]

    def handle_entityref(self, ref: str) -> None:
        """Keep an ampersand that begins no entity, as in `R&D`, where feedparser adds `;`."""
        if ref in name2codepoint or ref == "apos" or ref in self.entities:  # type: ignore[attr-defined]
            super().handle_entityref(ref)  # type: ignore[misc]
        else:
            self.handle_data(f"&{ref}")  # type: ignore[attr-defined]

    def _sync_author_detail(self, key: str = "author") -> None:
        """Keep a name as written: feedparser knows few of the addresses' endings."""
        context = self._get_context()  # type: ignore[attr-defined]
        people = context.get(f"{key}s")
        if people and not people[-1] and context.get(key):
            people[-1]["name"] = context[key]


# feedparser offers no other way to replace its parsers: it looks them up by these names.
for _name in ("StrictFeedParser", "LooseFeedParser"):
    _parser = type(_name, (_Corrections, getattr(feedparser.api, _name)), {})
    setattr(feedparser.api, _name, _parser)


def parse_syndication(document: FetchedDocument, now: float, zone: tzinfo = UTC) -> Documents:
    """Return the articles of an RSS, RDF or Atom document.

    Args:
        document: the bytes, with the address and the character set that came with them.
        now: epoch seconds; stands in for a missing publication time.
        zone: of the source.

    Raises:
        InvalidInputError: the bytes are no such document, or break off before its end.
    """
    content, charset = in_utf8(document.content, document.charset)
    parsed = _parse(content, charset)
    if not parsed.get("version"):
        raise _refusal(document)
    if parsed.bozo and not _is_whole(document.content, parsed.encoding):
        raise InvalidInputError("source", "breaks off before its end")
    is_atom = parsed.version.startswith("atom")
    channel = _channel(parsed, document.address)
    entries = [_entry(entry, is_atom=is_atom) for entry in parsed.entries]
    documents = build_documents(channel, entries, now, zone)
    documents.notes += note_slips(document.content, content)
    return documents


def _parse(content: bytes, charset: str) -> Any:
    kind = f"application/xml; charset={charset}" if charset else ""
    try:
        return feedparser.parse(
            io.BytesIO(content),
            response_headers={"content-type": kind} if kind else {},
            resolve_relative_uris=False,
            sanitize_html=False,
        )
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
        raise InvalidInputError("source", "is too broken to be read") from None


def _refusal(document: FetchedDocument) -> InvalidInputError:
    """Return what a document is if it is not a feed, and where its feed may be."""
    feeds = find_feeds(document.content, document.address)
    if feeds:
        return WebPageError(feeds)
    if b"<opml" in document.content[:4096]:
        return InvalidInputError("source", "is a list of feeds: `feed sources import` takes it")
    rule = "must be an RSS or Atom document, a JSON Feed or a news sitemap"
    return InvalidInputError("source", rule)


def _is_whole(content: bytes, encoding: str) -> bool:
    """Return whether a document that is not well-formed still has its end."""
    text = content.decode(encoding or "utf-8", errors="replace").lower()
    return any(end in text for end in ENDS)


def _channel(parsed: Any, address: str) -> Channel:
    feed = parsed.feed
    own = next(
        (str(e.get("href", "")) for e in feed.get("links", []) if e.get("rel") == "self"), ""
    )
    home = full_address(str(feed.get("link") or ""), address or own)
    return Channel(
        title=read_markup(str(feed.get("title", ""))).plain,
        home=home,
        own=address or full_address(own, home),
        base=address or home or own,
        language=str(feed.get("language") or ""),
        authors=_authors(feed) if parsed.version.startswith("atom") else (),
        wait_s=_wait_s(feed),
    )


def _wait_s(feed: Any) -> float:
    """Return the longer of `<ttl>`, in minutes, and the period of `sy:updatePeriod`, seconds."""
    period_s = PERIODS_S.get(str(feed.get("sy_updateperiod") or "").strip().lower(), 0.0)
    times = max(1.0, _number(feed.get("sy_updatefrequency")))
    return max(60 * _number(feed.get("ttl")), period_s / times)


def _number(text: Any) -> float:
    """Return a number that is not negative, 0 for anything else."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return 0.0
    return number if 0 <= number < float("inf") else 0.0


def _entry(entry: Any, *, is_atom: bool) -> FeedEntry:
    contents = [_text(detail, is_atom=is_atom) for detail in entry.get("content") or []]
    guid = str(entry.get("id") or "").strip()
    link = str(entry.get("feedburner_origlink") or entry.get("link") or "").strip()
    return FeedEntry(
        guid=guid,
        link="" if link == guid and not is_web_address(link) else link,
        title=_title(entry.get("title_detail") or {}, is_atom=is_atom),
        summary=_text(_summary(entry), is_atom=is_atom),
        content=max(contents, key=lambda text: len(text.plain), default=Text()),
        published=_first(entry, "published", "created", "prism_publicationdate", "date"),
        updated=_first(entry, "updated"),
        tags=tuple(map(_section, [*_categories(entry), *(dict.get(entry, "keywords") or [])])),
        authors=_authors(entry),
        language=str(entry.get("language") or _language_of(entry)),
        pictures=tuple(_pictures(entry)),
    )


def _categories(entry: Any) -> list[Any]:
    return [name for tag in entry.get("tags", []) if (name := tag["label"] or tag["term"])]


def _section(term: object) -> str:
    """Return a section's name; many are escaped once more than they should be."""
    return read_plain(read_markup(str(term)).plain)


def _summary(entry: Any) -> dict[str, Any]:
    detail = entry.get("summary_detail")
    return detail if detail else {"value": entry.get("summary", ""), "type": "text/html"}


def _language_of(entry: Any) -> str:
    return (entry.get("title_detail") or {}).get("language") or ""


def _title(detail: Any, *, is_atom: bool) -> str:
    value = str(detail.get("value") or "")
    return read_plain(value) if _is_plain(detail, is_atom=is_atom) else read_title(value)


def _is_plain(detail: Any, *, is_atom: bool) -> bool:
    """Return whether a text is no markup; only Atom states that reliably."""
    return is_atom and detail.get("type") == "text/plain"


def _text(detail: Any, *, is_atom: bool) -> Text:
    value = str(detail.get("value") or "")
    if _is_plain(detail, is_atom=is_atom):
        return Text(read_plain(value))
    text = read_markup(value)
    base = str(detail.get("base") or "")
    pictures = (Picture(join_address(base, p.address), p.width) for p in text.pictures)
    return Text(text.plain, tuple(pictures))


def _first(entry: Any, *names: str) -> str:
    """Return the first of some fields, past feedparser's own mapping between them, which warns."""
    return next((str(value) for name in names if (value := dict.get(entry, name))), "")


def _authors(context: Any) -> tuple[str, ...]:
    names = [str(author.get("name") or "") for author in context.get("authors") or []]
    return tuple(read_markup(name).plain for name in names if name)


def _pictures(entry: Any) -> Iterator[Picture]:
    files: list[tuple[Any, Any, int, bool]] = [
        (f.get("url"), f.get("type") or f.get("medium"), _width(f, WIDTH_OF_FILE), True)
        for f in entry.get("media_content", [])
    ]
    files += [
        (f.get("href"), f.get("type"), WIDTH_OF_FILE, False) for f in entry.get("enclosures", [])
    ]
    files.append(((entry.get("image") or {}).get("href"), "image", WIDTH_OF_FILE, True))
    files.append((dict.get(entry, "href"), "", WIDTH_OF_FILE, False))  # <image><url>
    files += [
        (f.get("url"), "image", _width(f, WIDTH_OF_THUMBNAIL), True)
        for f in entry.get("media_thumbnail", [])
    ]
    for address, kind, width, is_surely in files:
        picture = read_picture(address, kind, width, is_surely=is_surely)
        if picture:
            yield picture


def _width(file: Any, usual: int) -> int:
    return read_pixels(file.get("width")) or usual
