"""ModelRegistry: versions of the model in a directory, one of them live."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from feed.domain import BundleError, ConflictError, NotFoundError, check_id
from feed.models.bundle import ModelBundle, load_bundle, read_manifest, save_bundle
from feed.models.training_runs import RUNS

_POINTER = "LIVE"
_HISTORY = "HISTORY"
_ASIDE = ".writing-"


class ModelRegistry:
    """Publishes bundles and points at the live one.

    A version is a directory, written aside and renamed, so a reader sees it whole or not at all.
    The pointer is one small file replaced atomically; web processes look at it now and then.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

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
        aside = self._directory / f"{_ASIDE}{version}-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        save_bundle(bundle, aside)
        aside.rename(self._directory / version)
        _sync_directory(self._directory)
        return version

    def set_live(self, version: str) -> None:
        """Make a published version the live one.

        Raises:
            NotFoundError: there is no such version.
            BundleError: it is damaged or of another schema.
        """
        self.load(version)
        history = [v for v in self._history() if v != version]
        self._replace(_HISTORY, "\n".join([*history, version]))
        self._replace(_POINTER, version)

    def live_version(self) -> str | None:
        """Return the live version, or None before there is one."""
        try:
            return (self._directory / _POINTER).read_text().strip() or None
        except OSError:
            return None

    def load(self, version: str) -> ModelBundle:
        """Return a published bundle.

        Raises:
            NotFoundError: there is no such version.
            BundleError: it is damaged or of another schema.
        """
        if version not in self._versions():
            raise NotFoundError(f"there is no model version {version}")
        return load_bundle(self._directory / version)

    def load_live(self) -> ModelBundle | None:
        """Return the live bundle, or None before there is one.

        Raises:
            BundleError: it is damaged or of another schema.
        """
        version = self.live_version()
        return None if version is None else self.load(version)

    def list(self) -> tuple[dict[str, Any], ...]:
        """Return the manifest of every version, newest first, each with `live` true or false.

        A version whose manifest is broken is listed with `error` instead.
        """
        live = self.live_version()
        manifests = []
        for version in self._versions():
            try:
                manifest = read_manifest(self._directory / version)
            except BundleError as error:
                manifest = {"version": version, "error": str(error)}
            manifests.append(manifest | {"live": version == live})
        newest_first = sorted(manifests, key=lambda m: str(m.get("created_at", "")), reverse=True)
        return tuple(newest_first)

    def earlier(self) -> tuple[str, ...]:
        """Return the versions that were live before the present one, the latest last."""
        there, live = self._versions(), self.live_version()
        earlier = tuple(v for v in self._history() if v in there)
        return earlier[: earlier.index(live)] if live in earlier else earlier

    def rollback(self) -> str:
        """Make the version that was live before the present one live again; return it.

        Raises:
            NotFoundError: there is none.
        """
        earlier = self.earlier()
        if not earlier:
            raise NotFoundError("no model was live before this one")
        version = earlier[-1]
        self.load(version)
        self._replace(_HISTORY, "\n".join(earlier))
        self._replace(_POINTER, version)
        return version

    def prune(self, keep: int, needed: Collection[str] = ()) -> tuple[str, ...]:
        """Delete all but the newest `keep` versions, those that are needed, and the last two live.

        Return what was deleted.
        """
        versions = [str(m["version"]) for m in self.list()]
        kept = {*versions[:keep], *needed, *self._history()[-2:], self.live_version()}
        gone = tuple(v for v in versions if v not in kept)
        for version in gone:
            shutil.rmtree(self._directory / version, ignore_errors=True)
        return gone

    def sweep(self) -> None:
        """Delete what trainers that died left half-written; call it while no other publishes."""
        for path in self._directory.glob(f"{_ASIDE}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not _is_running(path.name.rpartition("-")[2]):  # a rollback may be at work now
                path.unlink(missing_ok=True)

    def _versions(self) -> set[str]:
        if not self._directory.is_dir():
            return set()
        return {
            path.name
            for path in self._directory.iterdir()
            if path.is_dir() and not path.name.startswith(".") and path.name != RUNS
        }

    def _history(self) -> tuple[str, ...]:
        try:
            return tuple((self._directory / _HISTORY).read_text().split())
        except OSError:
            return ()

    def _replace(self, name: str, text: str) -> None:
        aside = self._directory / f"{_ASIDE}{name}-{os.getpid()}"
        with aside.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._directory / name)
        _sync_directory(self._directory)


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


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
