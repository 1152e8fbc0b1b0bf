"""scripts/audit where the advisory data cannot be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script and the lock, with this test's own environment as the one that is there."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "audit", tmp_path / "scripts")
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / ".venv-test").symlink_to(sys.prefix)
    (tmp_path / "scripts" / "environment.sh").write_text("make_environment() { :; }\n")
    return tmp_path


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--offline-ok"], 0)])
def test_it_says_in_one_line_that_nothing_was_checked(arguments, code, checkout):
    no_network = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    ended = subprocess.run(
        [checkout / "scripts" / "audit", *arguments],
        env={**os.environ, **no_network},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert ended.stdout == ""
    assert ended.stderr.startswith("audit: nothing was checked, the advisory data cannot be reach")
    assert ended.stderr.count("\n") == 1
