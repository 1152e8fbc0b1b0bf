"""Backup and restore of a whole installation: store, archive, models."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import orjson

from feed.config import Settings
from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_erasures import add_erased, read_erased
from feed.storage.archive_files import reading, settled, table_files
from feed.storage.archive_ledger import (
    START,
    Commit,
    Ledger,
)
from feed.storage.data_place import sync_directory, write_durably
from feed.storage.key_names import Keys
from feed.storage.link import Link
from feed.storage.store_dump import StoreDump, load_store

FORMAT = 1
_STORE_FILE = "store.dump.gz"
_MANIFEST = "backup.json"
_FILES = "files"
_LEFT_OUT = {"store", "archive", "run"}
"""Parts of the data directory that are not copied as they are."""

LINK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds: records of the store, and files of archive and models."""

    records: int
    files: int
    size_bytes: int


def backup(settings: Settings, target: Path) -> BackupReport:
    """Copy a running installation into a new directory.

    The streams and their checkpoint are copied first, then the archive as far as those streams
    reach. So after a restore the worker skips what is already archived or counted and does the
    rest, each event once. The directory gets its name only when the copy is complete.

    Args:
        settings: `redis_url` (the embedded store's address if there is one) and `data_dir`.
        target: a directory that does not exist yet.

    Raises:
        ConflictError: `target` exists, or lies in the data directory.
        ArchiveError: the backup cannot be written.
        StoreUnavailableError: the store does not answer.
    """
    if target.exists():
        raise ConflictError(f"{target} already exists")
    if settings.data_dir.resolve() in target.resolve().parents:
        raise ConflictError(f"{target} lies in the data directory that is to be copied")
    draft = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(draft, ignore_errors=True)
    link = _open_link(settings)
    try:
        (draft / _FILES).mkdir(parents=True)
        keys = Keys(settings.namespace, settings.partitions)
        archive = settings.data_dir / "archive"
        with StoreDump(link, keys, settings.namespace, draft / _STORE_FILE) as dump:
            with reading(archive):  # nothing is swapped, merged or deleted meanwhile
                copy_archive(archive, draft / _FILES / "archive", dump.write_streams())
            dump.write_values()
        _copy_rest(settings.data_dir, draft / _FILES)
        copied = [path for path in draft.rglob("*") if path.is_file()]
        report = BackupReport(dump.count, len(copied), sum(path.stat().st_size for path in copied))
        _write_manifest(draft, settings, report)
        draft.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise ArchiveError(f"cannot write the backup: {error}") from error
    finally:
        link.close()
    return report


def restore(settings: Settings, source: Path) -> BackupReport:
    """Restore a backup into an empty store and a data directory without archive and models.

    Raises:
        ConflictError: store or data directory already hold data, or the partitions differ.
        ArchiveError: `source` is not a complete backup.
        StoreUnavailableError: the store does not answer.
    """
    manifest = _read_manifest(source)
    if manifest["partitions"] != settings.partitions:
        raise ConflictError(
            f"the backup was made with {manifest['partitions']} partitions, "
            f"the setting partitions says {settings.partitions}"
        )
    if manifest["namespace"] != settings.namespace:
        raise ConflictError(f"the backup is of the namespace {manifest['namespace']}")
    for path in (source / _FILES).iterdir():
        if (settings.data_dir / path.name).exists():
            raise ConflictError(f"{settings.data_dir / path.name} already exists")
    link = _open_link(settings)
    try:
        keys = Keys(settings.namespace, settings.partitions)
        records = load_store(link, keys, source / _STORE_FILE)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / _FILES, settings.data_dir, dirs_exist_ok=True)
    except OSError as error:
        raise ArchiveError(f"cannot restore the backup: {error}") from error
    finally:
        link.close()
    return BackupReport(records, manifest["files"], manifest["size_bytes"])


def copy_archive(archive: Path, target: Path, ends: Mapping[int, str]) -> None:
    """Copy the archive as it was when the streams ended at `ends`; ledger and files agree."""
    with settled(archive):  # nothing is half committed at this moment
        entries = Ledger(archive).entries()
        files = table_files(archive)
        erased = read_erased(archive)
    kept = list(takewhile(lambda entry: _is_within(entry, ends), entries))
    if not kept and entries and entries[0].number > 1:
        kept = entries  # the ledger does not go back so far: better too much than too little
    later = {name for entry in entries[len(kept) :] for name in entry.files}
    for path in files:
        name = path.relative_to(archive)
        if name.as_posix() not in later:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name)
    for entry in kept[-1:]:
        Ledger(target).add(entry)
    if erased:
        target.mkdir(parents=True, exist_ok=True)
        add_erased(target, erased)


def _is_within(entry: Commit, ends: Mapping[int, str]) -> bool:
    return all(
        _order(last) <= _order(ends.get(partition, START))
        for partition, (_, last) in entry.ranges.items()
    )


def _order(stream_id: str) -> tuple[int, int]:
    milliseconds, sequence = stream_id.split("-")
    return int(milliseconds), int(sequence)


_HALF_WRITTEN = shutil.ignore_patterns(".writing-*", "*.tmp")
"""What a trainer writes aside and renames: it may be gone before it is copied."""


def _copy_rest(data_dir: Path, target: Path) -> None:
    for path in sorted(data_dir.iterdir()) if data_dir.is_dir() else ():
        if path.name in _LEFT_OUT or path.name.startswith("."):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=_HALF_WRITTEN)
        else:
            shutil.copy2(path, target / path.name)


def _write_manifest(draft: Path, settings: Settings, report: BackupReport) -> None:
    manifest = {
        "format": FORMAT,
        "made_at": time.time(),
        "namespace": settings.namespace,
        "partitions": settings.partitions,
        "records": report.records,
        "files": report.files,
        "size_bytes": report.size_bytes,
    }
    write_durably(draft / _MANIFEST, orjson.dumps(manifest))


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = orjson.loads((source / _MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ArchiveError(f"{source} is not a backup: {error}") from error
    if manifest["format"] != FORMAT:
        raise ArchiveError(f"{source} is a backup of format {manifest['format']}, not {FORMAT}")
    return manifest


def _open_link(settings: Settings) -> Link:
    return Link(settings.redis_url, cluster=settings.redis_cluster, timeout_s=LINK_TIMEOUT_S)
