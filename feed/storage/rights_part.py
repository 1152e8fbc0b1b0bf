"""Readers' rights in the store: the export and the erasure of everything held on a reader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from feed.storage import scripts
from feed.storage.event_codec import decode_noted_ids, decode_slate, decode_undone
from feed.storage.identity_part import IdentityPart
from feed.storage.link import ScriptCall
from feed.storage.waiting_part import WaitingPart

_READER_KEYS = ("h", "r", "v", "x", "s", "u", "pref", "i", "t")


class RightsPart(WaitingPart, IdentityPart):
    """Export and erasure of a reader, together with all ids that were merged into that reader."""

    def export_reader(self, user_id: str) -> dict[str, Any]:
        """Return everything the store holds on a reader, JSON-ready (times in epoch seconds).

        `user_id` is the reader that the id asked for belongs to, `merged_ids` are the ids that
        were merged into that reader, with their times.
        """
        state = self.read_reader(user_id)
        reader = state.moved_to or user_id
        key = self._keys.reader("slates", reader)
        slate_keys = self._link.call(key, "LRANGE", key, 0, -1)
        slates = self._link.pipeline(key, [("GET", k) for k in slate_keys]) if slate_keys else []
        key = self._keys.reader("u", reader)
        undone = decode_undone(self._link.call(key, "ZRANGE", key, 0, -1, "WITHSCORES"))
        merged = self.read_merged_ids(reader)
        shown = {name: value for name, value in _as_json(state).items() if name != "moved_to"}
        return {
            "user_id": reader,
            **shown,
            "undone": undone,
            "merged_ids": merged,
            "slates": [_as_json(decode_slate(data)) for data in slates if data],
            "waiting": self._export_waiting({reader, user_id, *merged}),
        }

    def erase_reader(self, user_id: str) -> None:
        """Delete the keys of a reader and of every id merged in, and tell the archive.

        Each id has its own erase record, in the stream that held its events. The reader comes last,
        so that a repeated call after an interruption still finds the other ids.
        """
        reader = self.resolve(user_id)
        waiting = [*self._belonging_to(reader, self.read_noted_ids(reader)), reader]
        erased: set[str] = set()
        self.drop_waiting({*waiting, user_id})
        while waiting:
            one = waiting.pop(0)
            erased.add(one)
            noted = self._erase_one(one)  # some may have come while others were being erased
            found = {*self._belonging_to(reader, noted)} - erased - {*waiting}
            waiting = [*sorted(found), *waiting]

    def _export_waiting(self, ids: set[str]) -> list[Any]:
        waiting = self.read_waiting() if self.count_waiting() else ()
        return [_as_json(one.event) for one in waiting if one.event.user_id in ids]

    def _belonging_to(self, reader: str, noted: dict[str, float]) -> list[str]:
        """Return the ids whose merge is done, or has begun and made them point to the reader."""
        return [i for i, at in noted.items() if at > 0 or self.resolve(i) == reader]

    def _erase_one(self, user_id: str) -> dict[str, float]:
        """Erase what one id holds; return the ids noted on it, as `read_noted_ids`."""
        keys = self._keys
        names = (
            keys.stream(keys.partition(user_id)),
            keys.reader("slates", user_id),
            keys.reader("a", user_id),
            keys.reader("m", user_id),
            *(keys.reader(kind, user_id) for kind in _READER_KEYS),
        )
        record = orjson.dumps({"user_id": user_id, "requested_at": time.time()})
        call = ScriptCall(scripts.ERASE_READER, names, (record,))
        return decode_noted_ids(self._link.scripts([call])[0])


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
