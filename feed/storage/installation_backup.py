"""Backup and restore of a whole installation: store, archive, models."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import orjson

from feed.config import Settings
from feed.domain import ArchiveError, ConflictError, StoreUnavailableError
from feed.storage.archive_erasures import add_erased, read_erased
from feed.storage.archive_files import (
    archive_objects,
    fetch_files,
    reading,
    settled,
    table_files,
)
from feed.storage.archive_ledger import START, Commit, Ledger
from feed.storage.archive_objects import ArchiveObjects, changes_until, live_after
from feed.storage.backup_manifest import (
    BackupManifest,
    backup_files,
    check_files,
    digest_of,
    read_manifest,
    write_manifest,
)
from feed.storage.data_place import sync_directory, write_durably
from feed.storage.key_names import Keys
from feed.storage.link import Link
from feed.storage.object_copies import (
    download_backup,
    download_part,
    upload_archive,
    upload_backup,
    upload_part,
)
from feed.storage.store_dump import StoreDump, StoreLoad
from feed.storage.working_copy import check_data_url, delete_part, object_place, remote_of

_STORE_FILE = "store.dump.gz"
_FILES = "files"
_PLACING = "placing"
"""Names the parts that a restore is about to place."""
_TRIES = 3
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
        ConflictError: `target` exists, is being written, or lies in the data directory.
        ArchiveError: the backup cannot be written.
        StoreUnavailableError: the store does not answer.
    """
    if target.exists():
        raise ConflictError(f"{target} already exists")
    if settings.data_dir.resolve() in target.resolve().parents:
        raise ConflictError(f"{target} lies in the data directory that is to be copied")
    link = _open_link(settings)
    try:
        aside = target.with_name(f".{target.name}.unfinished")
        with _own_draft(aside, f"writing the backup {target}") as draft:
            report = _write_backup(settings, link, draft)
            draft.rename(target)
            sync_directory(target.parent)
    except OSError as error:
        raise ArchiveError(f"cannot write the backup: {_reason(error)}") from error
    finally:
        link.close()
    return report


