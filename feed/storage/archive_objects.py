"""The archive in an object store: a log that says which files are live, and their local copies.

`log/000000000042.json` is the 42nd change of the archive. Creating the next number, which only one
writer can, is the commit; each change names the files that it added and removed. So nothing is
renamed, and readers see every change whole. Files are named for their content and never change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_ledger import EMPTY, Commit

if TYPE_CHECKING:
    from feed.storage.object_place import ObjectPlace

KEPT = 256
"""Changes that the log keeps."""
FULL_EVERY = 64
"""Of so many changes one names all live files, so that a reader need not know those before it."""
ORPHAN_S = 3600.0
"""Age from which a file that no change names was left by a writer that died."""
COMMIT_S = ORPHAN_S / 2
"""Longest time between the upload of a file and the change that names it."""
DIGEST = 16
"""Hexadecimal digits of the SHA-256 in a file's name."""
_LOG = "log/"
_PARALLEL = 8
_TRIES = 20
_IN_USE_S = 600.0
STAGING = "staging"
"""The directory of a working copy that holds what writers have not committed yet."""
"""A file of the working copy that was needed so recently is kept, however full that is."""
_NUMBER = re.compile(r"(?<![0-9a-f])\d{12}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log.

    `added` maps files to bytes; `live`, in every `FULL_EVERY`th entry, all files after it, and
    `base` is the number of the last such entry. `by` makes an entry unlike that of any other
    writer. `commit` is the last commit of stream records; `is_commit` if this entry made it.
    """

    number: int
    base: int
    by: str
    commit: Commit
    is_commit: bool
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Sequence[str] = ()
    live: Mapping[str, int] | None = None

    def to_bytes(self) -> bytes:
        """Return the entry as JSON."""
        names = ("number", "base", "by", "is_commit", "added", "removed", "live")
        values = {name: getattr(self, name) for name in names}
        return orjson.dumps({**values, "commit": orjson.loads(self.commit.to_bytes())})

    @classmethod
    def from_bytes(cls, data: bytes) -> Change:
        """Return the entry that `to_bytes` wrote."""
        values: dict[str, Any] = orjson.loads(data)
        return cls(**values | {"commit": Commit.from_bytes(orjson.dumps(values["commit"]))})


_NOTHING = Change(0, 0, "", EMPTY, is_commit=False, live={})


class ArchiveObjects:
    """The archive in an object store and its working copy.

    Args:
        directory: the working copy; `log` in it holds the log as it was last seen, beside it are
            the files that were needed.
        place: the objects.
    """

    def __init__(self, directory: Path, place: ObjectPlace) -> None:
        self._dir, self._place = directory, place

    def refresh(self) -> None:
        """Bring the log in the working copy up to date."""
        names = self._place.list(_LOG)
        log = self._dir / _LOG
        log.mkdir(parents=True, exist_ok=True)
        missing = [name for name in names if not (self._dir / name).exists()]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for name, stored in zip(missing, pool.map(self._place.read, missing), strict=True):
                if stored is not None:  # else it has just been deleted, because it is old
                    self._keep(name, stored.data)
        for path in log.glob("[0-9]*.json"):
            if names and path.name < Path(names[0]).name:
                path.unlink(missing_ok=True)

    def changes(self) -> list[Change]:
        """Return the log as the working copy has it, oldest first.

        Raises:
            ArchiveError: an entry cannot be read.
        """
        paths = sorted((self._dir / _LOG).glob("[0-9]*.json"))
        try:
            return [Change.from_bytes(path.read_bytes()) for path in paths]
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"the log in {self._dir / _LOG} is damaged: {error}") from error

    def live(self) -> dict[str, int]:
        """Return the live files with their bytes, as the working copy's log says."""
        return live_after(self.changes())

    def last(self) -> Commit:
        """Return the last commit."""
        return (self.changes() or [_NOTHING])[-1].commit

    def fetch(self, paths: Iterable[Path]) -> None:
        """Make files present in the working copy, and mark them as used.

        Raises:
            FileNotFoundError: a file is not in the store any more: read the log again.
            DataPlaceError: the store does not answer, or a file is damaged.
        """
        live = self.live()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda path: self._fetch(path, live), paths))

    def _fetch(self, path: Path, live: Mapping[str, int]) -> None:
        name = path.relative_to(self._dir).as_posix()
        try:
            if path.stat().st_size == live.get(name):
                path.touch()
                return
        except FileNotFoundError:
            pass
        self._place.download(name, path, path.stem.rpartition(".")[2])

    def store_files(self, staged: Mapping[Path, str]) -> dict[Path, str]:
        """Upload files; return the name that each got: what was asked for, and its digest."""
        names = {path: _final_name(path, name) for path, name in staged.items()}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(self._place.upload, names, names.values()))
        return names

    def settle(self, names: Mapping[Path, str]) -> None:
        """Move files that were uploaded into the working copy."""
        for path, name in names.items():
            (self._dir / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(self._dir / name)

    def append(
        self,
        make_commit: Callable[[Commit], Commit],
        added: Mapping[str, int],
        removed: Sequence[str] = (),
    ) -> Commit:
        """Add a change to the log, whoever else adds some.

        Args:
            make_commit: is given the last commit, and returns the one of this change (the same
                for a change without stream records); raises ConflictError if it may not be made.
            added: files and their bytes.
            removed: files that this change replaces.

        Raises:
            ConflictError: `make_commit` raised it, or a file of `removed` is not live any more.
            ArchiveError: too many others write at once, or it took too long.
        """
        by, started = secrets.token_hex(8), time.monotonic()
        for _ in range(_TRIES):
            log = self.changes()
            last, live = (log or [_NOTHING])[-1], live_after(log)
            commit = make_commit(last.commit)
            if not live.keys() >= set(removed):
                raise ConflictError("another process has replaced the same files of the archive")
            left = {name: size for name, size in live.items() if name not in set(removed)}
            left |= added
            number, is_full = last.number + 1, last.number + 1 - last.base >= FULL_EVERY
            change = Change(
                number,
                number if is_full or not log else last.base,
                by,
                commit,
                is_commit=commit is not last.commit,
                added=added,
                removed=removed,
                live=left if is_full or not log else None,
            )
            if time.monotonic() - started > COMMIT_S:
                break
            try:
                self._place.create(_entry_name(number), change.to_bytes())
            except ConflictError:
                self.refresh()
                continue
            if last.number and not self._place.exists(_entry_name(last.number)):
                # This process slept while the log grew and was shortened: the name was free again.
                self._place.delete(_entry_name(number))
                self.refresh()
                continue
            self._keep(_entry_name(number), change.to_bytes())
            for old in (c.number for c in log if c.number <= number - KEPT):
                self._place.delete(_entry_name(old))  # the oldest first: what is left has no gap
            return commit
        raise ArchiveError("the log of the archive could not be written")

    def begin(self, commit: Commit, files: Mapping[str, int]) -> None:
        """Make the first change of a log, with everything that another archive held.

        Raises:
            ConflictError: the log has begun.
        """
        self.refresh()

        def only_first(last: Commit) -> Commit:
            if last is not EMPTY:
                raise ConflictError(f"{self._place.url} already holds an archive")
            return commit

        self.append(only_first, files)

    def replace(self, new: Mapping[Path, Path], old: Sequence[Path]) -> None:
        """Replace files by others in one change, then delete the old ones for good.

        Args:
            new: staged file -> where it goes, without its digest.
            old: files of the working copy.
        """
        targets = {path: target.relative_to(self._dir).as_posix() for path, target in new.items()}
        removed = [path.relative_to(self._dir).as_posix() for path in old]
        names = self.store_files(targets)
        added = {name: path.stat().st_size for path, name in names.items()}
        removed = [name for name in removed if name not in added]  # the same content again
        self.append(lambda last: last, added, removed)
        self.settle(names)
        self._delete(removed)

    def stored(self) -> list[str]:
        """Return the names of all objects of the archive, live or not."""
        return self._place.list()

    def delete_dead(self, names: Iterable[str]) -> None:
        """Delete those of some files that are not live."""
        self.refresh()
        self._delete(sorted(set(names) - self.live().keys()))

    def sweep(self) -> None:
        """Delete files that no change names, or that one removed, after a writer has died."""
        self.refresh()
        log = self.changes()
        live = live_after(log)
        removed = {name for change in log for name in change.removed}
        ages = self._place.ages()
        orphans = {n for n, age in ages.items() if age > ORPHAN_S and _is_file(Path(n))}
        self._delete(sorted((removed & ages.keys() | orphans) - live.keys()))

    def _delete(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(self._place.delete, names))

    def tidy(self, bound_bytes: int, now: float) -> None:
        """Delete from the working copy what is not live, and what was unused longest.

        Nothing is deleted while another process reads, nor what a writer has staged.
        """
        with (self._dir / ".lock").open("a") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            live = self.live()
            total = 0
            for state, path in sorted(self._copies(), key=lambda c: c[0].st_mtime, reverse=True):
                total += state.st_size
                is_recent = now - state.st_mtime < _IN_USE_S
                if path.name.startswith(".") or path.relative_to(self._dir).as_posix() in live:
                    is_over = total > bound_bytes and not is_recent
                else:
                    is_over = True
                if is_over:
                    path.unlink(missing_ok=True)

    def _copies(self) -> Iterator[tuple[os.stat_result, Path]]:
        """Yield the files of rows in the working copy but those that are staged."""
        for path in self._dir.rglob("*.*"):
            if _is_file(path) and STAGING not in path.relative_to(self._dir).parts:
                with suppress(FileNotFoundError):  # another process has just renamed or deleted it
                    yield path.stat(), path

    def _keep(self, name: str, data: bytes) -> None:
        path = self._dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        aside.write_bytes(data)
        aside.replace(path)


def live_after(changes: Sequence[Change]) -> dict[str, int]:
    """Return the live files after the last of some changes, with their bytes."""
    if not changes:
        return {}
    live: dict[str, int] = {}
    for change in changes:
        if change.number < changes[-1].base:
            continue
        if change.live is not None:
            live = dict(change.live)
            continue
        for name in change.removed:
            live.pop(name, None)
        live |= change.added
    return live


def changes_until(changes: Sequence[Change], allows: Callable[[Commit], bool]) -> list[Change]:
    """Return the changes before the first commit that is not allowed; all if that is the first."""
    kept = list(takewhile(lambda change: not change.is_commit or allows(change.commit), changes))
    return kept or list(changes)


def _entry_name(number: int) -> str:
    return f"{_LOG}{number:012d}.json"


def _final_name(path: Path, name: str) -> str:
    """Return a name with the commits of the wanted one and the digest of the content."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST]
    wanted = Path(name)
    found = list(_NUMBER.finditer(wanted.name))
    stem = wanted.stem
    if found:
        first, last = found[0].group(), found[-1].group()
        stem = wanted.name[: found[0].start()] + (first if first == last else f"{first}-{last}")
    return wanted.with_name(f"{stem}.{digest}{wanted.suffix}").as_posix()


def _is_file(path: Path) -> bool:
    """Return whether a path of the archive, or of its working copy, is a file of rows."""
    return "/day=" in path.as_posix() or "rejected/" in path.as_posix()
