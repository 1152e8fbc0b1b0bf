"""The sources that are polled, and the state of each, in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from feed.storage import scripts
from feed.storage.audit_part import audit_arguments
from feed.storage.key_names import AUDIT_MAX
from feed.storage.link import ScriptCall
from feed.storage.node import Command
from feed.storage.part import StorePart
from feed.storage.records import AuditEntry


class SourcePart(StorePart):
    """Sources: what people say about them, and what the poller found.

    These are two keys, because people change the one while the poller writes the other.
    """

    def read_sources(self) -> dict[str, dict[str, Any]]:
        """Return every source by id."""
        return self._read_hash("sources")

    def read_source(self, source_id: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return a source and what the poller found at it, None for what there is not."""
        sources, states = (self._keys.catalogue(name) for name in ("sources", "source_states"))
        commands = [("HGET", sources, source_id), ("HGET", states, source_id)]
        source, state = self._link.pipeline(sources, commands)
        return orjson.loads(source or b"null"), orjson.loads(state or b"null")

    def source_changes(self) -> int:
        """Return how often sources were added, changed and removed."""
        key = self._keys.catalogue("sources_changed")
        return int(self._link.call(key, "GET", key) or 0)

    def count_sources(self) -> int:
        """Return the number of sources."""
        key = self._keys.catalogue("sources")
        return int(self._link.call(key, "HLEN", key))

    def add_sources(
        self,
        sources: Mapping[str, dict[str, Any]],
        entries: Mapping[str, AuditEntry] = MappingProxyType({}),
    ) -> dict[str, bool]:
        """Keep sources by id, in one round trip; return for each whether there was none.

        Args:
            sources: by id.
            entries: for the audit log, by id of the source that they are about.
        """
        acts = [("add", name, one, entries.get(name)) for name, one in sources.items()]
        return dict(zip(sources, self._change(acts), strict=True))

    def change_source(
        self, source_id: str, source: dict[str, Any], entry: AuditEntry | None = None
    ) -> bool:
        """Replace a source; return whether there is one of this id."""
        return self._change([("change", source_id, source, entry)])[0]

    def remove_source(self, source_id: str, entry: AuditEntry | None = None) -> bool:
        """Drop a source and its state; return whether there was one."""
        return self._change([("remove", source_id, {}, entry)])[0]

    def drop_source_state(self, source_id: str) -> None:
        """Forget what the poller found at a source."""
        states = self._keys.catalogue("source_states")
        self._link.change(states, [("HDEL", states, source_id), self._changed()])

    def read_source_states(self) -> dict[str, dict[str, Any]]:
        """Return what the poller found at each source, by id."""
        return self._read_hash("source_states")

    def write_source_state(self, source_id: str, state: dict[str, Any]) -> bool:
        """Keep what the poller found, unless the source was removed; return whether it is there."""
        return self._write_present("source_states", source_id, state)

    def _change(
        self, acts: Sequence[tuple[str, str, dict[str, Any], AuditEntry | None]]
    ) -> list[bool]:
        names = ("sources", "source_states", "sources_changed", "audit")
        args: list[Any] = [AUDIT_MAX]
        for act, source_id, source, entry in acts:
            text = audit_arguments(entry)[0] if entry else b""
            args += [act, source_id, orjson.dumps(source), text]
        keys = tuple(map(self._keys.catalogue, names))
        done = self._link.scripts([ScriptCall(scripts.CHANGE_SOURCES, keys, tuple(args))])[0]
        return [bool(one) for one in done]

    def _changed(self) -> Command:
        return ("INCR", self._keys.catalogue("sources_changed"))

    def _read_hash(self, name: str) -> dict[str, dict[str, Any]]:
        key = self._keys.catalogue(name)
        pairs = self._bulk.call(key, "HGETALL", key)
        return {
            field.decode(): orjson.loads(text)
            for field, text in zip(pairs[::2], pairs[1::2], strict=True)
        }

    def _write_present(self, name: str, source_id: str, record: dict[str, Any]) -> bool:
        keys = (self._keys.catalogue("sources"), self._keys.catalogue(name))
        args = (source_id, orjson.dumps(record))
        return bool(self._link.scripts([ScriptCall(scripts.WRITE_PRESENT, keys, args)])[0])
