"""What the parts of the store share: links, keys, settings, and the catalogue's position."""

from __future__ import annotations

from functools import partial
from typing import Any

from feed.config import Settings
from feed.domain import ConflictError
from feed.storage.key_names import UNFINISHED, Keys
from feed.storage.link import Link
from feed.storage.node import Command

START = "0-0"
"""The position before the first entry of the catalogue's change log."""

HOPS_MAX = 8
"""Merges in a row that an id is followed through."""


class StorePart:
    """Base of the parts of `RedisStore`.

    There are two links. The fast one has the request's deadline (`store_timeout_ms`). The bulk one
    carries scans, blobs and streams, which move megabytes, and waits longer.

    Args:
        settings: address, time limits and bounds.
        rest_s: seconds for which the fast link does not call a node that has not answered, so
            that not every request waits for the deadline; 0: every call tries.
    """

    BULK_TIMEOUT_S = 10.0

    def __init__(self, settings: Settings, rest_s: float = 0.0) -> None:
        self._settings = settings
        self._keys = Keys(settings.namespace, settings.partitions)
        self._stream_bound = max(1, settings.stream_max_events // settings.partitions)
        timeout_s = settings.store_timeout_ms / 1000
        open_link = partial(
            Link,
            settings.redis_url,
            cluster=settings.redis_cluster,
            confirmed_by=settings.store_confirmed_by,
        )
        self._link = open_link(timeout_s=timeout_s, rest_s=rest_s)
        self._bulk = open_link(timeout_s=max(timeout_s, self.BULK_TIMEOUT_S))
        self._layout_known = False

    def _check_layout(self) -> None:
        """Fix the number of partitions at first use; refuse another number ever after."""
        if self._layout_known:
            return
        key = self._keys.catalogue("layout")
        wanted = str(self._keys.partitions).encode()
        _, stored = self._link.pipeline(key, [("SET", key, wanted, "NX"), ("GET", key)])
        if stored == UNFINISHED:
            raise ConflictError(
                "the store is being restored, or its restore was interrupted: "
                "run `feed restore` again, or empty the store"
            )
        if stored != wanted:
            raise ConflictError(
                f"the store was made with {int(stored)} partitions, "
                f"the setting partitions says {self._keys.partitions}"
            )
        self._layout_known = True


def newest_entry(key: str) -> Command:
    """Return the command that reads the newest entry of the catalogue's change log."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def position_of(reply: Any) -> str:
    """Return the position in the reply to `newest_entry`, `START` for an empty log."""
    return reply[0][0].decode() if reply else START
