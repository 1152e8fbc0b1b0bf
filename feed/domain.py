"""The domain types: articles, events, reasons, served feeds, and one error tree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum

ID_PATTERN = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
"""What an identifier may be: 1 to 128 characters, none of them white space or control."""

PAGE_KEY = "page_article_id"
"""Key of an event's context that names the article below which the feed stood."""

WINDOW_KEY = "window_hours"
"""Key of a served feed's context with the age limit that had to be raised for it, in hours."""


class AiGenerated(StrEnum):
    """How much of an article the publisher says was made with generative AI."""

    NONE = "none"
    ASSISTED = "assisted"
    GENERATED = "generated"


class AgeFrom(StrEnum):
    """From when the age of a source's articles counts: publication, or the last real change."""

    PUBLISHED = "published"
    UPDATED = "updated"


class EventKind(StrEnum):
    """What a reader did. The `un...` kinds undo the kind they name."""

    IMPRESSION = "impression"
    CLICK = "click"
    READ = "read"
    LIKE = "like"
    UNLIKE = "unlike"
    DISLIKE = "dislike"
    UNDISLIKE = "undislike"
    SAVE = "save"
    UNSAVE = "unsave"
    SHARE = "share"
    HIDE = "hide"
    UNHIDE = "unhide"
    CUSTOM = "custom"


UNDOES = {
    EventKind.UNLIKE: EventKind.LIKE,
    EventKind.UNDISLIKE: EventKind.DISLIKE,
    EventKind.UNSAVE: EventKind.SAVE,
    EventKind.UNHIDE: EventKind.HIDE,
}
"""Each undo and the kind it takes back."""


class ReasonCode(StrEnum):
    """Why an article stands in a feed: the contribution that put it there."""

    BECAUSE_YOU_READ = "because_you_read"
    NEW_SINCE_YOU_READ = "new_since_you_read"
    SECTION_YOU_FOLLOW = "section_you_follow"
    SOURCE_YOU_FOLLOW = "source_you_follow"
    TRENDING = "trending"
    POPULAR = "popular"
    NEW = "new"
    EDITORS_PICK = "editors_pick"
    EDITORS_LIMIT = "editors_limit"
    MIXTURE = "mixture"
    YOU_ASKED = "you_asked"
    EXPLORE = "explore"
    OWN_SOURCE = "own_source"


class Mode(StrEnum):
    """Which ordering a reader asked for. Only `personalized` may read the reader's history."""

    PERSONALIZED = "personalized"
    TRENDING = "trending"
    LATEST = "latest"


class Rung(StrEnum):
    """How far the feed had to step down; the answer names it as `mode_served`."""

    PERSONALIZED = "personalized"
    WITHOUT_MODEL = "without_model"
    TRENDING = "trending"
    LATEST = "latest"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article as the publisher sent it. Times are epoch seconds, UTC.

    `other_sections` are those in which it stands beside its own. `embedding` is a vector the
    publisher supplied instead of letting the encoder make one.
    """

    article_id: str
    title: str
    published_at: float
    standfirst: str = ""
    body: str = ""
    url: str | None = None
    image_url: str | None = None
    section: str = ""
    other_sections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    source: str = ""
    author: str = ""
    language: str = ""
    updated_at: float | None = None
    expires_at: float | None = None
    ai_generated: AiGenerated = AiGenerated.NONE
    human_reviewed: bool = False
    sponsored: bool = False
    retracted: bool = False
    embedding: tuple[float, ...] | None = None


ALL_FIELDS = frozenset(column.name for column in fields(Article)) - {"article_id"}


@dataclass(frozen=True, slots=True)
class Submission:
    """An article on its way into the catalogue, and the names of the fields that the sender gave.

    The other fields have their defaults.
    """

    article: Article
    given: frozenset[str] = ALL_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing one reader did with one article. Times are epoch seconds, UTC.

    `context` is free key/value text of the front end (device, page_article_id, platform ...).
    `received_at` is when the service took it; 0 until then. Only custom events have a `name` and a
    `value`, and only they may do without an article (`article_id` is empty).
    """

    event_id: str
    user_id: str
    article_id: str
    kind: EventKind
    occurred_at: float
    received_at: float = 0.0
    dwell_s: float | None = None
    request_id: str | None = None
    position: int | None = None
    context: dict[str, str] = field(default_factory=dict)
    name: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where events came from, when a reader's own device sent them and no trusted caller did.

    `network` is the day's name of the address's network (lower-case hex, `service.networks`),
    never the address; `is_fresh` says that the reader's id was given out moments ago.
    """

    network: str
    is_fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """An editor's pick: an article at a slot (0-based) between two times, for an audience."""

    article_id: str
    slot: int
    starts_at: float
    ends_at: float
    section: str = ""
    author: str = ""
    platforms: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One true reason for one slot; `text` is a sentence for the reader."""

    code: ReasonCode
    text: str
    article_id: str | None = None
    section: str | None = None
    source: str | None = None
    readers: int | None = None
    window_minutes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendingEntry:
    """One story's trending state with the numbers behind it.

    `article_id` is the article that leads it, `others` are its further ones, most read first;
    `readers` distinct readers in about the last `window_minutes`, as many as the test counted
    (further ones of one network may not count); `expected` is what the article's and the site's
    usual rate foretold; `lift` their smoothed ratio; `p_value` the tail probability of the test;
    `score` in [0, 1] is what the boost uses; `labelled`: the label is on, since `since` (epoch s).
    A reader counts once for a story, however many of its articles they read.
    """

    article_id: str
    score: float
    readers: float
    expected: float
    lift: float
    p_value: float
    labelled: bool
    since: float | None
    window_minutes: int
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The slots of one slate, best first, as columns of one length.

    A slate has ten times as many slots as its page; as columns, the others cost no object each.

    Attributes:
        article_ids: which article stands there; none twice.
        positions: place in the slate, from 0.
        scores: final scores.
        reasons: why the article stands there, strongest first.
        sources: the candidate sources that proposed it.
        trending: it carried the trending label.
        explored: it was drawn by chance.
        pinned: an editor put it there.
        propensities: exact probability of this article at this slot; 1.0 where none was drawn.
    """

    article_ids: Sequence[str]
    positions: Sequence[int]
    scores: Sequence[float]
    reasons: Sequence[tuple[Reason, ...]]
    sources: Sequence[tuple[str, ...]]
    trending: Sequence[bool]
    explored: Sequence[bool]
    pinned: Sequence[bool]
    propensities: Sequence[float]

    def __len__(self) -> int:
        return len(self.article_ids)

    def pick(self, places: Sequence[int]) -> Slots:
        """Return the slots at some places, in the order of `places`."""
        return Slots(**{name: [*map(getattr(self, name).__getitem__, places)] for name in _COLUMNS})

    def followed_by(self, other: Slots) -> Slots:
        """Return these slots with those of another slate behind them."""
        return Slots(**{name: [*getattr(self, name), *getattr(other, name)] for name in _COLUMNS})


