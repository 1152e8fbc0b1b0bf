"""What the rest of the project may ask of state, as protocols and the records they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, overload

from feed.arrays import Matrix
from feed.domain import Article, Event, EventKind, Origin, Pin, Preferences, ServedFeed


class Outcome(StrEnum):
    """What became of one event given to `append_events`."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge came to: the reader, and whether this call made the id theirs."""

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
    """A reader's engagements as columns of one length: a request needs them as arrays anyway."""

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
    """Everything a feed request needs of one reader, read in one round trip.

    `history` is oldest first, at most 200 entries; `read_ids` the articles clicked in the last
    30 days (at most 1,000); `reactions` maps article to like or dislike, `reacted_at` to when.
    `moved_to` names the reader whose state this is, where the id asked for was merged into
    another; `unit` is what experiments know the reader by, where that is not the reader's id.
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


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with the vector the encoder (or the publisher) gave it.

    `encoder` names what made `embedding` (unit length; shape [d], d may be 0); `text_hash` is of
    the text that was encoded, so an unchanged text is not encoded again. `added_at` is when the
    article first came (epoch seconds).
    """

    article: Article
    embedding: Matrix
    encoder: str
    text_hash: str
    added_at: float


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """One step of the catalogue's change log: `article` is None when it was deleted.

    The `article` here carries no body (`body == ""`): ranking does not need it.
    """

    article_id: str
    stored: StoredArticle | None


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Catalogue changes after a position. `gap` says the log no longer reaches back to it."""

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
    """What a stream record is."""

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

    An identity record says that `from_id` was merged into `to_id` at `merged_at` (ids are empty
    where either reader has personalisation off), and `keeps_unit_of` which of the two (`from` or
    `to`) goes on in the experiments. Two readers have become one: `clicks` are first clicks that
    are none any more, each as [article_id, occurred_at, answered a feed, below an article], and
    `reactions` what leaves the totals, each as [article_id, reacted_at, likes, dislikes].
    """

    stream_id: str
    type: RecordType
    payload: bytes


class ReaderStore(Protocol):
    """State of readers; all keys of one reader live in one partition."""

    def read_reader(self, user_id: str) -> ReaderState:
        """Return what is known of a reader; an unknown reader has the empty state."""
        ...

    def read_for_feed(self, user_id: str) -> tuple[ReaderState, str | None]:
        """Return `read_reader` and the catalogue's position, None if another node holds that."""
        ...

    def read_for_page(
        self, user_id: str, request_id: str
    ) -> tuple[ServedFeed | None, ReaderState, str | None]:
        """Return the slate behind a cursor (None: gone) and what a later page needs besides.

        Of the reader only preferences, likes and dislikes; the catalogue's position as
        `read_for_feed`.
        """
        ...

    def read_preferences(self, user_id: str) -> Preferences:
        """Return a reader's preferences alone, without touching any history."""
        ...

    def read_choices(self, user_id: str) -> ReaderState:
        """Return a reader's preferences, `moved_to` and `unit`, without touching any history."""
        ...

    def resolve(self, user_id: str) -> str:
        """Return the reader that an id was merged into, else the id itself."""
        ...

    def merge_reader(self, from_id: str, to_id: str, at: float) -> Merge:
        """Make everything held on one id another reader's; doing it again changes nothing."""
        ...

    def write_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Replace a reader's preferences."""
        ...

    def append_events(self, events: Sequence[Event], origin: Origin | None = None) -> list[Outcome]:
        """Take events: deduplicate, append to the stream and update the readers, atomically.

        One atomic script per partition. When this returns, every accepted event is in the store.
        Readers with personalisation off keep no history (the event still counts for articles).
        `origin` is where all of them came from, None for a trusted caller.
        """
        ...

    def save_served(self, served: ServedFeed, *, new_slate: bool) -> None:
        """Append the exposure record to the stream and, if new, keep the slate for paging."""
        ...

    def begin_save(self, served: ServedFeed, *, new_slate: bool) -> Callable[[], None]:
        """Send what `save_served` keeps, and return what waits until it is kept.

        What is returned must be called; meanwhile the caller may do other work.
        """
        ...

    def export_reader(self, user_id: str) -> dict[str, Any]:
        """Return everything the store holds on a reader, JSON-ready."""
        ...

    def erase_reader(self, user_id: str) -> None:
        """Delete the keys of a reader and of every id merged in, and tell the archive."""
        ...


