"""Readers in the store: state, preferences, events and slates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from feed.domain import ConflictError, Event, Origin, ServedFeed
from feed.preferences import Preferences
from feed.storage import scripts
from feed.storage.event_codec import (
    decode_attributes,
    decode_history,
    decode_preferences,
    decode_reactions,
    decode_shown,
    decode_slate,
    encode_attributes,
    encode_exposure,
    encode_preferences,
    encode_slate,
    event_arguments,
    reader_moved_to,
)
from feed.storage.key_names import DAY_S, PREFERENCES_TTL_S, SEEN_TTL_S, SLATES_MAX
from feed.storage.link import ScriptCall
from feed.storage.part import HOPS_MAX, StorePart, newest_entry, position_of
from feed.storage.records import Outcome, ReaderState

AT_ONCE = 40
"""Events of one round trip, and so of one script call, at most: the store does all that one
connection has sent before it turns to the next, and a feed waits for that."""

CLOCK_JUMP_S = 7200
"""How far a clock that is set back may cross midnight without an event counting twice."""

_MOVED = ord("2")
_OUTCOMES = {
    ord("1"): Outcome.ACCEPTED,
    ord("0"): Outcome.DUPLICATE,
    _MOVED: Outcome.DUPLICATE,  # until the reader's partition answers
}


class ReaderPart(StorePart):
    """What feed requests and events read and write about one reader.

    A reader has up to ten small keys in one partition. If an id was merged into another reader,
    one more round trip finds that reader.
    """

    def read_reader(self, user_id: str) -> ReaderState:
        """Return what is known about a reader; an unknown reader has the empty state."""
        return self.read_for_feed(user_id)[0]

    def read_for_feed(self, user_id: str) -> tuple[ReaderState, str | None]:
        """Return `read_reader` and the catalogue's position, None if another node holds that."""
        replies, position, reader = self._read_following(user_id, self._read_commands)
        history, read, shown, marks, hidden, saved, (preferences, unit, attributes) = replies
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
            moved_to=reader if reader != user_id else "",
            unit=unit.decode() if unit else "",
            attributes=decode_attributes(attributes),
        )
        return state, position

    def read_for_page(
        self, user_id: str, request_id: str
    ) -> tuple[ServedFeed | None, ReaderState, str | None]:
        """Return the slate behind a cursor (None: gone) and what else a later page needs.

        The reader's state has only preferences, likes, dislikes and hides; the position is as in
        `read_for_feed`.
        """
        replies, position, reader = self._read_following(
            user_id,
            lambda reader: [
                ("GET", self._keys.slate(reader, request_id)),
                ("ZRANGE", self._keys.reader("m", reader), 0, -1, "WITHSCORES"),
                ("ZRANGE", self._keys.reader("x", reader), 0, -1),
                self._choices_command(reader),
            ],
        )
        slate, marks, hidden, choices = replies
        state = _chosen(user_id, reader, choices, marks, hidden)
        return None if slate is None else decode_slate(slate), state, position

    def read_preferences(self, user_id: str) -> Preferences:
        """Return only a reader's preferences, without reading any history."""
        return self.read_choices(user_id).preferences

    def read_choices(self, user_id: str) -> ReaderState:
        """Return a reader's preferences, attributes, `moved_to` and `unit`, without any history."""
        (choices,), _, reader = self._read_following(
            user_id, lambda reader: [self._choices_command(reader)], positioned=False
        )
        return _chosen(user_id, reader, choices)

    def write_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Replace a reader's preferences.

        Switching personalisation off deletes the history, and the slates that were ranked by it.
        """
        data = encode_preferences(preferences)
        self._write(user_id, scripts.WRITE_PREFERENCES, ("pref", "h", "r", "v", "slates"), data)

    def write_attributes(self, user_id: str, attributes: Mapping[str, str]) -> None:
        """Replace what the newsroom knows of a reader; it is kept for 400 days."""
        data = encode_attributes(attributes)
        self._write(user_id, scripts.WRITE_ATTRIBUTES, ("pref", "t"), data)

    def _write(
        self, user_id: str, script: scripts.Script, kinds: Sequence[str], data: bytes
    ) -> None:
        """Replace something of the reader that an id is; the script answers where it moved."""
        self._check_layout()
        for _ in range(HOPS_MAX):
            names = tuple(self._keys.reader(kind, user_id) for kind in kinds)
            call = ScriptCall(script, names, (data, PREFERENCES_TTL_S))
            user_id = reader_moved_to(self._link.scripts([call])[0])
            if not user_id:
                return
        raise ConflictError("the reader was merged too many times in a row")

    def append_events(self, events: Sequence[Event], origin: Origin | None = None) -> list[Outcome]:
        """Accept events: deduplicate, append to the stream and update the readers, atomically.

        One atomic script for each partition and 40 events, and a round trip for as many. An event
        id is recognised for at least 24 hours. When this returns, the store has every accepted
        event. Readers with personalisation off keep no history; their events still count for
        articles. If this raises, some partitions may have their events; sending all of them again
        is safe.

        Args:
            events: of any readers.
            origin: where all of them came from; None for a trusted caller.

        Raises:
            StoreUnavailableError: the store is away, full, or the worker is too far behind.
        """
        self._check_layout()
        outcomes, moved = self._append(events, origin)
        for _ in range(HOPS_MAX):
            if not moved:
                return outcomes
            places = [*moved]
            following = [replace(events[i], user_id=reader) for i, reader in moved.items()]
            found, further = self._append(following, origin)
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = outcome
            moved = {places[i]: reader for i, reader in further.items()}
        raise ConflictError("a reader was merged too many times in a row")

    def _append(
        self, events: Sequence[Event], origin: Origin | None
    ) -> tuple[list[Outcome], dict[int, str]]:
        """Take events of readers; of ids that were merged return which reader they belong to.

        Returns:
            What became of each event, and the places and readers of those with which nothing was
            done because their id was merged.
        """
        groups: dict[int, list[int]] = {}
        for index, event in enumerate(events):
            groups.setdefault(self._keys.partition(event.user_id), []).append(index)
        calls, places = [], []
        for partition, indexes in groups.items():
            for start in range(0, len(indexes), AT_ONCE):
                chunk = indexes[start : start + AT_ONCE]
                calls.append(self._append_call(partition, [events[i] for i in chunk], origin))
                places.append(chunk)
        outcomes = [Outcome.DUPLICATE] * len(events)
        moved: dict[int, str] = {}
        calls_at_once = AT_ONCE // max(map(len, places), default=1)
        results = self._link.scripts(calls, calls_at_once)
        for chunk, result in zip(places, results, strict=True):
            flags = result
            if isinstance(result, list):
                flags, *readers = result
                reader_of = dict(zip(readers[::2], readers[1::2], strict=True))
                moved |= {
                    i: reader_of[events[i].user_id.encode()].decode()
                    for i, flag in zip(chunk, flags, strict=True)
                    if flag == _MOVED
                }
            for index, flag in zip(chunk, flags, strict=True):
                outcomes[index] = _OUTCOMES[flag]
        return outcomes, moved

    def save_served(self, served: ServedFeed, *, new_slate: bool) -> None:
        """Append the exposure record to the stream and, if new, keep the slate for paging.

        The newest five slates of a reader are kept. A reader with personalisation off is not
        named in the record (`user_id` is empty).
        """
        self.begin_save(served, new_slate=new_slate)()

    def begin_save(self, served: ServedFeed, *, new_slate: bool) -> Callable[[], None]:
        """Send what `save_served` stores, and return a function that waits until it is stored.

        The caller must call that function, and may do other work before that.
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
        # The slate goes past Lua, which would copy it twice.
        slate = [("SET", slate_key, encode_slate(served), "EX", ttl_s)] if new_slate else []
        return self._link.begin(slate, call)

    def _read_following(
        self,
        user_id: str,
        commands_of: Callable[[str], list[tuple[Any, ...]]],
        *,
        positioned: bool = True,
    ) -> tuple[list[Any], str | None, str]:
        """Return the replies of the reader that an id is, the catalogue's position, the reader.

        The last command is `_choices_command`, which says whether the id was merged.
        """
        self._check_layout()
        for _ in range(HOPS_MAX):
            commands = commands_of(user_id)
            key = commands[-1][1]
            if positioned:
                replies, position = self._read_with_position(key, commands)
            else:
                replies, position = self._link.pipeline(key, commands), None
            target = reader_moved_to(replies[-1][0])
            if not target:
                return replies, position, user_id
            user_id = target
        raise ConflictError("the reader was merged too many times in a row")

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
            self._choices_command(user_id),
        ]

    def _choices_command(self, user_id: str) -> tuple[str, ...]:
        prefix = self._keys.reader_prefix(self._keys.partition(user_id))
        return ("MGET", *(f"{prefix}{kind}:{user_id}" for kind in ("pref", "i", "t")))

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


def _texts(members: Sequence[bytes]) -> frozenset[str]:
    return frozenset([member.decode() for member in members])


def _chosen(
    user_id: str,
    reader: str,
    choices: list[bytes | None],
    marks: Sequence[bytes] = (),
    hidden: Sequence[bytes] = (),
) -> ReaderState:
    """Return a reader's state without history: what was chosen, identity and attributes."""
    preferences, unit, attributes = choices
    kinds, times = decode_reactions(marks)
    return ReaderState(
        preferences=decode_preferences(preferences),
        reactions=kinds,
        reacted_at=times,
        hidden_ids=_texts(hidden),
        moved_to=reader if reader != user_id else "",
        unit=unit.decode() if unit else "",
        attributes=decode_attributes(attributes),
    )
