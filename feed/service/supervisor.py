"""`feed serve`: starts the store, the worker and the web processes, and keeps them running."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from feed.config import Settings
from feed.domain import ConflictError, FeedError, InvalidInputError
from feed.service.child_environment import environment_of_child
from feed.service.late_log import LateLog
from feed.service.metrics_directory import (
    MULTIPROCESS_VARIABLE,
    metrics_directory,
    prepare_metrics,
    remove_metrics,
)
from feed.storage.embedded import EmbeddedStore
from feed.storage.lifeline import with_lifeline
from feed.storage.working_copy import make_data_dir, prepare_data_dir

STOP_SECONDS = 20.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_AFTER_S = 30.0
STORE_PAUSE_S = 1.0
"""Pause before the next start of a store that has not started, or has ended as soon as this."""
TIDY_SECONDS = 10.0
"""Time between two looks at the memory and the file of the store."""
COMMAND_SECONDS = 10.0
"""How long the start waits for a command that runs the store for itself."""
_TICK_S = 0.1


@dataclass(slots=True)
class Child:
    """One process that must run; when it dies it is restarted, after a pause that doubles."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: LateLog
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    restart_at: float = field(default=0.0)

    def start(self, now: float, stdin: int = subprocess.DEVNULL) -> None:
        """Start the process; it dies with us."""
        self.process = subprocess.Popen(  # noqa: S603 - our own commands, no user text
            with_lifeline(self.command),
            env=dict(self.environment),
            stdin=stdin,
            start_new_session=True,  # Ctrl-C must reach the supervisor alone
        )
        self.started_at = now

    def watch(self, now: float) -> None:
        """Restart the process if it has ended and its pause is over."""
        if self.process is None:
            if now >= self.restart_at:
                self.start(now)
            return
        code = self.process.poll()
        if code is None:
            return
        if now - self.started_at > STEADY_AFTER_S:
            self.pause_s = FIRST_PAUSE_S
        self.log.warning("child_ended", child=self.name, code=code, restart_in_s=self.pause_s)
        self.process = None
        self.restart_at = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Ask the process to end, and end it if it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Runs one installation on one machine.

    Without `redis_url` it starts the embedded store, the workers and the web processes. With it,
    it starts only the web processes.

    Args:
        settings: `host`, `port`, `web`, `workers` and `data_dir` are used here.
        announce: called with one line when the service answers, and when it stops.
    """

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        self._settings = settings
        self._announce = announce
        self._stopping = threading.Event()
        self._store = None if settings.redis_url else EmbeddedStore.from_settings(settings)
        url = self._store.url if self._store else settings.redis_url
        environment = environment_of_child(settings) | {"FEED_REDIS_URL": url}
        self._metrics = metrics_directory(settings)
        self._metrics_made = False
        self._store_started_at = float("-inf")
        environment |= {MULTIPROCESS_VARIABLE: str(self._metrics)}
        self._log = log = LateLog(settings, "feed.supervisor")
        self._web = Child("web", _python("feed.commands.serve_web", *_GUNICORN), environment, log)
        self._children = [self._web]
        if self._store:
            command = _python("feed", "worker")
            workers = [Child("worker", command, environment, log) for _ in range(settings.workers)]
            self._children = [*workers, self._web]

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; return the exit code when everything has stopped.

        It is 0 unless the settings are at fault. That is named on standard error, and nothing was
        started.

        Raises:
            InvalidInputError: the data directory cannot be used, or does not fit the settings.
            ConflictError: another process runs the store of the data directory.
            StoreUnavailableError: the store does not start.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        try:
            code = self._begin()
            if code == 0:
                self._watch()
        finally:
            for child in reversed(self._children):
                child.stop()
            if self._store:
                self._store.stop()
            if self._metrics_made:
                remove_metrics(self._metrics)
        return code

    def _begin(self) -> int:
        """Start the store and the web processes; return their exit code if they refuse to serve.

        Their master checks the settings first, and only then is anything made or started. It loads
        the rest of its code while the store loads its data.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._web.start(time.monotonic(), theirs.fileno())
            if self._web.process is not None and not ours.recv(1):
                return self._web.process.wait()
            make_data_dir(self._settings)
            prepare_data_dir(self._settings)
            if self._store:
                self._launch_store(self._store)
            prepare_metrics(self._metrics)
            self._metrics_made = True
        if self._store:
            self._store.wait_until_ready()
        return 0

    def _launch_store(self, store: EmbeddedStore) -> None:
        """Launch the store, and wait a moment for a command that is still using it.

        Raises:
            ConflictError: somebody else serves from the directory, or the command goes on.
        """
        deadline, told = time.monotonic() + COMMAND_SECONDS, False
        while True:
            try:
                store.launch()
            except ConflictError as error:
                if self._stopping.is_set() or time.monotonic() > deadline:
                    raise
                if not told:
                    self._announce(f"feed waits up to {COMMAND_SECONDS:.0f} s, because {error}")
                told = True
                self._stopping.wait(_TICK_S)
            else:
                return

    def stop(self) -> None:
        """Make `run` return soon; callable from any thread."""
        self._stopping.set()

    def _watch(self) -> None:
        address = f"http://{self._settings.host}:{self._settings.port}"
        announced, tidied_at = False, time.monotonic()
        while not self._stopping.wait(_TICK_S):
            now = time.monotonic()
            self._watch_store()
            if self._store and now - tidied_at > TIDY_SECONDS:
                tidied_at = now
                self._store.give_memory_back()
                self._store.forget_deleted(time.time())
            for child in self._children:
                child.watch(now)
            if not announced and is_ready(self._settings.host, self._settings.port):
                announced = True
                self._announce(f"feed is ready on {address} (Ctrl-C stops it)")

    def _watch_store(self) -> None:
        if self._store is None or self._store.alive():
            return
        self._log.error("store_ended", restarting=True)
        if time.monotonic() - self._store_started_at < STORE_PAUSE_S:
            self._stopping.wait(STORE_PAUSE_S)
        self._store_started_at = time.monotonic()
        try:
            self._store.start()
        except FeedError as error:
            self._log.exception("store_start_failed", error=str(error))
            self._stopping.wait(STORE_PAUSE_S)


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be bound.

    Raises:
        InvalidInputError: somebody else has it, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            why = error.strerror or error
            rule = f"cannot be bound on {host}: {why}; stop what has it or choose another (--port)"
            raise InvalidInputError(f"port {port}", rule) from None


def is_ready(host: str, port: int) -> bool:
    """Return whether a service answers that it is ready.

    Only the line with the status is read: `http.client` would bring TLS and mail with it.
    """
    question = f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=2.0) as connection:
            connection.sendall(question.encode())
            with connection.makefile("rb") as answer:
                return answer.readline().split()[1:2] == [b"200"]
    except OSError:
        return False


_GUNICORN = ("--config", "python:feed.service.gunicorn_config", "feed.service.app:application()")


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
