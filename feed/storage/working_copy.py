"""Directories that are working copies of a part of an object store.

With an object store in `FEED_DATA_URL`, archive, models and reports live there, and the directory
of each in the data directory is a working copy: a bounded cache, shared by all processes of the
machine, and safe to delete. A file in it names the URL, so whoever is given the directory finds
the store, also a process that was only told the directory.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.storage.data_place import DataPlace, LocalPlace, write_durably

if TYPE_CHECKING:
    from feed.storage.object_place import ObjectPlace

PARTS = ("archive", "models", "reports")
"""What an object store holds, each below a name of its own."""

LOCAL_URL = "file://"
_SCHEMES = ("s3", "gs", "az")
_MARKER = ".remote"
_FIELD = "FEED_DATA_URL"


@dataclass(frozen=True, slots=True)
class RemoteMark:
    """What the file in a working copy says: of which objects, and how large it may grow."""

    url: str
    cache_mb: int


def check_data_url(url: str, field_name: str = _FIELD) -> str:
    """Return a URL of an object store without a slash at its end.

    Raises:
        InvalidInputError: it has another scheme, no bucket, or carries credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        rule = f"must be {LOCAL_URL} (the data directory) or a URL such as s3://bucket/prefix"
        raise InvalidInputError(field_name, rule)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInputError(
            field_name,
            "must not hold credentials or options: they come from AWS_ACCESS_KEY_ID etc.",
        )
    if not re.fullmatch(r"[\w.\-/=]*", parts.path):
        raise InvalidInputError(field_name, "must have a prefix of letters, digits and ._-/=")
    return url.rstrip("/")


def is_object_url(text: str) -> bool:
    """Return whether a text names an object store and not a directory."""
    return "://" in text and not text.startswith(LOCAL_URL)


def make_data_dir(settings: Settings) -> None:
    """Make the data directory if it is not there.

    Raises:
        InvalidInputError: it cannot be made or written.
    """
    directory = settings.data_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError("--data", f"{directory} cannot be made: {error.strerror}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidInputError("--data", f"{directory} must be writable by this user")


def prepare_data_dir(settings: Settings) -> None:
    """Make the data directory fit `data_url`: local, or working copies of an object store.

    Raises:
        InvalidInputError: the URL cannot be used, the store refuses, or the data directory holds
            data of its own or of another store.
    """
    if settings.data_url in {"", LOCAL_URL}:
        for part in PARTS:
            other = _marked(settings.data_dir / part)
            if other is not None:
                rule = f"must be set: {settings.data_dir / part} is a working copy of {other.url}"
                raise InvalidInputError(_FIELD, rule)
        return
    url = check_data_url(settings.data_url)
    place = object_place(url)
    if not all(_marked(settings.data_dir / part) for part in PARTS):
        place.probe()  # the first time only: a web host starts again while the store is away
    for part in PARTS:
        _mark(settings.data_dir / part, f"{url}/{part}", settings.data_cache_mb)


def _mark(directory: Path, url: str, cache_mb: int) -> None:
    found = _marked(directory)
    other = found.url if found else None
    if other not in {None, url} or (other is None and _holds_anything(directory)):
        whose = f"is a working copy of {other}" if other else "holds data that is not in the store"
        rule = f"cannot be {url}: {directory} {whose}; back it up and restore it, or move it away"
        raise InvalidInputError(_FIELD, rule)
    wanted = RemoteMark(url, cache_mb)
    if found != wanted:
        directory.mkdir(parents=True, exist_ok=True)
        aside = directory / f"{_MARKER}.{os.getpid()}"
        write_durably(aside, orjson.dumps(wanted))
        aside.replace(directory / _MARKER)


def _holds_anything(directory: Path) -> bool:
    return directory.is_dir() and any(not p.name.startswith(".") for p in directory.iterdir())


def _marked(directory: Path) -> RemoteMark | None:
    try:
        return RemoteMark(**orjson.loads((directory / _MARKER).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def remote_of(directory: Path) -> ObjectPlace | None:
    """Return the objects that a directory is a working copy of; None if it is itself the place."""
    found = _marked(directory)
    return None if found is None else object_place(found.url)


def delete_part(path: Path) -> None:
    """Delete a part of the data directory; of a working copy, the objects and the copies of them.

    Raises:
        DataPlaceError: the object store does not answer, or refuses.
    """
    remote = remote_of(path)
    if remote is not None:
        for name in remote.list():
            remote.delete(name)
    for found in (path,) if remote is None else path.iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        elif found.name != _MARKER:
            found.unlink(missing_ok=True)


def cache_bytes(directory: Path) -> int:
    """Return how large a working copy may grow."""
    found = _marked(directory)
    return 0 if found is None else found.cache_mb * 1_000_000


def place_of(directory: Path) -> DataPlace:
    """Return where the content of a directory really is."""
    return remote_of(directory) or LocalPlace(directory)


@lru_cache(maxsize=16)
def object_place(url: str, field_name: str = _FIELD) -> ObjectPlace:
    """Return the objects below a URL; one client for each process."""
    module = importlib.import_module("feed.storage.object_place")
    found: ObjectPlace = module.ObjectPlace(url, field_name)
    return found
