"""How gunicorn runs the web processes; read by `gunicorn --config python:feed.service...`."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
from typing import Any

from feed.config import settings_from_environment
from feed.service.gunicorn_worker import forget_connections
from feed.service.telemetry import forget_process

_PR_SET_PDEATHSIG = 1

# lightgbm imports these where they are installed, seconds and 80 MB of data frames and plots
# that no web process needs. None means: not there.
for _name in ("dask", "matplotlib", "pandas", "pyarrow", "sklearn"):
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]

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
    """Import the application once: processes that fork share it, and are ready sooner."""
    importlib.import_module("feed.service.app")
    gc.collect()
    gc.freeze()


def when_ready(_server: Any) -> None:
    """Drop the gauges that the import made in this process, which serves nothing."""
    forget_process(os.getpid())


def post_fork(_server: Any, _worker: Any) -> None:
    """Let no web process outlive its master: it would keep the port from the next one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def child_exit(_server: Any, worker: Any) -> None:
    """Drop the gauges and the connections of a web process that has ended."""
    forget_connections(worker)
    forget_process(worker.pid)