@contextmanager
def _own_draft(
    draft: Path, purpose: str, before: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Make a directory, empty, in which something is prepared, and keep others away from it.

    One that a killed process has left is emptied; `before` is called first. It is deleted when the
    block fails.

    Raises:
        ConflictError: another process has it, for the same `purpose`.
    """
    draft.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        if not _takes(draft, descriptor):
            raise ConflictError(f"another process is {purpose}")
        before()
        _clear(draft)
        try:
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _deleted_on_failure(draft: Path, parts: Sequence[Path]) -> Iterator[None]:
    """Delete, if the block fails, what is in a draft, and the parts that the block has written."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the first error is the one to be told
            _clear(draft)
        for path in parts:
            with suppress(OSError, ArchiveError):
                delete_part(path)
        raise


def _clear(draft: Path) -> None:
    for path in draft.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _takes(draft: Path, descriptor: int) -> bool:
    """Lock a directory; return whether nobody else has it, or had it and gave it its name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return draft.exists() and os.path.samestat(draft.stat(), os.fstat(descriptor))


def _write_backup(settings: Settings, link: Link, draft: Path) -> BackupReport:
    (draft / _FILES).mkdir()
    keys = Keys(settings.namespace, settings.partitions)
    archive = settings.data_dir / "archive"
    _fetch_all(archive)
    for attempt in range(_TRIES):
        with StoreDump(link, keys, settings.namespace, draft / _STORE_FILE) as dump:
            try:
                with reading(archive):  # nothing is swapped, merged or deleted meanwhile
                    copy_archive(archive, draft / _FILES / "archive", dump.write_streams())
            except FileNotFoundError:  # another machine has just merged files of the store
                if attempt == _TRIES - 1:
                    raise
                shutil.rmtree(draft / _FILES / "archive", ignore_errors=True)
                continue
            dump.write_values()
            break
    _copy_rest(settings.data_dir, draft / _FILES)
    copied = backup_files(draft)
    size_bytes = sum(path.stat().st_size for path in copied.values())
    manifest = BackupManifest(
        made_at=time.time(),
        namespace=settings.namespace,
        partitions=settings.partitions,
        records=dump.count,
        files=len(copied),
        size_bytes=size_bytes,
        digests={name: digest_of(path) for name, path in sorted(copied.items())},
    )
    write_manifest(draft, manifest)
    return BackupReport(dump.count, len(copied), size_bytes)


def restore(settings: Settings, source: Path) -> BackupReport:
    """Restore a backup into an empty store and a data directory without archive and models.

    It is restored whole or not at all: the files are copied aside, and get their names when the
    store is loaded. Services can start when both are done.

    Raises:
        ConflictError: store or data directory already hold data, or the partitions differ.
        InvalidInputError: `source` is no backup, or one of another format.
        ArchiveError: it is not complete.
        StoreUnavailableError: the store does not answer.
    """
    manifest = read_manifest(source)
    if manifest.partitions != settings.partitions:
        raise ConflictError(
            f"the backup was made with {manifest.partitions} partitions, "
            f"the setting partitions says {settings.partitions}"
        )
    if manifest.namespace != settings.namespace:
        raise ConflictError(f"the backup is of the namespace {manifest.namespace}")
    try:
        records = _restore_whole(settings, source, manifest)
    except OSError as error:
        raise ArchiveError(f"nothing was restored: {_reason(error)}") from error
    except (ArchiveError, StoreUnavailableError) as error:
        raise type(error)(f"nothing was restored: {error}") from error
    return BackupReport(records, manifest.files, manifest.size_bytes)


def _restore_whole(settings: Settings, source: Path, manifest: BackupManifest) -> int:
    """Restore everything, or nothing if that fails; return the number of the store's records."""
    saved = {path.name: path for path in (source / _FILES).glob("*")}
    parts = {name: settings.data_dir / name for name in {"archive", "models", *saved}}
    aside, purpose = settings.data_dir / ".restoring", f"restoring into {settings.data_dir}"
    keys = Keys(settings.namespace, settings.partitions)
    placing = aside / _PLACING

    def delete_placed() -> None:
        """Delete the parts that a restore had begun to place when it was killed."""
        with suppress(FileNotFoundError):
            for name in orjson.loads(placing.read_bytes()):
                delete_part(settings.data_dir / name)

    own = _own_draft(aside, purpose, delete_placed)
    with own as draft, closing(_open_link(settings)) as link:
        for _, part in sorted(parts.items()):
            _check_free(part)
        load, placed = StoreLoad(link, keys, settings.namespace), list[Path]()
        with load, _deleted_on_failure(draft, placed):
            check_files(source, manifest)
            for name, path in saved.items():
                if remote_of(parts[name]) is None:
                    _copy(path, draft / name)
            records = load.load(source / _STORE_FILE)
            write_durably(placing, orjson.dumps(sorted(saved)))
            for name, path in saved.items():
                placed.append(parts[name])
                _put_in_place(path, draft / name, parts[name])
            placing.unlink()
            load.finish()
        with suppress(OSError):
            draft.rmdir()
    return records


def backup_to_url(settings: Settings, url: str) -> BackupReport:
    """Copy a running installation to an empty place of an object store.

    The copy is first made on this machine's disk. It counts when its last object is there.

    Raises:
        InvalidInputError: the URL cannot be used.
        ConflictError, ArchiveError, StoreUnavailableError: as `backup`.
    """
    place = object_place(check_data_url(url, "TARGET"), "TARGET")
    place.probe()
    if place.list():
        raise ConflictError(f"{url} already exists")
    with tempfile.TemporaryDirectory(prefix="feed-backup-") as folder:
        report = backup(settings, Path(folder) / "backup")
        upload_backup(Path(folder) / "backup", place)
    return report


def restore_from_url(settings: Settings, url: str) -> BackupReport:
    """Restore a backup from an object store; as `restore`."""
    place = object_place(check_data_url(url, "SOURCE"), "SOURCE")
    place.probe()
    with tempfile.TemporaryDirectory(prefix="feed-restore-") as folder:
        download_backup(place, Path(folder))
        return restore(settings, Path(folder))


def copy_archive(archive: Path, target: Path, ends: Mapping[int, str]) -> None:
    """Copy the archive as it was when the streams ended at `ends`; ledger and files agree."""
    objects = archive_objects(archive)
    files, last = _local_files(archive, ends) if objects is None else _objects_at(objects, ends)
    erased = read_erased(archive)
    for path in fetch_files(archive, [archive / name for name in files]):
        copy = target / path.relative_to(archive)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    if last is not None:
        Ledger(target).add(last)
    if erased:
        target.mkdir(parents=True, exist_ok=True)
        add_erased(target, erased)


def _local_files(archive: Path, ends: Mapping[int, str]) -> tuple[list[str], Commit | None]:
    """Return the files of commits within the ends of the streams, and the last such commit."""
    with settled(archive):  # nothing is half committed at this moment
        entries = Ledger(archive).entries()
        files = [path.relative_to(archive).as_posix() for path in table_files(archive)]
    kept = list(takewhile(lambda entry: _is_within(entry, ends), entries))
    if not kept and entries and entries[0].number > 1:
        kept = entries  # the ledger does not go back so far: better too much than too little
    later = {name for entry in entries[len(kept) :] for name in entry.files}
    return [name for name in files if name not in later], kept[-1] if kept else None


def _objects_at(
    objects: ArchiveObjects, ends: Mapping[int, str]
) -> tuple[list[str], Commit | None]:
    """Return what `_local_files` returns, of an archive in an object store."""
    objects.refresh()
    log = objects.changes()
    kept = changes_until(log, lambda commit: _is_within(commit, ends))
    if not kept and log and log[0].number > 1:
        kept = log
    return list(live_after(kept)), kept[-1].commit if kept else None


def _fetch_all(archive: Path) -> None:
    """Make what an archive in an object store holds present, before the streams are copied."""
    objects = archive_objects(archive)
    if objects is not None:
        with suppress(FileNotFoundError), reading(archive):
            fetch_files(archive, table_files(archive))


def _check_free(path: Path) -> None:
    remote = remote_of(path)
    if remote is None and path.exists():
        raise ConflictError(f"{path} already exists")
    if remote is not None and remote.list():
        raise ConflictError(f"{remote.url} already exists")


def _reason(error: OSError) -> str:
    """Return what went wrong; where many files could not be copied, what the first one met."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return str(error)


def _copy(saved: Path, path: Path) -> None:
    if saved.is_dir():
        shutil.copytree(saved, path)
    else:
        shutil.copy2(saved, path)


def _put_in_place(saved: Path, copied: Path, path: Path) -> None:
    remote = remote_of(path)
    if remote is not None and path.name == "archive":
        upload_archive(saved, path)
    elif remote is not None:
        upload_part(saved, remote)
    else:
        copied.rename(path)


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
        remote = remote_of(path)
        if remote is not None:
            download_part(remote, target / path.name)
        elif path.is_dir():
            shutil.copytree(path, target / path.name, ignore=_HALF_WRITTEN)
        else:
            shutil.copy2(path, target / path.name)


def _open_link(settings: Settings) -> Link:
    return Link(settings.redis_url, cluster=settings.redis_cluster, timeout_s=LINK_TIMEOUT_S)
