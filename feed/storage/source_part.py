"""The sources that are polled, and the state of each, in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from feed.storage import scripts
from feed.storage.link import ScriptCall
from feed.storage.node import Command
from feed.storage.part import StorePart


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

    def add_sources(self, sources: Mapping[str, dict[str, Any]]) -> dict[str, bool]:
        """Keep sources by id, in one round trip; return for each whether there was none."""
        key = self._keys.catalogue("sources")
        commands = [("HSETNX", key, name, orjson.dumps(one)) for name, one in sources.items()]
        replies = self._link.pipeline(key, [*commands, self._changed()])
        return {name: bool(reply) for name, reply in zip(sources, replies, strict=False)}

    def change_source(self, source_id: str, source: dict[str, Any]) -> bool:
        """Replace a source; return whether there is one of this id."""
        is_there = self._write_present("sources", source_id, source)
        self._link.pipeline(self._keys.catalogue("sources"), [self._changed()])
        return is_there

    def remove_source(self, source_id: str) -> bool:
        """Drop a source and its state; return whether there was one."""
        sources, states = (self._keys.catalogue(name) for name in ("sources", "source_states"))
        commands = [("HDEL", sources, source_id), ("HDEL", states, source_id), self._changed()]
        return bool(self._link.pipeline(sources, commands)[0])

    def drop_source_state(self, source_id: str) -> None:
        """Forget what the poller found at a source."""
        states = self._keys.catalogue("source_states")
        self._link.pipeline(states, [("HDEL", states, source_id), self._changed()])

    def read_source_states(self) -> dict[str, dict[str, Any]]:
        """Return what the poller found at each source, by id."""
        return self._read_hash("source_states")

    def write_source_state(self, source_id: str, state: dict[str, Any]) -> bool:
        """Keep what the poller found, unless the source was removed; return whether it is there."""
        return self._write_present("source_states", source_id, state)

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
