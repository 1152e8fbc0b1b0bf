"""Builds articles from the entries of any kind of feed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

from feed.article_schemas import MAX_ORIGIN
from feed.catalogue.merging import distinct_names
from feed.domain import Article, Submission
from feed.ingest.dates import parse_date
from feed.ingest.documents import Documents, Finding
from feed.ingest.identity import Marks, choose_ids
from feed.ingest.language_codes import language_tag
from feed.ingest.limits import LONGEST_QUOTE, RULES, Limits, shorten
from feed.ingest.markup import Text
from feed.ingest.pictures import Picture, largest
from feed.ingest.urls import full_address, host_of

TITLE_FROM_TEXT = 100
"""Longest title that is made from a text, characters."""
FIELDS = frozenset(
    {
        "title",
        "published_at",
        "updated_at",
        "standfirst",
        "body",
        "url",
        "image_url",
        "section",
        "tags",
        "source",
        "author",
        "language",
    }
)
"""The fields of an article that feeds give."""
SHORTEST_SENTENCE = 15
"""What ends sooner is no sentence but `Mr.` or `U.S.`, characters."""
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What a feed says about itself.

    Args:
        title: its name.
        home: the address of its pages.
        own: the address of the feed itself.
        base: the address that relative addresses begin from.
        language: with its region, as written.
        authors: of the entries that name none.
        wait_s: how long it asks to wait before it is fetched again, seconds.
    """

    title: str = ""
    home: str = ""
    own: str = ""
    base: str = ""
    language: str = ""
    authors: tuple[str, ...] = ()
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
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


def build_documents(
    channel: Channel, entries: Sequence[FeedEntry], now: float, zone: tzinfo = UTC
) -> Documents:
    """Return the articles of a feed; an entry that can't be one becomes a fault.

    Args:
        channel: the feed itself.
        entries: in the order of the feed.
        now: epoch seconds; stands in for an unknown time of publication.
        zone: of the source, for times without a zone and for ambiguous zone names.
    """
    documents = Documents(
        origin=_origin(channel), is_feed=True, title=channel.title, wait_s=channel.wait_s
    )
    titles = [entry.title or _title_from(entry) for entry in entries]
    links = [full_address(entry.link, channel.base) for entry in entries]
    marks = [Marks(e.guid, *more) for e, *more in zip(entries, links, titles, strict=True)]
    places: dict[str, list[int]] = {}
    for number, article_id in enumerate(choose_ids(marks, _scope(channel))):
        if titles[number]:
            places.setdefault(article_id, []).append(number)
        else:
            rule = "has neither a title nor a text"
            documents.faults.append(Finding(_name(entries[number], number), "title", rule))
    for article_id, numbers in places.items():
        first = numbers[0]
        limits = Limits(_name(entries[first], first), channel.base)
        entry = _merge([entries[number] for number in numbers], limits)
        published, updated = _times(channel, entry, limits, zone)
        times = (now if published is None else published, updated)
        article = _build(channel, entry, article_id, titles[first], times, limits)
        given = FIELDS - {"published_at"} if published is None else FIELDS
        documents.submissions.append(Submission(article, given))
        documents.notes += limits.notes
    return documents


def _merge(entries: Sequence[FeedEntry], limits: Limits) -> FeedEntry:
    """Return the first of several entries for one story, with the sections of all of them."""
    if len(entries) > 1:
        limits.note("", f"stands {len(entries)} times in the source; taken once")
    return replace(entries[0], tags=tuple(tag for entry in entries for tag in entry.tags))


def _name(entry: FeedEntry, number: int) -> str:
    return entry.guid or entry.link or f"entry {number + 1}"


def _scope(channel: Channel) -> str:
    """Return what names a source in ids: the host of its pages, else its title."""
    return host_of(channel.home) or host_of(channel.base) or channel.title


def _origin(channel: Channel) -> str:
    """Return what the catalogue knows a feed by: its address, or else its home and its title.

    Several feeds of one site often name the same home.
    """
    origin = channel.own or f"{channel.home} {channel.title}".strip()
    return origin[:MAX_ORIGIN]


def _title_from(entry: FeedEntry) -> str:
    text = entry.summary.plain or entry.content.plain
    end = _SENTENCE_END.search(text, SHORTEST_SENTENCE)
    return shorten(text[: end.start()] if end else text, TITLE_FROM_TEXT) if text else ""


def _times(
    channel: Channel, entry: FeedEntry, limits: Limits, zone: tzinfo
) -> tuple[float | None, float | None]:
    """Return when an entry was published and when it was changed, None where that is unknown."""
    language = language_tag(entry.language or channel.language)
    updated = parse_date(entry.updated, language, zone)
    published = parse_date(entry.published, language, zone) or updated
    if published is None:
        written = entry.published or entry.updated
        rule = f"{shorten(written, LONGEST_QUOTE)} is no date" if written else "is missing"
        limits.note("published_at", f"{rule}; the time of the first ingest counts")
    return published, updated


def _build(
    channel: Channel,
    entry: FeedEntry,
    article_id: str,
    title: str,
    times: tuple[float, float | None],
    limits: Limits,
) -> Article:
    if not entry.title:
        limits.note("title", "is missing; made from the text")
    tags = distinct_names(entry.tags)
    body = entry.content.plain or entry.summary.plain
    return Article(
        article_id=article_id,
        title=limits.text("title", title),
        published_at=times[0],
        updated_at=times[1],
        standfirst=_standfirst(entry, limits),
        body=limits.text("body", body),
        url=limits.url("url", entry.link),
        image_url=_image(entry, channel.base, limits),
        section=limits.text("section", tags[0] if tags else ""),
        tags=limits.tags(tags),
        source=limits.text("source", entry.source or channel.title),
        author=limits.text("author", _authors(entry.authors or channel.authors)),
        language=limits.language(entry.language or channel.language),
    )


def _standfirst(entry: FeedEntry, limits: Limits) -> str:
    text = entry.summary.plain or entry.content.plain
    if text == entry.content.plain:  # where it stays whole
        return shorten(text, RULES["standfirst"]["maxLength"])
    return limits.text("standfirst", text)


def _authors(authors: tuple[str, ...]) -> str:
    """Return the authors' names, without their e-mail addresses."""
    return ", ".join(dict.fromkeys(name for author in authors for name in _names(author)))


def _names(author: str) -> list[str]:
    """Return the names in a list of authors; a word such as `@desk` is a name, too."""
    parts = author.replace(";", "," if "@" in author else ";").split(",")
    words = (" ".join(w for w in part.split() if "@" not in w[1:]) for part in parts)
    return [name for name in map(_bare, words) if name]


def _bare(name: str) -> str:
    """Return a name without brackets and quotes around it, or without their other half."""
    name = name.strip(" <>")
    for opening, closing in ("()", "[]", '""'):
        if name.startswith(opening) and name.endswith(closing):
            inner = name[1:-1]
            if opening == closing or inner.find(opening) <= inner.find(closing):
                name = inner.strip(" <>")
        if opening == closing:
            name = name.strip(closing) if name.count(closing) % 2 else name
        elif name.count(opening) < name.count(closing):
            name = name.removesuffix(closing)
        elif name.count(opening) > name.count(closing):
            name = name.removeprefix(opening)
    return name.strip(" <>")


def _image(entry: FeedEntry, base: str, limits: Limits) -> str | None:
    pictures = [*entry.pictures, *entry.content.pictures, *entry.summary.pictures]
    picture = largest(p for p in pictures if full_address(p.address, base))
    return limits.url("image_url", picture.address) if picture else None