_COLUMNS = tuple(column.name for column in fields(Slots))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFeed:
    """What was served to whom, when, by which model and variants: the exposure record.

    `counters_at` is the store position of the counters used, `experiments` maps experiment name
    to variant, `attributes` are those of the reader, as far as they may be used,
    `personalized` is true only if the reader's history or preferences changed the feed.
    `slots` is the whole slate, of which the slots from `shown_from` to `shown_to` were given out.
    An interleaved feed has two sides: `rung` is the lower one, `personalized` is true if either
    side is, `model_version` names both versions ("m1+m2") if they differ, and `context` holds what
    each side was ("<variant>.rung", "<variant>.personalized", "<variant>.model_version").
    """

    request_id: str
    user_id: str
    served_at: float
    mode: Mode
    rung: Rung
    personalized: bool
    model_version: str
    experiments: dict[str, str]
    slots: Slots
    shown_from: int
    shown_to: int
    section: str = ""
    language: str = ""
    latency_ms: float = 0.0
    counters_at: str = ""
    context: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


class FeedError(Exception):
    """Root of every error this project raises on purpose.

    FeedError
    ├── InvalidInputError       the caller's data breaks a rule; names field and rule
    ├── NotFoundError           no such article, reader, experiment or model
    ├── ConflictError           the state does not allow it (experiment already started ...)
    ├── NotAllowedError         somebody with more rights may do it, but not the caller
    ├── CursorExpiredError      the slate behind a cursor is gone
    ├── StoreUnavailableError   the store does not answer, is full, or answers too late
    ├── BundleError             a model bundle is corrupt, of another format or another schema
    ├── ArchiveError            the event archive is missing, damaged or cannot be written
    └── GateRefusedError        a candidate model is worse than the live one
    """


class InvalidInputError(FeedError):
    """The caller's data breaks a rule.

    Args:
        field_name: the field at fault, dotted path (`events.3.kind`).
        rule: the rule it breaks, as a sentence fragment (`must be a number`).
    """

    def __init__(self, field_name: str, rule: str) -> None:
        super().__init__(f"{field_name}: {rule}")
        self.field_name = field_name
        self.rule = rule


class NotFoundError(FeedError):
    """No such article, reader, experiment or model."""


class ConflictError(FeedError):
    """The present state does not allow what was asked."""


class NotAllowedError(FeedError):
    """Somebody with more rights may do what was asked, but not the caller."""


class CursorExpiredError(FeedError):
    """The slate behind a cursor is gone; ask for a fresh feed."""


class StoreUnavailableError(FeedError):
    """The store does not answer, is full, or answers too late."""


class BundleError(FeedError):
    """A model bundle is corrupt, of another format or of another feature schema."""


class ArchiveError(FeedError):
    """The event archive is missing, damaged or cannot be written."""


class GateRefusedError(FeedError):
    """A candidate model is worse than the live one by more than the stated margin."""


def check_id(field_name: str, value: str) -> str:
    """Return `value` if it may serve as an identifier.

    Raises:
        InvalidInputError: it is empty, too long, or holds white space or control characters.
    """
    if not ID_PATTERN.fullmatch(value):
        raise InvalidInputError(
            field_name, "must be 1 to 128 characters without white space or control characters"
        )
    return value


def parse_time(field_name: str, text: str) -> float:
    """Return the epoch seconds of an ISO 8601 time; a time without an offset is taken as UTC.

    Raises:
        InvalidInputError: `text` is not an ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1 or after 9999
        raise InvalidInputError(
            field_name, "must be an ISO 8601 time such as 2026-01-31T08:30:00Z"
        ) from None


def format_time(epoch_s: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC with milliseconds and a `Z`."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
