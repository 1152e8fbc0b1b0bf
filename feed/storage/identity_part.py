"""Merges one reader into another in the store, in steps that may each be interrupted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson

from feed.domain import ConflictError, InvalidInputError
from feed.storage import scripts
from feed.storage.event_codec import decode_noted_ids, reader_moved_to
from feed.storage.key_names import DAY_S, MERGED_MAX, PREFERENCES_TTL_S
from feed.storage.link import ScriptCall
from feed.storage.part import HOPS_MAX, StorePart
from feed.storage.records import Merge

DEADLINE_S = 30.0
"""How long after its begin a merge may still make the id point to the reader."""
PATIENCE_S = 2 * DEADLINE_S
"""How long a merge that has begun keeps its reader from being merged into another one."""

_HELD = ("a", "h", "r", "v", "m", "x", "s", "u")
_NAMES = ("merged", "history", "read", "shown", "reactions", "hidden", "saved", "undone")


@dataclass(frozen=True, slots=True)
class _Held:
    """What was held on an id when it was left: where it points, since when (ms), and its keys."""

    reader: str
    at_ms: int
    data: bytes


class IdentityPart(StorePart):
    """Which reader an id belongs to, and the merge of one id into another.

    The two ids of a merge may live on different nodes, so a merge takes four atomic steps:

    1. The reader notes that the id is coming, so that an erasure of the reader finds it.
    2. The id is made to point to the reader. From then on, events and requests go to the reader.
    3. What was held on the id is added to what is held on the reader. The same step appends the
       identity record and marks the note as done.
    4. The rest of the id's keys is deleted.

    Each step changes nothing the second time. So a merge that was interrupted at any point is
    completed by a repeated request.
    """

    def resolve(self, user_id: str) -> str:
        """Return the reader that an id was merged into, else the id itself."""
        self._check_layout()
        for _ in range(HOPS_MAX):
            target = self._pointed_to(user_id)
            if not target:
                return user_id
            user_id = target
        raise ConflictError(f"{user_id} was merged too many times in a row")

    def read_merged_ids(self, user_id: str) -> dict[str, float]:
        """Return the ids merged into a reader, and when each was (epoch seconds)."""
        return {i: at for i, at in self.read_noted_ids(user_id).items() if at > 0}

    def read_noted_ids(self, user_id: str) -> dict[str, float]:
        """Return the ids noted as merged in: when, below 0 where the merge is not done."""
        key = self._keys.reader("a", user_id)
        return decode_noted_ids(self._link.call(key, "ZRANGE", key, 0, -1, "WITHSCORES"))

    def merge_reader(self, from_id: str, to_id: str, at: float) -> Merge:
        """Move everything held on one id to a reader; a repeated call changes nothing.

        History, clicks, impressions, reactions, marks, preferences and attributes move (what was
        known of the reader already counts before the id's attributes); slates are dropped. If
        the reader was merged into another, that other reader gets everything. If this raises
        `StoreUnavailableError`, some steps may be done; another call does the rest.

        Args:
            from_id: the id that becomes the reader's, known or not.
            to_id: the reader.
            at: now, epoch seconds.

        Returns:
            The final reader, and whether it was this call that merged the id.

        Raises:
            InvalidInputError: both are one id.
            ConflictError: the id belongs to another reader already, the reader was merged into
                it, another merge of it is under way, or too many ids were merged.
            StoreUnavailableError: the store does not answer.
        """
        if from_id == to_id:
            raise InvalidInputError("from", "must be another id than the reader's own")
        deadline = time.monotonic() + DEADLINE_S
        target, present = self.resolve(to_id), self.resolve(from_id)
        if target == from_id:
            raise ConflictError(f"{to_id} was merged into {from_id} already")
        for _ in range(HOPS_MAX):
            if present not in (from_id, target):
                raise ConflictError(f"{from_id} was merged into another reader already")
            found = self._merge_into(from_id, target, round(at * 1000), deadline)
            if isinstance(found, Merge):
                return found
            target, present = self.resolve(found), self.resolve(from_id)
        raise ConflictError(f"{to_id} is being merged again and again")

    def _merge_into(self, from_id: str, to_id: str, at_ms: int, deadline: float) -> Merge | str:
        """Go through the steps; return what came of it, or the reader that `to_id` has become."""
        word, *rest = self._begin(from_id, to_id, at_ms)
        if word == b"moved":
            return rest[0].decode()
        if word == b"full":
            raise ConflictError(f"more than {MERGED_MAX // 2} ids were merged into {to_id}")
        if word == b"done":
            self._finish(from_id, self._pointed_to(from_id))
            return Merge(to_id, is_new=False)
        held = self._leave(from_id, to_id, at_ms, deadline)
        if self.resolve(held.reader) != to_id:
            self._cancel(from_id, to_id)
            return self.resolve(to_id)
        word, *rest = self._join(from_id, to_id, held)
        if word == b"moved":
            return rest[0].decode()
        if word == b"gone":
            raise ConflictError(f"{to_id} was erased while {from_id} was merged in; try again")
        self._finish(from_id, held.reader)
        return Merge(to_id, is_new=word == b"joined")

    def _begin(self, from_id: str, to_id: str, at_ms: int) -> list[bytes]:
        keys = self._named(to_id, "pref", "a")
        args = (from_id, at_ms, MERGED_MAX, PREFERENCES_TTL_S)
        answer: list[bytes] = self._run(scripts.BEGIN_MERGE, keys, args)
        return answer

    def _leave(self, from_id: str, to_id: str, at_ms: int, deadline: float) -> _Held:
        if time.monotonic() > deadline:
            self._cancel(from_id, to_id)
            raise ConflictError(f"merging {from_id} took too long; try again")
        keys = self._named(from_id, "pref", *_HELD, "i", "t")
        args = (to_id, at_ms, MERGED_MAX, PREFERENCES_TTL_S, round(PATIENCE_S * 1000))
        word, *rest = self._run(scripts.LEAVE_READER, keys, args)
        if word != b"left":
            self._cancel(from_id, to_id)
            raise ConflictError(_REFUSALS[word].format(from_id=from_id, to_id=to_id))
        reader, left_ms, unit, preferences, attributes, *lists = rest
        data: dict[str, Any] = {
            name: [entry.decode() for entry in entries]
            for name, entries in zip(_NAMES, lists, strict=True)
        }
        data |= {"unit": unit.decode(), "preferences": preferences.decode()}
        data["attributes"] = attributes.decode()
        return _Held(reader.decode(), int(left_ms), orjson.dumps(data))

    def _join(self, from_id: str, to_id: str, held: _Held) -> list[bytes]:
        stream = self._keys.stream(self._keys.partition(to_id))
        keys = (stream, *self._named(to_id, "i", *_HELD, "pref", "slates", "t"))
        ttl_s = self._settings.reader_ttl_days * DAY_S
        args = (from_id, held.at_ms, to_id, ttl_s, PREFERENCES_TTL_S, held.data)
        answer: list[bytes] = self._run(scripts.JOIN_READERS, keys, args)
        return answer

    def _finish(self, from_id: str, reader: str) -> None:
        keys = self._named(from_id, "pref", "slates", *_HELD, "i", "t")
        self._run(scripts.FINISH_MERGE, keys, (reader, PREFERENCES_TTL_S))

    def _cancel(self, from_id: str, to_id: str) -> None:
        self._run(scripts.CANCEL_MERGE, self._named(to_id, "a"), (from_id,))

    def _pointed_to(self, user_id: str) -> str:
        key = self._keys.reader("pref", user_id)
        return reader_moved_to(self._link.call(key, "GET", key))

    def _named(self, user_id: str, *kinds: str) -> tuple[str, ...]:
        return tuple(self._keys.reader(kind, user_id) for kind in kinds)

    def _run(self, script: scripts.Script, keys: tuple[str, ...], args: tuple[Any, ...]) -> Any:
        return self._link.scripts([ScriptCall(script, keys, args)])[0]


_REFUSALS = {
    b"cycle": "{to_id} was merged into {from_id} already",
    b"busy": "another id is being merged into {from_id} at this moment; try again",
    b"full": "too many ids were merged into {from_id}",
}
