"""The list of sources: added, paused, resumed and removed by people, read by the poller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from feed.domain import InvalidInputError, NotFoundError
from feed.sources.subscription import Source, SourceState, has_login
from feed.storage.key_names import SOURCES_MAX
from feed.storage.source_part import SourcePart


class Addition(StrEnum):
    """What became of a source that was to be added."""

    ADDED = "added"
    KNOWN = "known"
    NEW_LOGIN = "new_login"


class SourceDirectory:
    """The sources in the store.

    Args:
        store: where they are kept.
        most: how many there may be.
    """

    def __init__(self, store: SourcePart, most: int = SOURCES_MAX) -> None:
        self._store = store
        self._most = most

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

    def add(self, sources: Sequence[Source]) -> list[Addition]:
        """Add sources; a known one stays as it is, but for another login in its address.

        Raises:
            InvalidInputError: there would be too many; none was added.
        """
        if self._store.count_sources() + len(sources) > self._most:
            known = self.all()
            new = {one.source_id for one in sources} - known.keys()
            if len(known) + len(new) > self._most:
                raise InvalidInputError("sources", f"must not be more than {self._most} in all")
        added = self._store.add_sources({one.source_id: one.to_json() for one in sources})
        return [
            Addition.ADDED if added[one.source_id] else self._take_login(one) for one in sources
        ]

    def _take_login(self, given: Source) -> Addition:
        """Poll a known source with the login that is given now, as if it had just been added."""
        if not has_login(given.address):
            return Addition.KNOWN
        known, _ = self.get(given.source_id)
        if known.address == given.address:
            return Addition.KNOWN
        self._change(replace(known, address=given.address, asked=0))
        self._store.drop_source_state(given.source_id)
        return Addition.NEW_LOGIN

    def remove(self, source_id: str) -> None:
        """Remove a source; its articles stay.

        Raises:
            NotFoundError: there is no source with this id.
        """
        if not self._store.remove_source(source_id):
            raise NotFoundError(f"there is no source {source_id}")

    def pause(self, source_id: str) -> None:
        """Stop polling a source until it is resumed."""
        self._change(replace(self.get(source_id)[0], paused=True))

    def resume(self, source_id: str) -> None:
        """Poll a source again that was paused, or that was gone, beginning at once."""
        source, _ = self.get(source_id)
        self._change(replace(source, paused=False, asked=source.asked + 1))

    def ask(self, source_id: str) -> None:
        """Have a source checked at once, and its document read even if it is unchanged."""
        source, _ = self.get(source_id)
        self._change(replace(source, asked=source.asked + 1))

    def _change(self, source: Source) -> None:
        if not self._store.change_source(source.source_id, source.to_json()):
            raise NotFoundError(f"there is no source {source.source_id}")
