"""The files of the archive: lists them, finds damaged ones, and replaces some by others."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from feed.domain import ArchiveError
from feed.storage.archive_ledger import Commit, Ledger
from feed.storage.archive_objects import ArchiveObjects
from feed.storage.archive_schema import TABLES
from feed.storage.data_place import sync_directory, write_durably
from feed.storage.working_copy import cache_bytes, remote_of

MAGIC = b"PAR1"
DAMAGED = "damaged"
REJECTED = "rejected"
_TRAILER = 8  # length of the footer, then the magic bytes
_SWAP = "swap.json"


def archive_objects(archive_dir: Path) -> ArchiveObjects | None:
    """Return the archive in the object store; None if the directory itself is the archive."""
    place = remote_of(archive_dir)
    return None if place is None else ArchiveObjects(archive_dir, place)


def table_files(archive_dir: Path, table: str = "*") -> list[Path]:
    """Return the Parquet files of a table (or of all), in the order of their days.

    Of an archive in an object store these are the live files as they were last listed: by
    `reading`, or by a commit. `fetch_files` makes them present.
    """
    return [path for path, _ in sized_files(archive_dir, table)]


def sized_files(archive_dir: Path, table: str = "*") -> list[tuple[Path, int]]:
    """Return the files that `table_files` returns, with their bytes."""
    names = TABLES if table == "*" else (table,)
    objects = archive_objects(archive_dir)
    if objects is None:
        return [
            (path, path.stat().st_size)
            for name in names
            for path in sorted((archive_dir / name).glob("day=*/*.parquet"))
        ]
    live = sorted(objects.live().items())
    return [
        (archive_dir / file, size)
        for name in names
        for file, size in live
        if file.startswith(f"{name}/")
    ]


def commits(archive_dir: Path) -> list[Commit]:
    """Return the commits that are remembered, oldest first.

    Raises:
        ArchiveError: an entry cannot be read.
    """
    objects = archive_objects(archive_dir)
    if objects is None:
        return Ledger(archive_dir).entries()
    return [change.commit for change in objects.changes() if change.is_commit]


def rejected_files(archive_dir: Path) -> list[Path]:
    """Return the files of lines that could not become rows."""
    objects = archive_objects(archive_dir)
    if objects is None:
        return sorted((archive_dir / REJECTED).glob("*"))
    return [archive_dir / name for name in objects.live() if name.startswith(f"{REJECTED}/")]


def fetch_files(archive_dir: Path, paths: Sequence[Path]) -> Sequence[Path]:
    """Make files present on this machine, and return them.

    Raises:
        FileNotFoundError: another process has just replaced one: list them again.
        DataPlaceError: the object store does not answer.
    """
    objects = archive_objects(archive_dir)
    if objects is not None:
        objects.fetch(paths)
    return paths


def day_name(path: Path) -> str:
    """Return the day (`YYYY-MM-DD`) of an archive file."""
    return path.parent.name.removeprefix("day=")


def is_whole(path: Path) -> bool:
    """Return whether a Parquet file has its beginning and its end; reads a dozen bytes."""
    size = path.stat().st_size
    if size < len(MAGIC) + _TRAILER:
        return False
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        file.seek(-_TRAILER, os.SEEK_END)
        trailer = file.read(_TRAILER)
    footer = int.from_bytes(trailer[:4], "little")
    return head == MAGIC and trailer[4:] == MAGIC and footer + len(MAGIC) + _TRAILER <= size


def refresh_files(archive_dir: Path) -> None:
    """Bring the list of an archive's files up to date, and delete copies not needed any more."""
    objects = archive_objects(archive_dir)
    if objects is not None:
        objects.refresh()
        objects.tidy(cache_bytes(archive_dir), time.time())


@contextmanager
def reading(archive_dir: Path) -> Iterator[None]:
    """Prevent swaps while files are listed and read; several readers may do so at once.

    Of an archive in an object store, the list is brought up to date first, and files that are
    present stay so.
    """
    refresh_files(archive_dir)
    with _locked(archive_dir, fcntl.LOCK_SH):
        yield


