"""The manifest of a backup: whose it is, and which files belong to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from feed.domain import ArchiveError, InvalidInputError
from feed.storage.data_place import write_durably

BACKUP_MANIFEST = "backup.json"
FORMAT = 1
_NEEDED = {"namespace": str, "partitions": int, "records": int, "files": int, "size_bytes": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """What a backup says of itself.

    `made_at` is in epoch seconds. `records` are those of the store's dump. `files` and
    `size_bytes` count every file but the manifest. `digests` maps their names to the SHA-256 of
    their content, in hexadecimal; None in a backup of an earlier version.
    """

    made_at: float
    namespace: str
    partitions: int
    records: int
    files: int
    size_bytes: int
    digests: Mapping[str, str] | None = None


def backup_files(directory: Path) -> dict[str, Path]:
    """Return the files of a backup but its manifest, by name."""
    found = {p.relative_to(directory).as_posix(): p for p in directory.rglob("*") if p.is_file()}
    found.pop(BACKUP_MANIFEST, None)
    return found


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(directory: Path, manifest: BackupManifest) -> None:
    """Write the manifest, which is the last file of a backup."""
    write_durably(directory / BACKUP_MANIFEST, orjson.dumps({"format": FORMAT, **asdict(manifest)}))


def read_manifest(directory: Path) -> BackupManifest:
    """Return the manifest of a backup in a directory; raises what `manifest_of` raises."""
    try:
        data = (directory / BACKUP_MANIFEST).read_bytes()
    except OSError as error:
        raise InvalidInputError("source", f"{directory} is not a backup: {error}") from error
    return manifest_of(data, str(directory))


def manifest_of(data: bytes, source: str) -> BackupManifest:
    """Return a manifest from its bytes.

    Raises:
        InvalidInputError: `source` is no backup or one of another format; the message names what
            is missing.
    """
    try:
        values = orjson.loads(data)
        written = values["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError("source", f"{source} is not a backup: {error}") from error
    if written != FORMAT:
        rule = f"{source} is a backup of format {written}, not {FORMAT}"
        raise InvalidInputError("source", rule)
    for name, kind in _NEEDED.items():
        if not isinstance(values.get(name), kind):
            what = "text" if kind is str else "a whole number"
            rule = f"{source} is not a backup: {BACKUP_MANIFEST} must hold {name}, which is {what}"
            raise InvalidInputError("source", rule)
    if not isinstance(values.get("digests", {}), dict):
        rule = f"{source} is not a backup: digests in {BACKUP_MANIFEST} must be an object"
        raise InvalidInputError("source", rule)
    known = {field.name for field in fields(BackupManifest)}
    return BackupManifest(**{"made_at": 0.0} | {n: v for n, v in values.items() if n in known})


def check_files(directory: Path, manifest: BackupManifest) -> None:
    """Compare the files of a backup with its manifest.

    Of a backup that an earlier version made, only their number and their size can be compared.

    Raises:
        ArchiveError: a file is missing, was added, or has other content.
    """
    found, digests = backup_files(directory), manifest.digests
    if digests is None:
        size = sum(path.stat().st_size for path in found.values())
        if (len(found), size) != (manifest.files, manifest.size_bytes):
            raise ArchiveError(
                f"{directory} is incomplete or damaged: it holds {len(found)} files of {size} "
                f"bytes, not {manifest.files} of {manifest.size_bytes}"
            )
        return
    for name in sorted(found.keys() | digests.keys()):
        if name not in found:
            fault = "is missing"
        elif name not in digests:
            fault = "does not belong to it"
        elif digest_of(found[name]) != digests[name]:
            fault = "has changed"
        else:
            continue
        raise ArchiveError(f"{directory} is incomplete or damaged: {name} {fault}")
