"""What the watch knows of each experiment, in the store."""

from __future__ import annotations

from typing import Any

import orjson

from feed.storage.part import StorePart


class WatchPart(StorePart):
    """What the last look at each experiment found, and the alerts that are to be sent.

    One field holds both, so that one write changes both: no alert is lost or made twice.
    """

    def read_watched(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each experiment, by name."""
        key = self._keys.catalogue("watched")
        pairs = self._bulk.call(key, "HGETALL", key)
        return {
            name.decode(): orjson.loads(text)
            for name, text in zip(pairs[::2], pairs[1::2], strict=True)
        }

    def write_watched(self, name: str, record: dict[str, Any]) -> None:
        """Replace what is known of one experiment."""
        key = self._keys.catalogue("watched")
        self._link.change(key, [("HSET", key, name, orjson.dumps(record))])
