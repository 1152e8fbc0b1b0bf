"""Experiments, secrets and limits in the store."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from feed.domain import ConflictError
from feed.storage import scripts
from feed.storage.audit_part import audit_arguments, audited_call
from feed.storage.key_names import HIT_WINDOWS_KEPT, SALT_TTL_S
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.records import AuditEntry, StoredKey

SECRET_BYTES = 32
OTHERS_CHANGED = -2


class ControlPart(StorePart):
    """Experiments, secrets, API keys and rate limits."""

    def read_experiments(self) -> dict[str, dict[str, Any]]:
        """Return every experiment definition by name; each holds its `version`."""
        key = self._keys.catalogue("experiments")
        pairs = self._link.call(key, "HGETALL", key)
        definitions = {}
        for name, stored in zip(pairs[::2], pairs[1::2], strict=True):
            version, text = stored.split(b" ", 1)
            definitions[name.decode()] = {**orjson.loads(text), "version": int(version)}
        return definitions

    def write_experiment(
        self,
        name: str,
        definition: dict[str, Any],
        *,
        version: int,
        entry: AuditEntry,
        writes: int | None = None,
    ) -> None:
        """Write a definition if the stored version is `version - 1`, and an audit entry with it.

        Args:
            name: of the experiment.
            definition: the record.
            version: of the record, one more than the stored one.
            entry: for the audit log.
            writes: the sum of all stored versions, if the change depends on every experiment:
                each write raises that sum by one.

        Raises:
            ConflictError: somebody else changed it, or another experiment, meanwhile.
        """
        keys = tuple(map(self._keys.catalogue, ("experiments", "audit")))
        relied_on = -1 if writes is None else writes
        args = (name, version, orjson.dumps(definition), *audit_arguments(entry), relied_on)
        found = self._link.scripts([ScriptCall(scripts.WRITE_EXPERIMENT, keys, args)])[0]
        if found == OTHERS_CHANGED:
            raise ConflictError("another experiment was changed meanwhile: try again")
        if found >= 0:
            raise ConflictError(
                f"experiment {name} is at version {found}, not {version - 1}: read it again"
            )

    def secret(self, name: str) -> bytes:
        """Return an installation secret of 32 bytes, made at first use."""
        key = self._keys.catalogue("secrets")
        fresh = secrets.token_bytes(SECRET_BYTES)
        commands = [("HSETNX", key, name, fresh), ("HGET", key, name)]
        kept: bytes = self._link.pipeline(key, commands)[1]
        return kept

    def read_keys(self) -> list[StoredKey]:
        """Return the API keys in the store, by name."""
        key = self._keys.catalogue("keys")
        pairs = self._link.call(key, "HGETALL", key)
        found = [
            StoredKey(name=name.decode(), **orjson.loads(text))
            for name, text in zip(pairs[::2], pairs[1::2], strict=True)
        ]
        return sorted(found, key=lambda k: k.name)

    def add_key(self, key: StoredKey, entry: AuditEntry) -> None:
        """Keep an API key, and an audit entry with it.

        Raises:
            ConflictError: there is one of this name.
        """
        place, audit = self._keys.catalogue("keys"), self._keys.catalogue("audit")
        kept = {"scope": key.scope, "digest": key.digest, "created_at": key.created_at}
        call = audited_call(place, audit, entry, "HSETNX", key.name, orjson.dumps(kept))
        if not self._link.scripts([call])[0]:
            raise ConflictError(f"a key named {key.name} already exists")

    def remove_key(self, name: str, entry: AuditEntry) -> bool:
        """Drop an API key, keeping an audit entry; return whether there was one."""
        place, audit = self._keys.catalogue("keys"), self._keys.catalogue("audit")
        removed = self._link.scripts([audited_call(place, audit, entry, "HDEL", name)])[0]
        uses = self._keys.catalogue("keys_used")
        self._link.call(uses, "HDEL", uses, name)
        return bool(removed)

    def end_session(self, session: str, seconds: int, entry: AuditEntry) -> None:
        """Note for some seconds that a session of the desk has ended, and keep an audit entry."""
        ended, audit = self._keys.catalogue(f"ended:{session}"), self._keys.catalogue("audit")
        text, kept = audit_arguments(entry)
        commands = [
            ("SET", ended, "", "EX", seconds),
            ("LPUSH", audit, text),
            ("LTRIM", audit, 0, kept - 1),
        ]
        self._link.change(audit, commands)

    def has_ended(self, session: str) -> bool:
        """Return whether a session of the desk was ended before its time."""
        ended = self._keys.catalogue(f"ended:{session}")
        return bool(self._link.call(ended, "EXISTS", ended))

    def read_key_uses(self) -> dict[str, float]:
        """Return when keys were last used, by name, epoch seconds."""
        key = self._keys.catalogue("keys_used")
        pairs = self._link.call(key, "HGETALL", key)
        return {name.decode(): float(at) for name, at in zip(pairs[::2], pairs[1::2], strict=True)}

    def write_key_uses(self, used: Mapping[str, float]) -> None:
        """Note when keys were used, by name, epoch seconds."""
        key = self._keys.catalogue("keys_used")
        fields = [part for name, at in used.items() for part in (name, f"{at:.0f}")]
        self._link.call(key, "HSET", key, *fields)

    def daily_salt(self, day: int) -> bytes:
        """Return the random salt of a day (days since 1970), which the store keeps for one day."""
        key = self._keys.salt(day)
        fresh = secrets.token_bytes(SECRET_BYTES)
        commands = [("SET", key, fresh, "NX", "EX", SALT_TTL_S), ("GET", key)]
        kept: bytes | None = self._link.pipeline(key, commands)[1]
        return kept or fresh

    def count_hit(self, name: str, window_s: int, now: float) -> int:
        """Count one request towards a limit in the window of `now`; return the count so far."""
        key = self._keys.hit(name, int(now // window_s))
        call = ScriptCall(scripts.COUNT_HIT, (key,), (window_s * HIT_WINDOWS_KEPT,))
        hits: int = self._link.scripts([call])[0]
        return hits

    def server_info(self, section: str, name: str) -> float:
        """Return a number of the server's INFO, summed over the nodes of a cluster."""
        return sum(map(float, self._info(section, name)))

    def eviction_policies(self) -> set[str]:
        """Return every `maxmemory-policy` of the nodes: what they do when they are full."""
        return set(self._info("memory", "maxmemory_policy"))

    def _info(self, section: str, name: str) -> list[str]:
        texts = [reply.decode() for reply in self._link.every_node("INFO", section)]
        lines = [line.partition(":") for text in texts for line in text.splitlines()]
        return [value for found, _, value in lines if found == name]

    def ping(self) -> None:
        """Return if the store answers; of a cluster, the node that holds the catalogue.

        Raises:
            StoreUnavailableError: it does not.
        """
        self._link.call(self._keys.catalogue("layout"), "PING")
