"""The settings and hooks with which gunicorn runs the web processes."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import signal
import sys
from typing import Any

from feed.environment import settings_from_environment
from feed.service.gunicorn_worker import forget_connections
from feed.service.telemetry import forget_process

_PR_SET_PDEATHSIG = 1

_settings = settings_from_environment()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web
worker_class = "feed.service.gunicorn_worker.FairWorker"
threads = 24
keepalive = 15
worker_connections = 512
backlog = 256
timeout = 30
graceful_timeout = 10
accesslog = None
loglevel = "warning"
limit_request_line = 8190
preload_app = False


def on_starting(_server: Any) -> None:
    """Import the application once, so that forked processes share its memory and start sooner."""
    importlib.import_module("feed.service.app")
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else a library reports at exit that its objects have leaked


def when_ready(_server: Any) -> None:
    """Remove the gauges that the import created here: the master serves no requests."""
    forget_process(os.getpid())


def post_fork(_server: Any, _worker: Any) -> None:
    """Make the kernel end this process with its master; otherwise it would keep the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the gauges and the connection count of a web process that has ended."""
    forget_connections(worker)
    forget_process(worker.pid)
