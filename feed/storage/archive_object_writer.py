"""Commits stream records and catalogue changes to an archive in an object store, exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_files import archive_objects, finish_swap, refresh_files
from feed.storage.archive_ledger import Commit
from feed.storage.archive_objects import STAGING, ArchiveObjects
from feed.storage.archive_writer import ArchiveWriter, Batch, Reread, archive_errors


class ArchiveObjectWriter(ArchiveWriter):
    """A writer of an archive in an object store.

    A commit has two steps. The writer uploads every file under a name that says its content, and
    adds a change to the log that names the files and the stream positions reached; this change is
    the commit. Nobody reads a file before that. A crash in between leaves files that no change
    names; `recover` deletes them after an hour. Several may write: a commit is refused if the
    archive already has records of its partitions that this writer does not know of.
    """

    def __init__(self, archive_dir: Path, owner: str, objects: ArchiveObjects) -> None:
        super().__init__(archive_dir, owner)
        self._objects = objects

    def refresh(self) -> None:
        """Look how far the other writers have come.

        Raises:
            ArchiveError: the object store does not answer.
        """
        with archive_errors("read the archive"):
            self._objects.refresh()
            self._last = self._objects.last()

    def recover(
        self,
        reread: Reread,  # noqa: ARG002 - a stored object does not tear
        live: Collection[str] = (),
    ) -> None:
        """Read how far the archive is, and delete what a dead writer left.

        Raises:
            ArchiveError: the object store does not answer.
        """
        with archive_errors("recover the archive"):
            self._clear_staging({}, live)
            finish_swap(self._dir)
            self._objects.sweep()
            refresh_files(self._dir)
            self._last = self._objects.last()

    def commit(self, batch: Batch) -> Commit:
        """Add a batch; when this returns it is in the store.

        Raises:
            ArchiveError: the store does not answer. If the change was made although its answer
                was lost, the next call finds it, adds nothing and raises this once more.
            ConflictError: another writer has archived records of these partitions.
        """
        number = self._last.number + 1
        staged = self._dir / STAGING / f"{number:012d}-{self._owner}"
        with archive_errors("write to the archive"):
            try:
                rows = self._stage(staged, batch, number)
                names = self._objects.store_files({staged / name: name for name in rows})
                sizes = {name: path.stat().st_size for path, name in names.items()}
                files = {names[staged / name]: count for name, count in rows.items()}
                self._last = self._objects.append(
                    lambda last: self._next(last, batch, files), sizes
                )
                self._objects.settle(names)
            except ConflictError:
                self._find_own_commit()
                raise
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        return self._last

    def _find_own_commit(self) -> None:
        """Go on after a commit of this writer that was made although its answer was lost.

        Raises:
            ArchiveError: there is one; the caller reads on from there.
        """
        commits = [change.commit for change in self._objects.changes() if change.is_commit]
        if any(c.owner == self._owner and c.number > self._last.number for c in commits):
            self._last = commits[-1]
            raise ArchiveError("the store took a commit, and its answer came too late")

    def _next(self, last: Commit, batch: Batch, files: dict[str, int]) -> Commit:
        """Return the commit of a batch after another one, which may be another writer's."""
        known = self._last
        for partition, records in batch.records.items():
            if records and last.positions.get(partition) != known.positions.get(partition):
                raise ConflictError(f"another writer has archived records of {partition}")
        if batch.catalogue and last.catalogue != known.catalogue:
            raise ConflictError("another writer has archived changes of the catalogue")
        return self._entry(last, batch, files)


def open_writer(archive_dir: Path, owner: str) -> ArchiveWriter:
    """Return the writer of an archive, wherever that is."""
    objects = archive_objects(archive_dir)
    if objects is None:
        return ArchiveWriter(archive_dir, owner)
    return ArchiveObjectWriter(archive_dir, owner, objects)
