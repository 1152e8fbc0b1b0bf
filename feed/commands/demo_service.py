"""The service that the demo starts, waits for and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from feed.domain import FeedError

START_S = 120.0
STOP_S = 30.0


class DemoError(FeedError):
    """A step of the demo did not come to its end."""


@contextmanager
def running_service(
    data_dir: Path, port: int, web: int, is_ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `feed serve` on a data directory; when the block ends, everything it started ends.

    Raises:
        DemoError: the service ends or does not answer in time.
    """
    command = [sys.executable, "-m", "feed", "serve", "--data", str(data_dir)]
    command += ["--port", str(port), "--web", str(web)]
    # A group of its own: Ctrl-C reaches the demo alone, which then stops the service in order.
    service = subprocess.Popen(  # noqa: S603 - our own command, no user text
        command, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment()
    )
    try:
        wait_for("the service to answer", is_ready, START_S, lambda: service.poll() is None)
        yield service
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
            try:
                service.wait(STOP_S)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()


def run_feed(*arguments: str, quiet: bool = False) -> int:
    """Run a `feed` command in a process of its own; return its exit code.

    With `quiet` only what it says on standard error is shown.
    """
    command = [sys.executable, "-m", "feed", *arguments]
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(  # noqa: S603 - our own command
        command, check=False, env=_environment(), stdout=output
    ).returncode


def wait_for(
    what: str,
    condition: Callable[[], bool],
    at_most_s: float,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Return once a condition holds.

    Raises:
        DemoError: it does not in time, or what should bring it about is no longer alive.
    """
    end = time.monotonic() + at_most_s
    while not condition():
        if not alive():
            raise DemoError(f"waiting for {what}: the service has ended")
        if time.monotonic() > end:
            raise DemoError(f"waiting for {what}: not within {at_most_s:.0f} seconds")
        time.sleep(0.2)


def _environment() -> dict[str, str]:
    """The demo's own installation: settings of another one in the environment do not leak in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEED_")}
    return {**kept, "FEED_LOG_LEVEL": "warning"}
