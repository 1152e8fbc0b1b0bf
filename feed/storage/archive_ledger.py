"""The archive's ledger: one numbered entry for each commit, with the stream positions reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from feed.domain import ArchiveError, ConflictError
from feed.storage.data_place import sync_directory, write_durably

START = "0-0"
ENTRIES_KEPT = 200


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: what it added, and how far the archive reaches with it.

    `positions` maps each partition to the last stream id archived, `catalogue` is the last
    position of the change log; `ranges` maps the partitions of this commit to (after, last);
    `files` maps each file it added (relative path) to its number of rows.
    """

    number: int
    owner: str
    positions: Mapping[int, str]
    catalogue: str
    ranges: Mapping[int, tuple[str, str]]
    files: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """Return the entry as JSON."""
        return orjson.dumps(
            {
                "format": 1,
                "number": self.number,
                "owner": self.owner,
                "positions": {str(p): i for p, i in self.positions.items()},
                "catalogue": self.catalogue,
                "ranges": {str(p): r for p, r in self.ranges.items()},
                "files": dict(self.files),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Commit:
        """Return the entry that `to_bytes` wrote."""
        values: dict[str, Any] = orjson.loads(data)
        return cls(
            number=values["number"],
            owner=values["owner"],
            positions={int(p): i for p, i in values["positions"].items()},
            catalogue=values["catalogue"],
            ranges={int(p): (r[0], r[1]) for p, r in values["ranges"].items()},
            files=values["files"],
        )


EMPTY = Commit(0, "", {}, "", {}, {})


class NumberTakenError(ConflictError):
    """Another writer has made the commit of this number."""


class Ledger:
    """Numbered entries in `<archive>/ledger`.

    Creating the entry of the next number *is* the commit, and a name can be created only once:
    of two writers one finds the number taken, and looks at what the other has committed.
    """

    def __init__(self, archive_dir: Path) -> None:
        self._dir = archive_dir / "ledger"

    def entries(self) -> list[Commit]:
        """Return the entries kept, oldest first.

        Raises:
            ArchiveError: an entry cannot be read.
        """
        return [_read_entry(path) for path in self._paths()]

    def last(self) -> Commit:
        """Return the newest entry (an empty one if there is none).

        Raises:
            ArchiveError: it cannot be read.
        """
        paths = self._paths()
        return _read_entry(paths[-1]) if paths else EMPTY

    def add(self, commit: Commit) -> None:
        """Create an entry, durably.

        Raises:
            NumberTakenError: another writer has taken this number.
            OSError: the disk refused something; `has` says whether the entry is there all the same.
        """
        self._dir.mkdir(parents=True, exist_ok=True)
        path = self._path(commit.number)
        draft = path.with_name(f".{path.name}.{commit.owner}")
        write_durably(draft, commit.to_bytes())
        try:
            os.link(draft, path)
        except FileExistsError:
            raise NumberTakenError(f"another writer has made commit {commit.number}") from None
        finally:
            draft.unlink(missing_ok=True)
        self.sync()
        self._path(commit.number - ENTRIES_KEPT).unlink(missing_ok=True)

    def has(self, commit: Commit) -> bool:
        """Return whether this very entry has been created.

        Raises:
            ArchiveError: an entry of its number cannot be read.
        """
        path = self._path(commit.number)
        return path.exists() and _read_entry(path) == commit

    def sync(self) -> None:
        """Wait until the names of the entries are on disk."""
        sync_directory(self._dir)

    def _path(self, number: int) -> Path:
        return self._dir / f"{number:012d}.json"

    def _paths(self) -> list[Path]:
        return sorted(self._dir.glob("[0-9]*.json"))


def _read_entry(path: Path) -> Commit:
    try:
        return Commit.from_bytes(path.read_bytes())
    except (orjson.JSONDecodeError, KeyError) as error:
        raise ArchiveError(f"the ledger entry {path} is damaged: {error}") from error
