"""Readers in the store: state, events, slates, export and erasure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from feed.domain import Event, Origin, Preferences, ServedFeed
from feed.storage import scripts
from feed.storage.change_log import newest_entry, position_of
from feed.storage.event_codec import (
    decode_history,
    decode_preferences,
    decode_reactions,
    decode_shown,
    decode_slate,
    encode_exposure,
    encode_preferences,
    encode_slate,
    event_arguments,
)
from feed.storage.keys import DAY_S, PREFERENCES_TTL_S, SEEN_TTL_S, SLATES_MAX
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.store import Outcome, ReaderState

CHUNK = 200
"""Events of one script call: few enough that no call holds the store for long."""

CLOCK_JUMP_S = 7200
"""How far a clock that is set back may cross midnight without an event counting twice."""

_OUTCOMES = {ord("1"): Outcome.ACCEPTED, ord("0"): Outcome.DUPLICATE}
_READER_KEYS = ("h", "r", "v", "m", "x", "s", "pref")


class ReaderPart(StorePart):
    """The `ReaderStore` protocol. A reader has up to seven small keys in one partition."""

    def read_reader(self, user_id: str) -> ReaderState:
        """Return what is known of a reader; an unknown reader has the empty state."""
        return self.read_for_feed(user_id)[0]

    def read_for_feed(self, user_id: str) -> tuple[ReaderState, str | None]:
        """Return `read_reader` and the catalogue's position, None if another node holds that."""
        self._check_layout()
        key = self._keys.reader("h", user_id)
        replies, position = self._read_with_position(key, self._read_commands(user_id))
        history, read, shown, marks, hidden, saved, preferences = replies
        kinds, times = decode_reactions(marks)
        state = ReaderState(
            preferences=decode_preferences(preferences),
            history=decode_history(history),
            read_ids=_texts(read),
            shown=decode_shown(shown),
            reactions=kinds,
            reacted_at=times,
            hidden_ids=_texts(hidden),
            saved_ids=_texts(saved),
        )
        return state, position

    def read_for_page(
        self, user_id: str, request_id: str
    ) -> tuple[ServedFeed | None, ReaderState, str | None]:
        """Return the slate behind a cursor (None: gone) and what a later page needs besides.

        Of the reader only preferences, likes and dislikes; the catalogue's position as
        `read_for_feed`.
        """
        self._check_layout()
        slate_key = self._keys.slate(user_id, request_id)
        marks_key, wishes_key = (self._keys.reader(kind, user_id) for kind in ("m", "pref"))
        commands = [
            ("GET", slate_key),
            ("ZRANGE", marks_key, 0, -1, "WITHSCORES"),
            ("GET", wishes_key),
        ]
        (slate, marks, preferences), position = self._read_with_position(slate_key, commands)
        kinds, times = decode_reactions(marks)
        state = ReaderState(
            preferences=decode_preferences(preferences), reactions=kinds, reacted_at=times
        )
        return None if slate is None else decode_slate(slate), state, position

    def read_preferences(self, user_id: str) -> Preferences:
        """Return a reader's preferences alone, without touching any history."""
        self._check_layout()
        key = self._keys.reader("pref", user_id)
        return decode_preferences(self._link.call(key, "GET", key))

    def write_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Replace a reader's preferences; switching personalisation off deletes the history."""
        self._check_layout()
        key = self._keys.reader("pref", user_id)
        commands: list[tuple[Any, ...]] = [
            ("SET", key, encode_preferences(preferences), "EX", PREFERENCES_TTL_S)
        ]
        if not preferences.personalization:
            commands += [("DEL", self._keys.reader(kind, user_id)) for kind in ("h", "r", "v")]
        self._link.pipeline(key, commands)

    def append_events(self, events: Sequence[Event], origin: Origin | None = None) -> list[Outcome]:
        """Take events: deduplicate, append to the stream and update the readers, atomically.

        One atomic script for each partition and 200 events; all in one round trip. An event id
        is recognised for at least 24 hours. If this raises, some partitions may have taken their
        events; sending all of them again is safe.

        Raises:
            StoreUnavailableError: the store is away, full, or the worker is too far behind.
        """
        self._check_layout()
        groups: dict[int, list[int]] = {}
        for index, event in enumerate(events):
            groups.setdefault(self._keys.partition(event.user_id), []).append(index)
        calls, places = [], []
        for partition, indexes in groups.items():
            for start in range(0, len(indexes), CHUNK):
                chunk = indexes[start : start + CHUNK]
                calls.append(self._append_call(partition, [events[i] for i in chunk], origin))
                places.append(chunk)
        outcomes = [Outcome.DUPLICATE] * len(events)
        for chunk, result in zip(places, self._link.scripts(calls), strict=True):
            for index, flag in zip(chunk, result, strict=True):
                outcomes[index] = _OUTCOMES[flag]
        return outcomes

    def save_served(self, served: ServedFeed, *, new_slate: bool) -> None:
        """Append the exposure record to the stream and, if new, keep the slate for paging.

        The newest five slates of a reader are kept. A reader with personalisation off is not
        named in the record (`user_id` is empty).
        """
        self.begin_save(served, new_slate=new_slate)()

    def begin_save(self, served: ServedFeed, *, new_slate: bool) -> Callable[[], None]:
        """Send what `save_served` keeps, and return what waits until it is kept.

        What is returned must be called; meanwhile the caller may do other work.
        """
        self._check_layout()
        user_id, keys = served.user_id, self._keys
        slate_key = keys.slate(user_id, served.request_id)
        ttl_s = self._settings.slate_ttl_minutes * 60
        call = ScriptCall(
            scripts.SAVE_SERVED,
            (
                keys.stream(keys.partition(user_id)),
                keys.reader("pref", user_id),
                slate_key,
                keys.reader("slates", user_id),
            ),
            (
                self._stream_bound,
                encode_exposure(served),
                user_id,
                int(new_slate),
                ttl_s,
                SLATES_MAX,
            ),
        )
        # The slate goes past Lua, which would copy its 15 kB twice.
        slate = [("SET", slate_key, encode_slate(served), "EX", ttl_s)] if new_slate else []
        return self._link.begin(slate, call)

    def export_reader(self, user_id: str) -> dict[str, Any]:
        """Return everything the store holds on a reader, JSON-ready (times in epoch seconds)."""
        state = self.read_reader(user_id)
        key = self._keys.reader("slates", user_id)
        slate_keys = self._link.call(key, "LRANGE", key, 0, -1)
        slates = self._link.pipeline(key, [("GET", k) for k in slate_keys]) if slate_keys else []
        return {
            "user_id": user_id,
            **_as_json(state),
            "slates": [_as_json(decode_slate(data)) for data in slates if data],
        }

    def erase_reader(self, user_id: str) -> None:
        """Delete a reader's keys and append an erase record for the archive."""
        self._check_layout()
        keys = self._keys
        names = (
            keys.stream(keys.partition(user_id)),
            keys.reader("slates", user_id),
            *(keys.reader(kind, user_id) for kind in _READER_KEYS),
        )
        record = orjson.dumps({"user_id": user_id, "requested_at": time.time()})
        self._link.scripts([ScriptCall(scripts.ERASE_READER, names, (record,))])

    def _read_with_position(
        self, key: str, commands: list[tuple[Any, ...]]
    ) -> tuple[list[Any], str | None]:
        """Return replies and, where the same node has it, the newest position of the change log."""
        changes = self._keys.catalogue("changes")
        if not self._link.on_one_node(key, changes):
            return self._link.pipeline(key, commands), None
        *replies, newest = self._link.pipeline(key, [*commands, newest_entry(changes)])
        return replies, position_of(newest)

    def _read_commands(self, user_id: str) -> list[tuple[Any, ...]]:
        prefix = self._keys.reader_prefix(self._keys.partition(user_id))
        return [
            ("LRANGE", f"{prefix}h:{user_id}", 0, -1),
            ("ZRANGE", f"{prefix}r:{user_id}", 0, -1),
            ("ZRANGE", f"{prefix}v:{user_id}", 0, -1, "WITHSCORES"),
            ("ZRANGE", f"{prefix}m:{user_id}", 0, -1, "WITHSCORES"),
            ("ZRANGE", f"{prefix}x:{user_id}", 0, -1),
            ("ZRANGE", f"{prefix}s:{user_id}", 0, -1),
            ("GET", f"{prefix}pref:{user_id}"),
        ]

    def _append_call(
        self, partition: int, events: list[Event], origin: Origin | None
    ) -> ScriptCall:
        day, second = divmod(max(event.received_at for event in events), DAY_S)
        # Near midnight the clock may have been set back from tomorrow.
        days = (0, -1, 1) if second > DAY_S - CLOCK_JUMP_S else (0, -1)
        keys = self._keys
        args: list[Any] = [
            keys.reader_prefix(partition),
            self._settings.reader_ttl_days * DAY_S,
            SEEN_TTL_S,
            self._stream_bound,
            PREFERENCES_TTL_S,
        ]
        for event in events:
            args += event_arguments(event, origin)
        names = (keys.stream(partition), *(keys.seen(partition, int(day) + d) for d in days))
        return ScriptCall(scripts.APPEND_EVENTS, names, tuple(args))


def _texts(members: list[bytes]) -> frozenset[str]:
    return frozenset([member.decode() for member in members])


def _as_json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, _as_plain, orjson.OPT_PASSTHROUGH_DATACLASS))


def _as_plain(value: Any) -> Any:
    """Return what orjson does not know as what it knows."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Sequence):
        return list(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(type(value).__name__)
