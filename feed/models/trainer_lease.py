"""The lease that keeps trainers of other machines away, where models are in an object store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex

import orjson

from feed.domain import ConflictError
from feed.storage.data_place import ABSENT, DataPlace, DataPlaceError, Stored
from feed.storage.working_copy import remote_of

LEASE = "TRAINER"
"""Name of the object, beside the pointer to the live model."""
LEASE_S = 60.0
"""How long a trainer that has died keeps others away."""
RENEW_S = 15.0


@dataclass(frozen=True, slots=True)
class Holding:
    """What the object says: `token` grows with every trainer; `until` is epoch seconds."""

    token: int
    by: str
    until: float


class TrainerLease:
    """Held by one trainer of an installation at a time.

    A trainer that slept until its lease ended may wake up while another one is at work. So the
    token is compared once more between reading the pointer to the live model and replacing it if
    it is still as it was read: a trainer that lost its lease changes nothing.

    Args:
        place: of the models.
        by: names this trainer, unlike any other.
        clock: epoch seconds.
    """

    def __init__(self, place: DataPlace, by: str, clock: Callable[[], float]) -> None:
        self._place, self._by, self._clock = place, by, clock
        self._token = 0
        self._etag = ABSENT

    def take(self) -> None:
        """Take the lease.

        Raises:
            ConflictError: another trainer holds it.
        """
        stored = self._place.read(LEASE)
        seen = _holding(stored)
        if seen.until > self._clock():
            raise ConflictError(f"another retrain is at work on this installation, on {seen.by}")
        self._token, self._etag = seen.token + 1, ABSENT if stored is None else stored.etag
        self._write(self._clock() + LEASE_S)

    def renew(self) -> None:
        """Hold the lease for longer.

        Raises:
            ConflictError: it was lost.
        """
        self.check()
        self._write(self._clock() + LEASE_S)

    def check(self) -> None:
        """Check that the lease is still this trainer's, although it may have ended.

        Raises:
            ConflictError: another trainer has taken it.
        """
        stored = self._place.read(LEASE)
        seen = _holding(stored)
        if stored is None or (seen.token, seen.by) != (self._token, self._by):
            raise ConflictError(f"this retrain was silent for too long: {seen.by} has taken over")
        self._etag = stored.etag

    def release(self) -> None:
        """Let the next trainer begin at once."""
        with suppress(ConflictError):
            self.check()
            self._write(0.0)

    def _write(self, until: float) -> None:
        data = orjson.dumps(asdict(Holding(self._token, self._by, until)))
        try:
            self._place.replace(LEASE, data, self._etag)
        except ConflictError:
            raise ConflictError("another retrain has just begun on this installation") from None


def refuse_beside_another(models_dir: Path, now: float) -> None:
    """Refuse to start a trainer while one on another machine is at work.

    Raises:
        ConflictError: one is at work.
    """
    remote = remote_of(models_dir)
    if remote is not None:
        seen = _holding(remote.read(LEASE))
        if seen.until > now:
            raise ConflictError(f"another retrain is at work on this installation, on {seen.by}")


@contextmanager
def held_lease(models_dir: Path, clock: Callable[[], float]) -> Iterator[Callable[[], None]]:
    """Hold the lease in the block, and give what checks that it is still held.

    Without an object store there is no lease, and the check does nothing.

    Raises:
        ConflictError: a trainer on another machine is at work.
    """
    remote = remote_of(models_dir)
    if remote is None:
        yield lambda: None
        return
    by = f"{os.uname().nodename}, process {os.getpid()}, {token_hex(4)}"
    lease = TrainerLease(remote, by, clock)
    lease.take()
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(lease, over), name="lease", daemon=True)
    thread.start()
    try:
        yield lease.check
    finally:
        over.set()
        thread.join()
        with suppress(DataPlaceError):
            lease.release()


def _renew(lease: TrainerLease, over: threading.Event) -> None:
    while not over.wait(RENEW_S):
        try:
            lease.renew()
        except ConflictError:
            return  # the check before publishing will say so
        except DataPlaceError:
            continue


def _holding(stored: Stored | None) -> Holding:
    if stored is None:
        return _NOBODY
    try:
        return Holding(**orjson.loads(stored.data))
    except (ValueError, TypeError):
        return _NOBODY


_NOBODY = Holding(0, "nobody", 0.0)
