"""Runs `feed` for a script that any Python may start, in the project's own environment."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

RUN = Path(__file__).resolve().with_name("run")


def run_feed(command: str) -> None:
    """Run a `feed` command with this process's arguments; does not return."""
    arguments = [command, *sys.argv[1:]]
    if find_spec("feed") and find_spec("click"):  # this Python has it already
        os.execv(sys.executable, [sys.executable, "-m", "feed", *arguments])  # noqa: S606
    os.execv(RUN, [str(RUN), *arguments])  # noqa: S606
