"""The settings and hooks with which gunicorn runs the web processes."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import signal
import sys
import time
from typing import Any

from feed.environment import settings_from_environment
from feed.service.gunicorn_worker import forget_connections
from feed.service.metrics_directory import remove_metrics_of
from feed.service.telemetry import forget_process
from feed.storage.spare_memory import give_memory_back
from feed.storage.working_copy import is_object_url

_PR_SET_PDEATHSIG = 1

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # Threads of a library do not survive the fork, and the first use after it would wait for them.
    os.environ.setdefault(_name, "1")

SHORTEST_LIFE_S = 10.0
"""A web process that ends sooner has failed at its start, which takes some seconds of it."""
PAUSE_S = 1.0
"""The next one then starts this much later."""

_started_at: dict[int, float] = {}
_next_start_at = 0.0

APPLICATION = "feed.service.app:application()"

_settings = settings_from_environment()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web
worker_class = "feed.service.gunicorn_worker.FairWorker"
threads = 64
keepalive = 15
worker_connections = 512
backlog = 256
timeout = 30
graceful_timeout = 10
accesslog = None
loglevel = "warning"
limit_request_line = 8190
preload_app = False


def on_starting(server: Any) -> None:
    """Import the application and read what it serves from, once for all the web processes.

    Processes forked from here share that memory, and one that has died is soon replaced. With an
    object store each process reads for itself: the threads of its client do not survive the fork.
    """
    app = importlib.import_module("feed.service.app")
    if server.app.app_uri == APPLICATION and not is_object_url(_settings.data_url):
        app.load()
    give_memory_back()
    gc.freeze()  # hardly any of it is garbage, and to look would take a tenth of the start
    gc.enable()  # `feed serve` starts this process without it
    atexit.register(gc.unfreeze)  # else a library reports at exit that its objects have leaked


def when_ready(_server: Any) -> None:
    """Remove the gauges that the import created here: the master serves no requests."""
    forget_process(os.getpid())


def pre_fork(_server: Any, worker: Any) -> None:
    """Wait before a web process is started, if one has just failed."""
    time.sleep(max(0.0, _next_start_at - time.monotonic()))
    _started_at[worker.age] = time.monotonic()


def post_fork(_server: Any, _worker: Any) -> None:
    """Make the kernel end this process with its master; otherwise it would keep the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the gauges and the connection count of a web process that has ended.

    What it counted stays, unless it has failed at its start, which may happen again and again.
    """
    global _next_start_at  # noqa: PLW0603 - gunicorn's hooks share nothing else
    forget_connections(worker)
    now = time.monotonic()
    if now - _started_at.pop(worker.age, float("-inf")) < SHORTEST_LIFE_S:
        _next_start_at = now + PAUSE_S
        remove_metrics_of(worker.pid)
    else:
        forget_process(worker.pid)