class CatalogueStore(Protocol):
    """Articles, pins and their change log."""

    def write_articles(self, articles: Sequence[StoredArticle]) -> None:
        """Insert or replace articles and log the changes, atomically."""
        ...

    def read_articles(self, article_ids: Sequence[str]) -> list[StoredArticle | None]:
        """Return articles whole (with body), None for unknown ones, in the order asked."""
        ...

    def delete_articles(self, article_ids: Sequence[str]) -> int:
        """Remove articles for good, logging the change; return how many there were."""
        ...

    def scan_articles(self) -> Iterator[StoredArticle]:
        """Yield every article without its body."""
        ...

    def catalogue_position(self) -> str:
        """Return the newest position of the change log ("0-0" when empty)."""
        ...

    def changes_after(self, position: str) -> ChangeBatch:
        """Return the catalogue changes after a position."""
        ...

    def read_pins(self) -> list[Pin]:
        """Return every pin that has not ended."""
        ...

    def write_pins(self, pins: Sequence[Pin]) -> None:
        """Replace the pins."""
        ...


class StreamStore(Protocol):
    """The event streams, one per partition, and what the worker publishes from them."""

    @property
    def partitions(self) -> int:
        """Number of reader partitions."""
        ...

    def read_stream(self, partition: int, after_id: str, count: int) -> list[StreamRecord]:
        """Return at most `count` records after a stream id ("0-0": from the start)."""
        ...

    def trim_stream(self, partition: int, up_to_id: str) -> None:
        """Drop the records up to and including a stream id."""
        ...

    def stream_length(self, partition: int) -> int:
        """Return how many records wait in a partition's stream."""
        ...

    def acquire_lease(self, name: str, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease; False while another owner holds it."""
        ...

    def lease_holder(self, name: str) -> str | None:
        """Return who holds a lease now, or None."""
        ...

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back if `owner` holds it."""
        ...

    def write_blob(self, name: str, data: bytes) -> None:
        """Keep one named blob (counters checkpoint, trending snapshot ...)."""
        ...

    def read_blob(self, name: str) -> bytes | None:
        """Return a named blob, or None."""
        ...

    def append_delta(self, data: bytes, keep: int) -> str:
        """Append a counters delta for the web processes, keeping the last `keep`; return its id."""
        ...

    def read_deltas(self, after_id: str) -> list[tuple[str, bytes]]:
        """Return the counters deltas after an id, oldest first."""
        ...


class ControlStore(Protocol):
    """Experiments, secrets and limits."""

    def read_experiments(self) -> dict[str, dict[str, Any]]:
        """Return every experiment definition by name."""
        ...

    def write_experiment(self, name: str, definition: dict[str, Any], *, version: int) -> None:
        """Write a definition if the stored version is `version - 1`.

        Raises:
            ConflictError: somebody else changed it meanwhile.
        """
        ...

    def secret(self, name: str) -> bytes:
        """Return an installation secret of 32 bytes, made at first use."""
        ...

    def read_keys(self) -> list[StoredKey]:
        """Return the API keys that live in the store, by name."""
        ...

    def add_key(self, key: StoredKey) -> None:
        """Keep an API key.

        Raises:
            ConflictError: there is one of this name.
        """
        ...

    def remove_key(self, name: str) -> bool:
        """Drop an API key; return whether there was one."""
        ...

    def read_key_uses(self) -> dict[str, float]:
        """Return when keys were last used, by name, epoch seconds."""
        ...

    def write_key_uses(self, used: Mapping[str, float]) -> None:
        """Note when keys were used, by name, epoch seconds."""
        ...

    def daily_salt(self, day: int) -> bytes:
        """Return the random salt of a day (days since 1970), which the store forgets in a day."""
        ...

    def count_hit(self, name: str, window_s: int) -> int:
        """Count one hit for a limit's name in the present window; return the count so far."""
        ...

    def ping(self) -> None:
        """Return if the store answers.

        Raises:
            StoreUnavailableError: it does not.
        """
        ...


class Store(ReaderStore, CatalogueStore, StreamStore, ControlStore, Protocol):
    """All of state."""
