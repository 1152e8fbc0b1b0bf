"""Node and what comes with it, as scripts/test installs them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest


def find_tool(name: str) -> str:
    """Return the program beside this Python, else the machine's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or pytest.fail(f"no {name} found: scripts/test installs it")


def find_package(directory: Path, name: str) -> Path:
    """Return the folder of a package that is installed for the tests in a directory."""
    folder = directory / "node_modules" / name
    if not folder.is_dir():
        pytest.fail(f"no {name} found: scripts/test installs it")
    return folder
