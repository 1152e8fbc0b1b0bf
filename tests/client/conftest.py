"""Node and what comes with it, as the tests of the front end's client need them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from node_tools import find_package, find_tool

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CLIENT_DIR = ROOT / "feed" / "site" / "client"

Run = Callable[..., str]


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
    compiler = find_package(HERE, "typescript") / "bin" / "tsc"
    return lambda *arguments, cwd=HERE: run("node", compiler, *arguments, cwd=cwd)
