"""ModelRegistry: versions of the model in a directory, one of them live."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feed.domain import BundleError, ConflictError, NotFoundError, check_id
from feed.models.bundle import (
    ModelBundle,
    load_bundle,
    parse_manifest,
    read_manifest,
    save_bundle,
)
from feed.models.model_objects import ModelObjects
from feed.models.training_runs import RUNS
from feed.storage.data_place import (
    ABSENT,
    ASIDE,
    DataPlaceError,
    LocalPlace,
    Stored,
    locked,
    sync_directory,
    write_whole,
)
from feed.storage.working_copy import cache_bytes, remote_of

_POINTER = "LIVE"
_HISTORY = "HISTORY"


class ModelRegistry:
    """Publishes bundles and points at the live one.

    A version is a directory, written aside and renamed, so a reader sees it whole or not at all.
    The pointer is one small file replaced atomically; web processes look at it now and then.

    If the directory is a working copy of an object store, versions and pointer are there, and the
    directory holds copies. The pointer is then changed only by whoever has seen its present state.

    Args:
        directory: of the versions.
        follows: take the pointer from the working copy, which `pull_live` keeps up to date; for
            those who ask several times a second.
    """

    def __init__(self, directory: Path, *, follows: bool = False) -> None:
        self._directory = directory
        remote = remote_of(directory)
        self._copy = LocalPlace(directory)
        self._place = self._copy if remote is None or follows else remote
        self._remote = remote
        self._objects = (
            None
            if remote is None
            else ModelObjects(directory, remote, bound_bytes=cache_bytes(directory))
        )
        self._etag = ABSENT

    def publish(self, bundle: ModelBundle) -> str:
        """Write a bundle as a version of its own, without making it live; return the version.

        Raises:
            ConflictError: there is such a version.
            BundleError: it cannot be written.
        """
        version = check_id("version", bundle.version)
        if "/" in version or version.startswith(".") or version == RUNS:
            raise BundleError(
                f"a version must not contain a slash, begin with a dot or be named {RUNS}"
            )
        if (self._directory / version).exists():
            raise ConflictError(f"the model version {version} already exists")
        aside = self._directory / f"{ASIDE}{version}-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        save_bundle(bundle, aside)
        if self._objects is not None:
            self._objects.publish(aside, version)
        aside.rename(self._directory / version)
        sync_directory(self._directory)
        return version

    def set_live(self, version: str, fence: Callable[[], None] = lambda: None) -> None:
        """Make a published version the live one.

        Args:
            version: its name.
            fence: called after the pointer was read and before it is replaced; what it raises is
                raised, and nothing is changed. See `TrainerLease`.

        Raises:
            NotFoundError: there is no such version.
            BundleError: it is damaged or of another schema.
            ConflictError: somebody else makes one live in the object store at the same moment.
        """
        self.load(version)
        history, live = self._place.read(_HISTORY), self._place.read(_POINTER)
        earlier = [v for v in _words(history) if v != version]
        fence()
        self._point([*earlier, version], history, live)

    def _point(self, history: Sequence[str], seen: Stored | None, live: Stored | None) -> None:
        """Write history and pointer; in an object store, if both are still as they were seen.

        Raises:
            NotFoundError: the version has been deleted meanwhile.
        """
        with locked(self._directory):
            if self._objects is None and history[-1] not in self._versions():
                raise NotFoundError(f"the model version {history[-1]} has just been deleted")
            for name, text, stored in (
                (_HISTORY, "\n".join(history), seen),
                (_POINTER, history[-1], live),
            ):
                data = f"{text}\n".encode()
                if self._remote is not None:
                    self._remote.replace(name, data, ABSENT if stored is None else stored.etag)
                write_whole(self._directory / name, data)

    def live_version(self) -> str | None:
        """Return the live version, or None before there is one."""
        return next(iter(_words(self._place.read(_POINTER))), None)

    def pull_live(self) -> bool:
        """Bring the pointer of a working copy up to date; return whether it was changed.

        The model comes first: whoever sees the pointer finds the model. While nothing changes,
        this is one conditional request without a body.

        Raises:
            DataPlaceError: the object store does not answer.
            NotFoundError: the model has just been deleted.
        """
        if self._remote is None or self._objects is None:
            return False
        with locked(self._directory):  # else who read the pointer earlier might write it later
            stored = self._remote.read_if_changed(_POINTER, self._etag)
            if stored is None:
                return False
            for version in _words(stored):
                self._objects.pull(version)
            history = self._remote.read(_HISTORY)
            if history is not None:
                write_whole(self._directory / _HISTORY, history.data)
            write_whole(self._directory / _POINTER, stored.data)
        self._etag = stored.etag
        return True

    def load(self, version: str) -> ModelBundle:
        """Return a published bundle.

        Raises:
            NotFoundError: there is no such version.
            BundleError: it is damaged or of another schema.
        """
        if self._objects is None:
            if version not in self._versions():
                raise NotFoundError(f"there is no model version {version}")
            return load_bundle(self._directory / version)
        try:
            self._objects.pull(version)
            try:
                return load_bundle(self._directory / version)
            except BundleError:  # perhaps only the copy is damaged
                self._objects.pull(version, again=True)
                return load_bundle(self._directory / version)
        except DataPlaceError as error:
            raise BundleError(f"cannot fetch the model {version}: {error}") from error

    def load_live(self) -> ModelBundle | None:
        """Return the live bundle, or None before there is one.

        Raises:
            BundleError: it is damaged or of another schema.
        """
        version = self.live_version()
        return None if version is None else self.load(version)

    def list(self, known: Mapping[str, dict[str, Any]] | None = None) -> tuple[dict[str, Any], ...]:
        """Return the manifest of every version, newest first, each with `live` true or false.

        A version whose manifest is broken is listed with `error` instead.

        Args:
            known: manifests that need not be read again, by version: they never change.
        """
        live, known = self.live_version(), known or {}
        manifests = []
        for version in self._versions():
            try:
                manifest = known.get(version) or self._manifest(version)
            except (BundleError, NotFoundError) as error:
                manifest = {"version": version, "error": str(error)}
            manifests.append(manifest | {"live": version == live})
        newest_first = sorted(manifests, key=lambda m: str(m.get("created_at", "")), reverse=True)
        return tuple(newest_first)

    def _manifest(self, version: str) -> dict[str, Any]:
        copy = self._directory / version
        if self._objects is None or copy.is_dir():
            return read_manifest(copy)
        return parse_manifest(self._objects.read_manifest(version), version)

    def earlier(self, published: Collection[str] | None = None) -> tuple[str, ...]:
        """Return the versions that were live before the present one, the latest last.

        Args:
            published: the versions that there are, if they are known already.
        """
        there = self._versions() if published is None else published
        live = self.live_version()
        earlier = tuple(v for v in _words(self._place.read(_HISTORY)) if v in there)
        return earlier[: earlier.index(live)] if live in earlier else earlier

    def rollback(self) -> str:
        """Make the version that was live before the present one live again; return it.

        Raises:
            NotFoundError: there is none.
        """
        earlier = self.earlier()
        if not earlier:
            raise NotFoundError("no model was live before this one")
        self.load(earlier[-1])
        self._point(earlier, self._place.read(_HISTORY), self._place.read(_POINTER))
        return earlier[-1]

    def prune(self, keep: int, needed: Collection[str] = ()) -> tuple[str, ...]:
        """Delete all but the newest `keep` versions, those that are needed, and the last two live.

        Return what was deleted.
        """
        if not self._directory.is_dir():
            return ()
        with locked(self._directory):  # so that none is deleted while it is made live
            versions = [str(m["version"]) for m in self.list()]
            history = _words(self._place.read(_HISTORY))
            kept = {*versions[:keep], *needed, *history[-2:], self.live_version()}
            gone = tuple(v for v in versions if v not in kept)
            for version in gone:
                if self._objects is not None:
                    self._objects.delete(version)
                shutil.rmtree(self._directory / version, ignore_errors=True)
        return gone

    def sweep(self) -> None:
        """Delete what trainers that died left half-written; call it while no other publishes."""
        if self._objects is not None:
            self._objects.sweep({RUNS})
        for path in self._directory.glob(f"{ASIDE}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not _is_running(path.name.rpartition("-")[2]):  # a rollback may be at work now
                path.unlink(missing_ok=True)

    def _versions(self) -> set[str]:
        if self._objects is not None:
            return self._objects.versions()
        if not self._directory.is_dir():
            return set()
        return {
            path.name
            for path in self._directory.iterdir()
            if path.is_dir() and not path.name.startswith(".") and path.name != RUNS
        }


def _words(stored: Stored | None) -> tuple[str, ...]:
    return () if stored is None else tuple(stored.data.decode(errors="replace").split())


def with_manifest(bundle: ModelBundle, **entries: Any) -> ModelBundle:
    """Return a bundle whose manifest has more entries (the gate's verdict, metrics ...)."""
    return replace(bundle, manifest=bundle.manifest | entries)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
