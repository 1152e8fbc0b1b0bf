"""The records that the store takes and returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from secrets import token_hex
from typing import Any, NamedTuple, overload

from feed.arrays import Matrix
from feed.domain import Article, EventKind
from feed.preferences import Preferences


class Outcome(StrEnum):
    """The outcome of one event that was given to the store.

    `WAITING` events are kept until their article comes; `UNKNOWN` ones are not, because too many
    wait already.
    """

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        at: When it was done, epoch seconds.
        by: Who did it: name of an API key, `open access`, `command line (USER)` or `worker`.
        action: What was done, as a past participle.
        subject: To what, as in the address of its route: `experiments/NAME`.
        before: What changed, as it was: a small JSON object; None for something new.
        after: What changed, as it is now; None for something that is gone.
        id: Of the entry, 16 hex digits; empty in entries of earlier versions.
    """

    at: float
    by: str
    action: str
    subject: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    id: str = field(default_factory=lambda: token_hex(8), compare=False)


@dataclass(frozen=True, slots=True)
class Merge:
    """The result of a merge: the reader, and whether it was this call that merged the id."""

    user_id: str
    is_new: bool


class HistoryEntry(NamedTuple):
    """One engagement of a reader (any kind but impression). Times are epoch seconds."""

    kind: EventKind
    article_id: str
    occurred_at: float
    dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class History(Sequence[HistoryEntry]):
    """A reader's engagements as columns of equal length, which a request uses as arrays."""

    kinds: Sequence[EventKind] = ()
    article_ids: Sequence[str] = ()
    times: Sequence[float] = ()
    dwells: Sequence[float | None] = ()

    @classmethod
    def of(cls, entries: Iterable[HistoryEntry]) -> History:
        """Return the columns of entries."""
        columns = tuple(zip(*entries, strict=True))
        return cls(*columns) if columns else cls()

    def __len__(self) -> int:
        return len(self.article_ids)

    @overload
    def __getitem__(self, at: int) -> HistoryEntry: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[HistoryEntry, ...]: ...
    def __getitem__(self, at: int | slice) -> HistoryEntry | tuple[HistoryEntry, ...]:
        if isinstance(at, slice):
            return tuple([self[i] for i in range(*at.indices(len(self)))])
        return HistoryEntry(self.kinds[at], self.article_ids[at], self.times[at], self.dwells[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Shown:
    """How often, and when last, an article was in this reader's view."""

    article_id: str
    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class ReaderState:
    """Everything that a feed request needs about one reader, read in one round trip.

    `history` has at most 200 entries, oldest first. `read_ids` are the articles clicked in the
    last 30 days (at most 1,000). `reactions` maps each article to like or dislike, and
    `reacted_at` maps it to the time. `moved_to` names the reader to whom this state belongs, if
    the requested id was merged into another. `unit` is the reader's unit in experiments, if that
    is not the reader's id. `attributes` are what the newsroom has stored about the reader.
    """

    preferences: Preferences = field(default_factory=Preferences)
    history: History = History()
    read_ids: frozenset[str] = frozenset()
    shown: tuple[Shown, ...] = ()
    reactions: dict[str, EventKind] = field(default_factory=dict)
    reacted_at: dict[str, float] = field(default_factory=dict)
    hidden_ids: frozenset[str] = frozenset()
    saved_ids: frozenset[str] = frozenset()
    moved_to: str = ""
    unit: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one source adds to an article beside the fields that it fills.

    `sections` begins with the source's own section for the article (empty if it has none).
    `digest` tells whether the source sends the same as before.
    """

    origin: str
    sections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with its vector from the encoder or the publisher.

    Of articles that were read without their body, the last four attributes are empty; of those that
    were read without their vector, `embedding` is, and `article.embedding` is None.

    Attributes:
        article: the article.
        embedding: unit length; shape [d], d may be 0. Not compared, because the attributes that
            it is made from are.
        encoder: what made `embedding`.
        text_hash: hash of the encoded text, so that an unchanged text is not encoded again.
        added_at: when the article was first received, epoch seconds.
        fresh_at: the last real change, or the publication; age counts from it. Epoch seconds.
        owned: the fields that the API has set, which no source overwrites.
        held: those of them that the API's own deliveries do not overwrite either, because an editor
            decided them.
        origins: the sources that sent the article; the first is the main one.
        fillers: by field, which source filled it where the main one had nothing. For
            `published_at` an empty text says that nobody knows it.
    """

    article: Article
    embedding: Matrix = field(compare=False)
    encoder: str
    text_hash: str
    added_at: float
    fresh_at: float = 0.0
    owned: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    origins: tuple[Contribution, ...] = ()
    fillers: Mapping[str, str] = field(default_factory=dict)


class ArticleState(NamedTuple):
    """An article as it is in the store at one moment, for a change that depends on it.

    `digest` names the bytes of `stored`, and is empty if there is none. `is_erased` says that
    the article was erased, so that nothing may be written until it is restored.
    """

    stored: StoredArticle | None
    digest: str
    is_erased: bool


class WriteOutcome(IntEnum):
    """What became of one article that was to be written."""

    ERASED = -1
    CONFLICT = 0
    WRITTEN = 1


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """One step of the catalogue's change log: `article` is None when it was deleted.

    The `article` here carries no body (`body == ""`): ranking does not need it.
    """

    article_id: str
    stored: StoredArticle | None


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Catalogue changes after a position; `gap` means that the log no longer reaches back to it."""

    position: str
    changes: tuple[CatalogueChange, ...]
    gap: bool = False


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key that lives in the store: its SHA-256 (hex) and what it may do."""

    name: str
    scope: str
    digest: str
    created_at: float


class RecordType(StrEnum):
    """The kind of a stream record."""

    EVENT = "event"
    SERVED = "served"
    ERASE = "erase"
    IDENTITY = "identity"


class StreamRecord(NamedTuple):
    """One record of a partition's stream, in the order in which it was acknowledged.

    `payload` is a JSON object as bytes. For an event it holds the event's fields plus `first`
    (true on this reader's first click on this article), `previous` (article ids of the reader's
    last clicks before this one, newest first, at most 10, each as [article_id, occurred_at]),
    and `likes`/`dislikes` (what this event changes in the article's totals: -1, 0 or 1). A
    click that did not come from a trusted caller has `network` and `fresh` too (see
    `domain.Origin`).

    An identity record says that `from_id` was merged into `to_id` at `merged_at`. The ids are
    empty if either reader has personalisation off. `keeps_unit_of` says which of the two (`from`
    or `to`) continues in the experiments. Because two readers have become one, some counts are
    taken back: `clicks` are the clicks that are no longer first clicks, each as [article_id,
    occurred_at, answered a feed, below an article], and `reactions` are those that leave the
    totals, each as [article_id, reacted_at, likes, dislikes].

    An erase record says that the reader `user_id` was erased, and which `reactions` leave the
    totals, each as [article_id, likes, dislikes].
    """

    stream_id: str
    type: RecordType
    payload: bytes
