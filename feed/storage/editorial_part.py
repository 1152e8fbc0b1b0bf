"""The newsroom's decisions in the store: boosts, limits, and settings of the ranking."""

from __future__ import annotations

from typing import Any

import orjson

from feed.domain import ConflictError
from feed.storage import scripts
from feed.storage.audit_part import audit_arguments
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.records import AuditEntry


class EditorialPart(StorePart):
    """What the newsroom decided: a few small values, each written whole, with its version."""

    def read_editorial(self) -> dict[str, tuple[int, Any]]:
        """Return version and value of everything that was decided, by name."""
        key = self._keys.catalogue("editorial")
        pairs = self._link.call(key, "HGETALL", key)
        found = {}
        for name, stored in zip(pairs[::2], pairs[1::2], strict=True):
            version, text = stored.split(b" ", 1)
            found[name.decode()] = (int(version), orjson.loads(text))
        return found

    def write_editorial(self, name: str, value: Any, *, version: int, entry: AuditEntry) -> None:
        """Write a value if the stored version is `version - 1`, and an audit entry with it.

        Raises:
            ConflictError: somebody else changed it meanwhile.
        """
        keys = tuple(map(self._keys.catalogue, ("editorial", "audit")))
        args = (name, version, orjson.dumps(value), *audit_arguments(entry))
        found = self._link.scripts([ScriptCall(scripts.WRITE_EDITORIAL, keys, args)])[0]
        if found >= 0:
            raise ConflictError(f"{name} was changed meanwhile: look at it again")
