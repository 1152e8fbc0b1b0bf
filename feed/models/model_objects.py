"""Model versions in an object store, and their local copies with checked checksums."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from feed.domain import NotFoundError
from feed.models.bundle import MANIFEST, parse_manifest
from feed.storage.data_place import ASIDE

if TYPE_CHECKING:
    from feed.storage.object_place import ObjectPlace

LEAST_COPIES = 3
"""Copies that are kept however large they are: the live model, the one before it, one to judge."""
ORPHAN_S = 86_400.0
"""Age from which files without a manifest were left by a trainer that died."""


class ModelObjects:
    """The versions in an object store.

    A version is there when its manifest is, which is written last and only once. The manifest
    holds the SHA-256 of every file, and a copy is not used before every file has been compared.

    Args:
        directory: the working copy.
        place: the objects.
        bound_bytes: how large the copies together may grow.
    """

    def __init__(self, directory: Path, place: ObjectPlace, bound_bytes: int) -> None:
        self._dir, self._place, self._bound = directory, place, bound_bytes

    def versions(self) -> set[str]:
        """Return the published versions."""
        names = (Path(name) for name in self._place.list())
        return {n.parts[0] for n in names if len(n.parts) == 2 and n.name == MANIFEST}

    def publish(self, written: Path, version: str) -> None:
        """Upload a version from a directory.

        Raises:
            ConflictError: another trainer has published one of that name.
        """
        paths = sorted(written.iterdir(), key=lambda path: path.name == MANIFEST)
        for path in paths:
            self._place.create(f"{version}/{path.name}", path.read_bytes())

    def read_manifest(self, version: str) -> bytes:
        """Return the manifest of a version.

        Raises:
            NotFoundError: there is no such version.
        """
        stored = self._place.read(f"{version}/{MANIFEST}")
        if stored is None:
            raise NotFoundError(f"there is no model version {version}")
        return stored.data

    def pull(self, version: str, *, again: bool = False) -> None:
        """Make a version present in the working copy.

        Args:
            version: its name.
            again: even if it is there, because the copy is damaged.

        Raises:
            NotFoundError: there is no such version.
            BundleError: its manifest is broken.
        """
        if "/" in version or version.startswith("."):
            raise NotFoundError(f"there is no model version {version}")
        copy = self._dir / version
        if (copy / MANIFEST).is_file() and not again:
            os.utime(copy)
            return
        manifest = self.read_manifest(version)
        aside = self._dir / f"{ASIDE}{version}-{secrets.token_hex(4)}"
        try:
            aside.mkdir(parents=True)
            for name, sha256 in parse_manifest(manifest, version)["sha256"].items():
                self._place.download(f"{version}/{name}", aside / Path(name).name, sha256)
            (aside / MANIFEST).write_bytes(manifest)
            if again:
                shutil.rmtree(copy, ignore_errors=True)
            with suppress(OSError):  # another process was faster
                aside.rename(copy)
        except FileNotFoundError:
            raise NotFoundError(f"there is no model version {version} any more") from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._keep_bound()

    def _keep_bound(self) -> None:
        """Delete the copies that were unused longest, while all together are too large."""
        copies = [p for p in self._dir.iterdir() if (p / MANIFEST).is_file()]
        total = 0
        for number, copy in enumerate(sorted(copies, key=_used_at, reverse=True)):
            total += sum(path.stat().st_size for path in copy.iterdir())
            if number >= LEAST_COPIES and total > self._bound:
                shutil.rmtree(copy, ignore_errors=True)

    def delete(self, version: str) -> None:
        """Delete a version: its manifest first, so that nobody begins to read it."""
        names = self._place.list(f"{version}/")
        for name in sorted(names, key=lambda name: not name.endswith(f"/{MANIFEST}")):
            self._place.delete(name)

    def sweep(self, others: Iterable[str]) -> None:
        """Delete what trainers that died uploaded without a manifest.

        Args:
            others: first parts of names that are no versions.
        """
        kept = {*self.versions(), *others}
        for name, age in self._place.ages().items():
            version, slash, _ = name.partition("/")
            if slash and version not in kept and age > ORPHAN_S:
                self._place.delete(name)


def _used_at(copy: Path) -> float:
    return copy.stat().st_mtime
