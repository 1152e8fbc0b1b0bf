"""The directory in which the web processes and the workers share their metrics.

Its files are mapped into memory. On a full disk, a process that writes to a mapped page for the
first time is killed (SIGBUS). So the directory is kept in memory where that is possible, and a full
disk of the data directory stops nobody.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from feed.config import Settings
from feed.domain import InvalidInputError

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

PLACES = ("/dev/shm", os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - checked to be ours
ROOM_BYTES = 16 << 20
"""Room that a place must have at the start; the metrics of a process take less than 1 MB."""


def metrics_directory(settings: Settings) -> Path:
    """Return where the processes of an installation share their metrics; nothing is made.

    That is a directory in shared memory, or else in the directory for temporary files (`TMPDIR`),
    each only if it is on another disk than the data, has room, and nobody else has a directory
    of that name there. Otherwise it is in the folder `run` of the data directory.
    """
    site = f"{settings.data_dir}\0{settings.host}\0{settings.port}"  # one service can have it
    name = f"metrics-{hashlib.blake2b(os.fsencode(site), digest_size=8).hexdigest()}"
    for place in map(Path, PLACES):
        directory = place / f"feed-{os.getuid()}-{name}"
        if _is_apart(place, settings.data_dir) and _is_ours(directory):
            return directory
    return settings.data_dir / "run" / name


def prepare_metrics(directory: Path) -> None:
    """Make the directory, and empty it of what a service that was killed has left.

    Raises:
        InvalidInputError: somebody else has made it meanwhile.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(directory):
        raise InvalidInputError(str(directory), "must not belong to another user")
    for left_over in directory.glob("*.db"):
        left_over.unlink()


def remove_metrics(directory: Path) -> None:
    """Remove the directory, if it is there."""
    shutil.rmtree(directory, ignore_errors=True)


def remove_metrics_of(process: int) -> None:
    """Remove all that a process has counted, if the processes share their metrics."""
    if MULTIPROCESS_VARIABLE in os.environ:
        for path in Path(os.environ[MULTIPROCESS_VARIABLE]).glob(f"*_{process}.db"):
            path.unlink(missing_ok=True)


def room_bytes(place: Path) -> int:
    """Return how much this user can still write on the disk of a directory."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def device(path: Path) -> int:
    """Return the number of the disk of a path, or of what it will be made in."""
    return next(one for one in (path, *path.parents) if one.exists()).stat().st_dev


def _is_apart(place: Path, data_dir: Path) -> bool:
    """Return whether a place can be written, has room, and is not on the disk of the data."""
    try:
        may_write = os.access(place, os.W_OK | os.X_OK)
        has_room = may_write and room_bytes(place) >= ROOM_BYTES
        return has_room and device(place) != device(data_dir)
    except OSError:
        return False


def _is_ours(directory: Path) -> bool:
    """Return whether a directory is ours, or does not exist yet; a link to one is not ours."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return True
    return directory.is_dir() and not directory.is_symlink() and found.st_uid == os.getuid()
