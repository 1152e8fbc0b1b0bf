"""An installation to break: `feed serve` on its own directory, and its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import redis

from feed.client import ApiError, FeedClient
from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from lab.ports import free_port

PATIENCE_S = 90.0
"""How long anything may take before it counts as broken; generous, machines are busy."""


class Installation:
    """`feed serve` (and, with a store of somebody else's, `feed worker`) on one directory.

    Args:
        data_dir: directory of the installation.
        redis_url: a store that the caller runs; empty: `feed serve` runs its own.
        environment: further settings, `FEED_<NAME>`.
    """

    def __init__(
        self, data_dir: Path, redis_url: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.with_name(f"{data_dir.name}.log")
        self._redis_url = redis_url
        self._environment = environment or {}
        self._serve: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything and return when it answers."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        serve = ["serve", "--data", str(self.data_dir), "--port", str(self.port), "--web", "2"]
        self._serve = self.run_beside(*serve)
        if self._redis_url:
            self._worker = self.run_beside("worker")
        wait_until(self.is_ready, f"{self.url} to be ready (see {self.log_path})")

    def run_beside(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a `feed` command with the settings of this installation."""
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "feed", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._full_environment(),
            )

    def stop(self) -> None:
        """Stop everything that was started, in order if it can be, else at once."""
        for process in (self._serve, self._worker):
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid)
                process.wait()
        self._serve = self._worker = None

    def kill_everything(self) -> None:
        """SIGKILL every process at once, the supervisor too, as the death of a machine would."""
        for process in (self._serve, self._worker):
            if process is not None:
                kill_tree(process.pid)
                process.wait()

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def is_ready(self) -> bool:
        """Return whether a web process answers that it and the store are ready."""
        if self._serve is not None and self._serve.poll() is not None:
            raise RuntimeError(f"feed serve ended with {self._serve.returncode}: {self.log_path}")
        client = self.client(timeout_s=5.0)
        try:
            return bool(client.call("GET", "/readyz")["store"])
        except (ApiError, ConnectionError):
            return False
        finally:
            client.close()

    def client(self, timeout_s: float = 30.0) -> FeedClient:
        """Return a client that does not try again by itself."""
        return FeedClient(self.url, timeout_s=timeout_s, retries=0)

    def settings(self) -> Settings:
        """Return settings that reach this installation's store and directory."""
        url = self._redis_url or EmbeddedStore(self.data_dir).url
        return replace(
            Settings(),
            data_dir=self.data_dir,
            redis_url=url,
            redis_cluster="FEED_REDIS_CLUSTER" in self._environment,
            store_timeout_ms=5000,
        )

    def open_store(self) -> RedisStore:
        """Open the installation's store."""
        return RedisStore(self.settings())

    def configure_store(self, name: str, value: str) -> None:
        """Change a setting of the store's server while it runs."""
        with raw_store(self.settings().redis_url) as server:
            server.config_set(name, value)

    def processes(self, role: str) -> list[int]:
        """Return the process ids of a role: web processes, their master, worker or store."""
        found = []
        roots = [p.pid for p in (self._serve, self._worker) if p is not None]
        for pid in roots + [child for root in roots for child in descendants(root)]:
            command = command_line(pid)
            if role in {"web", "master"} and "gunicorn" in command:
                is_child = "gunicorn" in command_line(parent(pid))
                if is_child == (role == "web"):
                    found.append(pid)
            elif (role == "worker" and command.endswith("feed worker")) or (
                role == "store" and "valkey-server" in command
            ):
                found.append(pid)
        return found

    def signal(self, role: str, number: int, pick: Callable[[Sequence[int]], int]) -> int | None:
        """Send a signal to one process of a role; return its id, None if there is none."""
        pids = self.processes(role)
        if not pids:
            return None
        pid = pick(pids)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's entries of one event name."""
        entries = []
        for line in self.log_path.read_bytes().splitlines():
            if name.encode() in line and line.startswith(b"{"):
                entry = orjson.loads(line)
                if entry.get("event") == name:
                    entries.append(entry)
        return entries

    def log_errors(self) -> list[str]:
        """Return the different exceptions in the log, each with its last place."""
        found = set()
        for line in self.log_path.read_bytes().splitlines():
            if b'"exception"' in line and line.startswith(b"{"):
                entry = orjson.loads(line)
                last = entry["exception"][-1]
                place = last["frames"][-1] if last["frames"] else {}
                where = f"{Path(place.get('filename', '')).name}:{place.get('lineno')}"
                text = f"{last['exc_type']}: {last['exc_value']}"
                found.add(f"{entry['event']}: {text} ({where})")
        return sorted(found)

    def _full_environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FEED_")}
        single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        own = {"FEED_ENCODER": "none", "FEED_DATA_DIR": str(self.data_dir)}
        if self._redis_url:
            own["FEED_REDIS_URL"] = self._redis_url
        return {**kept, **single, **own, **self._environment}


def raw_store(url: str) -> Any:
    """Open a plain connection to a store's server."""
    return redis.Redis.from_url(url, socket_timeout=10.0)


def wait_until(
    condition: Callable[[], bool], what: str, at_most_s: float = PATIENCE_S, poll_s: float = 0.05
) -> float:
    """Return the seconds until a condition holds.

    Raises:
        TimeoutError: it does not in time.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > at_most_s:
            raise TimeoutError(f"waited {at_most_s:.0f} s for {what}")
        time.sleep(poll_s)
    return time.monotonic() - begun


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below a process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(parent(int(entry.name)), []).append(int(entry.name))
    waiting = list(children.get(pid, ()))
    while waiting:
        child = waiting.pop()
        yield child
        waiting += children.get(child, ())


def kill_tree(pid: int) -> None:
    """SIGKILL a process and everything below it; return when none of them holds a port any more."""
    victims = [pid, *descendants(pid)]
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: all(map(_has_ended, victims)), "the killed processes to be gone")


def _has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie, which holds nothing but its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return True


def parent(pid: int) -> int:
    """Return the parent of a process, -1 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return -1


def command_line(pid: int) -> str:
    """Return a process's command line, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def resident_mb(pid: int) -> float:
    """Return the memory a process holds, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
