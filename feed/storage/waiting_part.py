"""Events whose article has not come yet: a page may be open before its article is sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import orjson

from feed.domain import Event, EventKind, Origin
from feed.storage import scripts
from feed.storage.event_codec import event_digest
from feed.storage.key_names import WAITING_MAX
from feed.storage.link import ScriptCall
from feed.storage.reader_part import ReaderPart
from feed.storage.records import Outcome

WAITING_HOURS = 6
"""How long an event waits for its article."""

_SCAN_COUNT = 1000
_GLOB = re.compile(r"[*?\[\]\\]")
_HELD = {ord("w"): Outcome.WAITING, ord("f"): Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits, the field of the hash that holds it, and where it came from."""

    field: bytes
    event: Event
    origin: Origin | None


class WaitingPart(ReaderPart):
    """Keeps events without an article for some hours, and takes them in when the article comes.

    An event is first appended to the log and then forgotten here. If that is interrupted, it is
    done again, and the digest of the event keeps it from counting twice.
    """

    waiting_max = WAITING_MAX
    """How many events may wait."""

    def hold_events(
        self, events: Sequence[Event], origin: Origin | None = None
    ) -> list[Outcome | None]:
        """Keep events whose article is unknown; return None for those whose article has come.

        The caller appends those. An event that waits already goes on waiting.

        Args:
            events: of any readers.
            origin: where all of them came from; None for a trusted caller.

        Raises:
            StoreUnavailableError: the store is away or full.
        """
        args: list[Any] = [self.waiting_max]
        for event in events:
            args += [event.article_id, _field(event), _encode_waiting(event, origin)]
        keys = (self._keys.catalogue("meta"), self._keys.catalogue("waiting"))
        (flags,) = self._link.scripts([ScriptCall(scripts.HOLD_EVENTS, keys, tuple(args))])
        return [_HELD.get(flag) for flag in flags]

    def release_events(self, article_ids: Collection[str], now: float) -> int:
        """Append the events that wait for articles which now exist; return how many.

        Each keeps the time at which it occurred, and counts as received now.

        Raises:
            StoreUnavailableError: the store is away or full; the events go on waiting.
        """
        if not self.count_waiting():
            return 0
        return sum(self._take(list(self._waiting_for(one)), now) for one in article_ids)

    def settle_waiting(self, now: float) -> tuple[int, int]:
        """Append what was left when its article came, and drop what has waited too long.

        Returns:
            How many events were appended, and how many were dropped.

        Raises:
            StoreUnavailableError: the store is away or full; call again later.
        """
        if not self.count_waiting():
            return 0, 0
        waiting = list(self.read_waiting())
        ids = list({one.event.article_id for one in waiting})
        meta = self._keys.catalogue("meta")
        present = {
            article_id
            for article_id, there in zip(
                ids, self._bulk.pipeline(meta, [("HEXISTS", meta, i) for i in ids]), strict=True
            )
            if there
        }
        ripe = [one for one in waiting if one.event.article_id in present]
        oldest = now - WAITING_HOURS * 3600
        late = [
            one
            for one in waiting
            if one.event.article_id not in present and one.event.received_at < oldest
        ]
        self._forget(late)
        return self._take(ripe, now), len(late)

    def count_waiting(self) -> int:
        """Return how many events wait."""
        key = self._keys.catalogue("waiting")
        count: int = self._link.call(key, "HLEN", key)
        return count

    def read_waiting(self, pattern: str = "*") -> Iterator[WaitingEvent]:
        """Yield the events that wait, in no order; `pattern` is a glob of their fields."""
        key = self._keys.catalogue("waiting")
        cursor: Any = b"0"
        seen: set[bytes] = set()
        while True:
            cursor, pairs = self._bulk.call(
                key, "HSCAN", key, cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT
            )
            for field, data in zip(pairs[::2], pairs[1::2], strict=True):
                if field not in seen:  # a growing hash may show a field twice
                    seen.add(field)
                    yield _decode_waiting(field, data)
            if cursor == b"0":
                return

    def drop_waiting(self, user_ids: Collection[str]) -> None:
        """Forget the events of readers."""
        if self.count_waiting():
            self._forget([one for one in self.read_waiting() if one.event.user_id in user_ids])

    def _waiting_for(self, article_id: str) -> Iterator[WaitingEvent]:
        return self.read_waiting(_GLOB.sub(r"\\\g<0>", article_id) + " *")

    def _take(self, waiting: list[WaitingEvent], now: float) -> int:
        waiting.sort(key=lambda one: (repr(one.origin), one.event.occurred_at))
        for _, group in groupby(waiting, key=lambda one: repr(one.origin)):
            alike = list(group)
            events = [replace(one.event, received_at=now) for one in alike]
            self.append_events(events, alike[0].origin)
            self._forget(alike)
        return len(waiting)

    def _forget(self, waiting: Sequence[WaitingEvent]) -> None:
        if waiting:
            key = self._keys.catalogue("waiting")
            self._link.call(key, "HDEL", key, *(one.field for one in waiting))


def _field(event: Event) -> bytes:
    return f"{event.article_id} {event_digest(event).hex()}".encode()


def _encode_waiting(event: Event, origin: Origin | None) -> bytes:
    return orjson.dumps([asdict(event), None if origin is None else asdict(origin)])


def _decode_waiting(field: bytes, data: bytes) -> WaitingEvent:
    values, origin = orjson.loads(data)
    event = Event(**{**values, "kind": EventKind(values["kind"])})
    return WaitingEvent(field, event, None if origin is None else Origin(**origin))