@contextmanager
def settled(archive_dir: Path) -> Iterator[None]:
    """Hold the archive between two commits; for moments only."""
    with _locked(archive_dir, fcntl.LOCK_EX, ".commit"):
        yield


@contextmanager
def upkeep(archive_dir: Path) -> Iterator[bool]:
    """Keep other processes from replacing files; False if one of them does so now.

    Raises:
        ArchiveError: the directory cannot be written.
    """
    try:
        archive_dir.mkdir(parents=True, exist_ok=True)
        lock = (archive_dir / ".upkeep").open("a")
    except OSError as error:
        raise ArchiveError(f"cannot write to the archive: {error}") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def swap_files(archive_dir: Path, new: dict[Path, Path], old: Sequence[Path]) -> None:
    """Replace files by others, so that no row is lost or doubled whenever the process crashes.

    What is to be done is written down first; `finish_swap` does the rest after a crash.

    Args:
        archive_dir: the archive.
        new: staged file -> where it goes (may be the name of an old one).
        old: files that the new ones replace.
    """
    objects = archive_objects(archive_dir)
    if objects is not None:
        _swap_objects(archive_dir, objects, new, old)
        return
    plan = {
        "new": {_name(archive_dir, a): _name(archive_dir, b) for a, b in new.items()},
        "old": [_name(archive_dir, path) for path in old],
    }
    with _locked(archive_dir, fcntl.LOCK_EX):
        draft = archive_dir / f".{_SWAP}"
        write_durably(draft, orjson.dumps(plan))
        draft.replace(archive_dir / _SWAP)
        sync_directory(archive_dir)
        _do_swap(archive_dir)


def _swap_objects(
    archive_dir: Path, objects: ArchiveObjects, new: dict[Path, Path], old: Sequence[Path]
) -> None:
    """Swap in the object store; what is to be deleted is written down until it is deleted."""
    write_durably(archive_dir / _SWAP, orjson.dumps([_name(archive_dir, path) for path in old]))
    objects.replace(new, old)
    (archive_dir / _SWAP).unlink()
    objects.tidy(cache_bytes(archive_dir), time.time())


def finish_swap(archive_dir: Path) -> None:
    """Complete a swap that a crash interrupted, if there is one."""
    objects = archive_objects(archive_dir)
    if objects is not None:
        if (archive_dir / _SWAP).exists():
            objects.delete_dead(orjson.loads((archive_dir / _SWAP).read_bytes()))
            (archive_dir / _SWAP).unlink()
    elif (archive_dir / _SWAP).exists():
        with _locked(archive_dir, fcntl.LOCK_EX):
            if (archive_dir / _SWAP).exists():
                _do_swap(archive_dir)


def _do_swap(archive_dir: Path) -> None:
    plan = orjson.loads((archive_dir / _SWAP).read_bytes())
    for source, target in plan["new"].items():
        if (archive_dir / source).exists():
            (archive_dir / target).parent.mkdir(parents=True, exist_ok=True)
            (archive_dir / source).replace(archive_dir / target)
    kept = set(plan["new"].values())
    for name in plan["old"]:
        if name not in kept:
            (archive_dir / name).unlink(missing_ok=True)
    for name in {*plan["old"], *kept}:
        folder = (archive_dir / name).parent
        if folder.is_dir():
            sync_directory(folder)
    (archive_dir / _SWAP).unlink()


def _name(archive_dir: Path, path: Path) -> str:
    return path.relative_to(archive_dir).as_posix()


@contextmanager
def _locked(archive_dir: Path, mode: int, name: str = ".lock") -> Iterator[None]:
    archive_dir.mkdir(parents=True, exist_ok=True)
    with (archive_dir / name).open("a") as file:
        fcntl.flock(file, mode)
        yield
