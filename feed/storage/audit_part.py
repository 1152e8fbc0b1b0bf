"""The audit log in the store: who changed what, newest first."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from feed.domain import NotFoundError
from feed.storage import scripts
from feed.storage.key_names import AUDIT_MAX
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.records import AuditEntry

_CHUNK = 1000


class AuditPart(StorePart):
    """The audit log, which keeps the newest entries.

    A change and its entry are written by one script, which takes `audit_arguments`, so that neither
    exists without the other.
    """

    def read_audit(
        self,
        limit: int,
        subject: str | tuple[str, ...] = "",
        by: str = "",
        hidden: str | None = None,
    ) -> list[AuditEntry]:
        """Return the newest entries, the newest first.

        Args:
            limit: How many at most.
            subject: Only entries on this subject, or one of these, or on what lies below it:
                `experiments` also finds `experiments/boost`.
            by: Only what this person did.
            hidden: No entry on this subject or on what lies below it.
        """
        key, found, start = self._keys.catalogue("audit"), list[AuditEntry](), 0
        while len(found) < limit:
            texts = self._link.call(key, "LRANGE", key, start, start + _CHUNK - 1)
            entries = [_entry(text) for text in texts]
            found += [
                entry
                for entry in entries
                if _is_about(entry.subject, subject)
                and by in {"", entry.by}
                and not (hidden and _is_about(entry.subject, hidden))
            ]
            start += _CHUNK
            if len(texts) < _CHUNK:
                break
        return found[:limit]

    def find_audit(self, entry_id: str) -> AuditEntry:
        """Return one entry.

        Raises:
            NotFoundError: there is none of this id, or it is too old to be kept.
        """
        key = self._keys.catalogue("audit")
        for start in range(0, AUDIT_MAX, _CHUNK):
            texts = self._link.call(key, "LRANGE", key, start, start + _CHUNK - 1)
            for entry in map(_entry, texts):
                if entry_id and entry.id == entry_id:
                    return entry
            if len(texts) < _CHUNK:
                break
        raise NotFoundError(f"the audit log holds no entry {entry_id}")

    def append_audit(self, entry: AuditEntry) -> None:
        """Keep an entry about something that changed nothing in the store, such as a look."""
        key = self._keys.catalogue("audit")
        text, kept = audit_arguments(entry)
        self._link.change(key, [("LPUSH", key, text), ("LTRIM", key, 0, kept - 1)])


def _entry(text: bytes) -> AuditEntry:
    return AuditEntry(**{"id": "", **orjson.loads(text)})


def audit_arguments(entry: AuditEntry) -> tuple[bytes, int]:
    """Return what a script needs to keep an entry: the entry, and how many entries are kept."""
    return orjson.dumps(asdict(entry)), AUDIT_MAX


def audited_call(
    key: str, audit_key: str, entry: AuditEntry, command: str, *args: str | bytes
) -> ScriptCall:
    """Return the call of one command on a key that keeps an entry if the command replies 1."""
    arguments = (*audit_arguments(entry), command, *args)
    return ScriptCall(scripts.RUN_AUDITED, (key, audit_key), arguments)


def _is_about(subject: str, wanted: str | tuple[str, ...]) -> bool:
    some = (wanted,) if isinstance(wanted, str) else wanted
    return any(not one or subject == one or subject.startswith(f"{one}/") for one in some)
