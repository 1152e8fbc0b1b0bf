"""The reference pages say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.reference import FOLDER, PAGES

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_the_reference_pages_are_what_the_code_says() -> None:
    """In a process of its own: commands that other tests have called remember their options."""
    found = subprocess.run(
        [sys.executable, "-m", "lab.reference", "--check"],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"run scripts/lab/run reference: {found.stdout}{found.stderr}"


def test_no_reference_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)
