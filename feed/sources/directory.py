"""The list of sources: added, paused, resumed and removed by people, read by the poller."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from feed.domain import ConflictError, InvalidInputError, NotFoundError
from feed.sources.subscription import Source, SourceState, has_login
from feed.storage.key_names import SOURCES_MAX
from feed.storage.records import AuditEntry
from feed.storage.source_part import SourcePart


class Addition(StrEnum):
    """What became of a source that was to be added."""

    ADDED = "added"
    KNOWN = "known"
    NEW_LOGIN = "new_login"


WORKER = "worker"
"""Who adds the sources that the settings name."""


class SourceDirectory:
    """The sources in the store. What people change is in the audit log, without logins.

    Args:
        store: where they are kept.
        most: how many there may be.
        clock: epoch seconds.
    """

    def __init__(
        self,
        store: SourcePart,
        most: int = SOURCES_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._most = most
        self._clock = clock

    def all(self) -> dict[str, Source]:
        """Return every source by id."""
        return {key: Source.from_json(one) for key, one in self._store.read_sources().items()}

    def changes(self) -> int:
        """Return a number that changes whenever a source is changed."""
        return self._store.source_changes()

    def states(self) -> dict[str, SourceState]:
        """Return what the poller knows about each source that was checked, by id."""
        stored = self._store.read_source_states()
        return {key: SourceState.from_json(one) for key, one in stored.items()}

    def get(self, source_id: str) -> tuple[Source, SourceState]:
        """Return one source, and what the poller knows about it.

        Raises:
            NotFoundError: there is no source with this id.
        """
        source, state = self._store.read_source(source_id)
        if source is None:
            raise NotFoundError(f"there is no source {source_id}")
        return Source.from_json(source), SourceState.from_json(state or {})

    def add(self, sources: Sequence[Source], by: str = WORKER) -> list[Addition]:
        """Add sources; a known one stays as it is, but for another login in its address.

        Args:
            sources: what to add.
            by: who does it, for the audit log.

        Raises:
            InvalidInputError: there would be too many; none was added.
        """
        if self._store.count_sources() + len(sources) > self._most:
            known = self.all()
            new = {one.source_id for one in sources} - known.keys()
            if len(known) + len(new) > self._most:
                raise InvalidInputError("sources", f"must not be more than {self._most} in all")
        added = self._store.add_sources(
            {one.source_id: one.to_json() for one in sources},
            {one.source_id: self._entry(by, "added", None, one) for one in sources},
        )
        return [
            Addition.ADDED if added[one.source_id] else self._take_login(one, by) for one in sources
        ]

    def _take_login(self, given: Source, by: str) -> Addition:
        """Poll a known source with the login that is given now, as if it had just been added."""
        if not has_login(given.address):
            return Addition.KNOWN
        known, _ = self.get(given.source_id)
        if known.address == given.address:
            return Addition.KNOWN
        changed = replace(known, address=given.address, asked=0)
        self._write(changed, self._entry(by, "given a login", known, changed))
        self._store.drop_source_state(given.source_id)
        return Addition.NEW_LOGIN

    def remove(self, source_id: str, by: str = WORKER) -> AuditEntry:
        """Remove a source; its articles stay.

        Raises:
            NotFoundError: there is no source with this id.
        """
        source, _ = self.get(source_id)
        entry = self._entry(by, "removed", source, None)
        if not self._store.remove_source(source_id, entry):
            raise NotFoundError(f"there is no source {source_id}")
        return entry

    def pause(self, source_id: str, by: str = WORKER) -> AuditEntry:
        """Stop polling a source until it is resumed."""
        source, _ = self.get(source_id)
        return self._change(source, replace(source, paused=True), by, "paused")

    def resume(self, source_id: str, by: str = WORKER) -> AuditEntry:
        """Poll a source again that was paused, or that was gone, beginning at once."""
        source, _ = self.get(source_id)
        changed = replace(source, paused=False, asked=source.asked + 1)
        return self._change(source, changed, by, "resumed")

    def ask(self, source_id: str) -> None:
        """Have a source checked at once, and its document read even if it is unchanged."""
        source, _ = self.get(source_id)
        self._write(replace(source, asked=source.asked + 1))

    def take_back(self, entry: AuditEntry, by: str) -> AuditEntry:
        """Make a source what it was before an entry of the audit log.

        A source that was removed comes back without the login in its address, because the audit
        log does not hold it.

        Raises:
            ConflictError: the source is not as the entry left it.
        """
        source_id = entry.subject.partition("/")[2]
        found, _ = self._store.read_source(source_id)
        present = Source.from_json(found) if found else None
        if _shown(present) != entry.after:
            raise ConflictError(f"{entry.subject} was changed since it was {entry.action}")
        if entry.before is None:
            return self.remove(source_id, by)
        earlier = Source.from_json(entry.before)
        if present is None:
            back = self._entry(by, "restored", None, earlier)
            added = self._store.add_sources({source_id: earlier.to_json()}, {source_id: back})
            if not added[source_id]:
                raise ConflictError(f"{entry.subject} is there again")
            return back
        changed = replace(earlier, address=present.address, asked=present.asked + 1)
        return self._change(present, changed, by, "paused" if earlier.paused else "resumed")

    def _change(self, before: Source, after: Source, by: str, action: str) -> AuditEntry:
        entry = self._entry(by, action, before, after)
        self._write(after, entry)
        return entry

    def _write(self, source: Source, entry: AuditEntry | None = None) -> None:
        if not self._store.change_source(source.source_id, source.to_json(), entry):
            raise NotFoundError(f"there is no source {source.source_id}")

    def _entry(
        self, by: str, action: str, before: Source | None, after: Source | None
    ) -> AuditEntry:
        named = " ".join(sorted({f"sources/{one.source_id}" for one in (before, after) if one}))
        return AuditEntry(self._clock(), by, action, named, _shown(before), _shown(after))


def _shown(source: Source | None) -> dict[str, Any] | None:
    """Return what the audit log says about a source; nobody must find a login there."""
    if source is None:
        return None
    shown = {**source.to_json(), "address": source.origin}
    del shown["asked"]
    return shown
