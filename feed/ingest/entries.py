"""Entries of any kind of feed as articles."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from feed.domain import Article
from feed.ingest.addresses import full_address, host_of
from feed.ingest.dates import parse_date
from feed.ingest.documents import Documents, Finding
from feed.ingest.identity import Marks, choose_ids
from feed.ingest.markup import Text
from feed.ingest.pictures import Picture, largest
from feed.service.schemas import ArticleBody

RULES: dict[str, Any] = ArticleBody.model_json_schema()["properties"]
MAX_URL = RULES["url"]["anyOf"][0]["maxLength"]
LANGUAGE = re.compile(RULES["language"]["anyOf"][0]["pattern"])
TITLE_FROM_TEXT = 100
"""Longest title that is made from a text, characters."""
CUT_MARK = "…"
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What a feed says of itself.

    Args:
        title: its name.
        home: the address of its pages.
        base: the address that relative addresses begin from.
        language: with its region, as written.
        authors: of the entries that name none.
    """

    title: str = ""
    home: str = ""
    base: str = ""
    language: str = ""
    authors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a feed: its texts are plain, its times and addresses are as written.

    `source` is a name that counts more than that of the feed.
    """

    guid: str = ""
    link: str = ""
    title: str = ""
    summary: Text = Text()
    content: Text = Text()
    published: str = ""
    updated: str = ""
    tags: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    language: str = ""
    source: str = ""
    pictures: tuple[Picture, ...] = ()


class _Notes:
    """Cuts the texts of one record at the limits of the API, and says so."""

    def __init__(self, record: str) -> None:
        self.record = record
        self.found: list[Finding] = []

    def add(self, field: str, rule: str) -> None:
        self.found.append(Finding(self.record, field, rule))

    def cut(self, field: str, text: str, limit: int) -> str:
        if len(text) <= limit:
            return text
        self.add(field, f"cut from {len(text)} to {limit} characters")
        return shorten(text, limit)


def shorten(text: str, limit: int) -> str:
    """Return a text cut at a word so that it has at most `limit` characters."""
    if len(text) <= limit:
        return text
    short = textwrap.shorten(text, limit, placeholder=CUT_MARK)
    return short if len(short) > limit // 2 else text[: limit - 1] + CUT_MARK


def build_documents(
    channel: Channel, entries: Sequence[Entry], now: float, zone: tzinfo = UTC
) -> Documents:
    """Return the articles of a feed; an entry that can't be one becomes a fault.

    Args:
        channel: the feed itself.
        entries: in the order of the feed.
        now: epoch seconds; stands in for an unknown time of publication.
        zone: of the source, for times without a zone and for ambiguous zone names.
    """
    documents = Documents(is_feed=True)
    taken: set[str] = set()
    titles = [entry.title or _title_from(entry) for entry in entries]
    links = [full_address(entry.link, channel.base) for entry in entries]
    marks = [Marks(e.guid, *more) for e, *more in zip(entries, links, titles, strict=True)]
    for number, article_id in enumerate(choose_ids(marks, _scope(channel))):
        entry, title = entries[number], titles[number]
        notes = _Notes(entry.guid or entry.link or f"entry {number + 1}")
        if not title:
            rule = "has neither a title nor a text"
            documents.faults.append(Finding(notes.record, "title", rule))
        elif article_id in taken:
            documents.faults.append(Finding(notes.record, "", "stands twice in the source"))
        else:
            taken.add(article_id)
            article, is_dated = _build(channel, entry, article_id, title, notes, now, zone)
            documents.articles.append(article)
            documents.notes += notes.found
            if not is_dated:
                documents.undated.add(article_id)
    return documents


def _scope(channel: Channel) -> str:
    """Return what names a source in ids: the host of its pages, else its title."""
    return host_of(channel.home) or host_of(channel.base) or channel.title


def _title_from(entry: Entry) -> str:
    text = entry.summary.plain or entry.content.plain
    return shorten(_SENTENCE_END.split(text, maxsplit=1)[0], TITLE_FROM_TEXT) if text else ""


def _build(
    channel: Channel,
    entry: Entry,
    article_id: str,
    title: str,
    notes: _Notes,
    now: float,
    zone: tzinfo,
) -> tuple[Article, bool]:
    language = entry.language or channel.language
    updated = parse_date(entry.updated, language, zone)
    published = parse_date(entry.published, language, zone) or updated
    if published is None:
        written = entry.published or entry.updated
        rule = f"{shorten(written, 40)} is no date" if written else "is missing"
        rule += "; the time of the first ingest counts"
        notes.add("published_at", rule)
    if not entry.title:
        notes.add("title", "is missing; made from the text")
    tags = tuple(dict.fromkeys(t.lower() for t in entry.tags if t))
    body = entry.content.plain or entry.summary.plain
    standfirst = entry.summary.plain or body
    if standfirst == entry.content.plain:  # which stays whole
        standfirst = shorten(standfirst, RULES["standfirst"]["maxLength"])
    limits = {name: RULES[name]["maxLength"] for name in ("title", "standfirst", "body", "section")}
    article = Article(
        article_id=article_id,
        title=notes.cut("title", title, limits["title"]),
        standfirst=notes.cut("standfirst", standfirst, limits["standfirst"]),
        body=notes.cut("body", body, limits["body"]),
        url=_url(entry.link, channel.base, "url", notes),
        image_url=_image(entry, channel.base, notes),
        section=notes.cut("section", tags[0] if tags else "", limits["section"]),
        tags=_tags(tags, notes),
        source=notes.cut("source", entry.source or channel.title, RULES["source"]["maxLength"]),
        author=_author(entry.authors or channel.authors, notes),
        language=_language(language, notes),
        published_at=now if published is None else published,
        updated_at=updated,
    )
    return article, published is not None


def _tags(tags: tuple[str, ...], notes: _Notes) -> tuple[str, ...]:
    most, longest = RULES["tags"]["maxItems"], RULES["tags"]["items"]["maxLength"]
    if len(tags) > most:
        notes.add("tags", f"cut from {len(tags)} to {most}")
    return tuple(notes.cut("tags", tag, longest) for tag in tags[:most])


def _author(authors: tuple[str, ...], notes: _Notes) -> str:
    """Return the authors' names, without their e-mail addresses."""
    names = dict.fromkeys(name for author in authors for name in _names(author))
    return notes.cut("author", ", ".join(names), RULES["author"]["maxLength"])


def _names(author: str) -> list[str]:
    """Return the names in a list of authors; a word such as `@desk` is a name, too."""
    words = (" ".join(w for w in part.split() if "@" not in w[1:]) for part in author.split(","))
    return [name for name in (text.strip(" <>()[]") for text in words) if name]


def _language(language: str, notes: _Notes) -> str:
    primary = language.replace("_", "-").split("-")[0].lower()
    if primary and not LANGUAGE.fullmatch(primary):
        notes.add("language", f"{shorten(language, 40)} is no language code")
        return ""
    return primary


def _image(entry: Entry, base: str, notes: _Notes) -> str | None:
    pictures = [*entry.pictures, *entry.content.pictures, *entry.summary.pictures]
    picture = largest(p for p in pictures if full_address(p.address, base))
    return _url(picture.address, base, "image_url", notes) if picture else None


def _url(text: str, base: str, field: str, notes: _Notes) -> str | None:
    address = full_address(text, base)
    if len(address) > MAX_URL:
        notes.add(field, f"left out: longer than {MAX_URL} characters")
        return None
    if text and not address:
        notes.add(field, f"left out: {shorten(text, 40)} is no http(s) address")
    return address or None
