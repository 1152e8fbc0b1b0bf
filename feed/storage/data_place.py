"""DataPlace: where archive, models and reports are kept, in a directory or in an object store."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from feed.domain import ArchiveError, ConflictError

ABSENT = ""
"""The ETag of something that is not there."""

ASIDE = ".writing-"
"""How the names of files begin that are written aside and then renamed."""


class DataPlaceError(ArchiveError):
    """The object store that holds archive, models and reports does not answer, or refuses."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One file or object as it was read; `etag` changes with every change of `data`."""

    data: bytes
    etag: str


class DataPlace(Protocol):
    """Named byte strings. A write is whole or not there, and is durable when it returns.

    Nothing is ever renamed. What must happen exactly once is a `create`, what several may change
    is a `replace` of the state that the caller has read.
    """

    def list(self, prefix: str = "") -> list[str]:
        """Return the names below a prefix (which ends with a slash or is empty), sorted."""

    def read(self, name: str) -> Stored | None:
        """Return what has a name, or None."""

    def read_end(self, name: str, length: int) -> bytes | None:
        """Return the last bytes of what has a name, or None."""

    def create(self, name: str, data: bytes) -> None:
        """Write under a name that is free. That the same bytes are there already counts as done.

        Raises:
            ConflictError: other bytes have the name.
        """

    def replace(self, name: str, data: bytes, etag: str) -> None:
        """Write if the ETag is still the one given (`ABSENT`: if the name is free).

        That the same bytes are there already counts as done.

        Raises:
            ConflictError: somebody else has changed it.
        """

    def delete(self, name: str) -> None:
        """Delete what has a name, if anything has."""


class LocalPlace:
    """A directory. Its ETags are digests of the content; a lock makes compare and write one step.

    Args:
        directory: made with the first write.
    """

    def __init__(self, directory: Path) -> None:
        self._dir = directory

    def list(self, prefix: str = "") -> list[str]:
        """Return the names below a prefix, sorted; names that begin with a dot are left out."""
        found = (p for p in (self._dir / prefix).rglob("*") if p.is_file())
        names = (path.relative_to(self._dir) for path in found)
        return sorted(n.as_posix() for n in names if not any(p.startswith(".") for p in n.parts))

    def read(self, name: str) -> Stored | None:
        """Return what has a name, or None."""
        try:
            data = (self._dir / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stored(data, hashlib.sha256(data).hexdigest())

    def read_end(self, name: str, length: int) -> bytes | None:
        """Return the last bytes of what has a name, or None."""
        try:
            with (self._dir / name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - length))
                return file.read()
        except FileNotFoundError:
            return None

    def create(self, name: str, data: bytes) -> None:
        """Write under a name that is free; see `DataPlace.create`."""
        self.replace(name, data, ABSENT)

    def replace(self, name: str, data: bytes, etag: str) -> None:
        """Write if the ETag is still the one given; see `DataPlace.replace`."""
        path = self._dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._dir):
            found = self.read(name)
            if found is not None and found.data == data:
                return
            if (ABSENT if found is None else found.etag) != etag:
                raise ConflictError(f"somebody else has changed {name}")
            write_whole(path, data)

    def delete(self, name: str) -> None:
        """Delete what has a name, if anything has."""
        (self._dir / name).unlink(missing_ok=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a directory that exists, while the block runs."""
    descriptor = os.open(directory, os.O_RDONLY)  # closing it ends the lock
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whose name appears when it is whole and on disk; the last writer wins."""
    aside = path.with_name(f"{ASIDE}{path.name}-{os.getpid()}")
    write_durably(aside, data)
    aside.replace(path)
    sync_directory(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Wait until a file that another process wrote is on disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until a directory's names are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
