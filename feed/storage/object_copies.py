"""Whole parts of an installation, copied to an object store and from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_erasures import add_erased, read_erased
from feed.storage.archive_files import archive_objects, rejected_files, table_files
from feed.storage.archive_ledger import Ledger
from feed.storage.backup_manifest import (
    BACKUP_MANIFEST,
    manifest_of,
    read_manifest,
    write_manifest,
)

if TYPE_CHECKING:
    from feed.storage.object_place import ObjectPlace

_DIGESTS = "digests.json"
"""Holds the digests of a backup that an earlier version made."""

_LAST = ("manifest.json", "HISTORY", "LIVE")
"""Names that say that others are there: they are written after these."""
_PARALLEL = 8


def upload_backup(directory: Path, place: ObjectPlace) -> None:
    """Upload a backup; it counts as one when its manifest, the last object, is there.

    Raises:
        ConflictError: something is there already.
    """
    if place.list():
        raise ConflictError(f"{place.url} already exists")
    names = read_manifest(directory).digests or {}
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(lambda name: place.upload(directory / name, name), names))
    place.create(BACKUP_MANIFEST, (directory / BACKUP_MANIFEST).read_bytes())


def download_backup(place: ObjectPlace, directory: Path) -> None:
    """Download a backup, every file compared with its digest.

    Raises:
        ArchiveError: there is no complete backup, or a file of it is missing or damaged.
        InvalidInputError: its manifest is none.
    """
    stored = place.read(BACKUP_MANIFEST)
    if stored is None:
        raise ArchiveError(f"{place.url} is not a backup")
    manifest = manifest_of(stored.data, place.url)
    if manifest.digests is None:
        digests = place.read(_DIGESTS)
        if digests is None:
            raise ArchiveError(f"{place.url} is not complete: {_DIGESTS} is missing")
        manifest = replace(manifest, digests=orjson.loads(digests.data))
    wanted = manifest.digests or {}
    try:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda n: place.download(n, directory / n, wanted[n]), wanted))
    except FileNotFoundError as error:
        raise ArchiveError(f"{place.url} is not complete: {error}") from error
    write_manifest(directory, manifest)


def upload_part(directory: Path, place: ObjectPlace) -> None:
    """Upload the files of models or reports into a place that has none."""
    for name in sorted(_names(directory), key=lambda name: (_rank(name), name)):
        place.create(name, (directory / name).read_bytes())


def download_part(place: ObjectPlace, directory: Path) -> None:
    """Download models or reports; the pointer to the live model first, so that it is there."""
    directory.mkdir(parents=True)
    for name in sorted(place.list(), key=_rank, reverse=True):
        stored = place.read(name)
        if stored is not None:  # else it has just been deleted
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(stored.data)


def upload_archive(directory: Path, working_copy: Path) -> None:
    """Make an archive in a directory the content of an empty one in an object store.

    Raises:
        ConflictError: the store has an archive already.
    """
    objects = archive_objects(working_copy)
    if objects is None or not directory.is_dir():
        return
    files = [*table_files(directory), *rejected_files(directory)]
    names = objects.store_files({p: p.relative_to(directory).as_posix() for p in files})
    objects.begin(Ledger(directory).last(), {n: p.stat().st_size for p, n in names.items()})
    add_erased(working_copy, read_erased(directory))


def _names(directory: Path) -> list[str]:
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = (path.relative_to(directory) for path in paths)
    return [n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts)]


def _rank(name: str) -> int:
    last = Path(name).name
    return _LAST.index(last) + 1 if last in _LAST else 0
