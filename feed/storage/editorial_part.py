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
        """Return version and value of everything that was decided, by name.

        The value is None where what is stored is no JSON, so that one broken value hides no other.
        """
        key = self._keys.catalogue("editorial")
        pairs = self._link.call(key, "HGETALL", key)
        found = {}
        for name, stored in zip(pairs[::2], pairs[1::2], strict=True):
            found[name.decode()] = _decode(stored)
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


def _decode(stored: bytes) -> tuple[int, Any]:
    version, _, text = stored.partition(b" ")
    try:
        return int(version), orjson.loads(text)
    except ValueError:
        return int(version) if version.isdigit() else 0, None
