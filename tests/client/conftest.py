"""Node and what comes with it, as the tests of the front end's client need them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CLIENT_DIR = ROOT / "feed" / "site" / "client"

Run = Callable[..., str]


def find_tool(name: str) -> str:
    """Return the program beside this Python, else the machine's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or pytest.fail(f"no {name} found: scripts/test installs it")


@pytest.fixture
def run() -> Run:
    """A function that runs a program and returns what it prints; it must succeed."""

    def call(name: str, *arguments: str | Path, cwd: Path = HERE) -> str:
        command = [find_tool(name), *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture
def tsc(run: Run) -> Run:
    """A function that runs the TypeScript compiler."""
    compiler = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        pytest.fail("no TypeScript found: scripts/test installs it")
    return lambda *arguments, cwd=HERE: run("node", compiler, *arguments, cwd=cwd)
