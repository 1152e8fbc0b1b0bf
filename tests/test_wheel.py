"""The wheel that users install: what it holds, and whether its types reach their code."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 240
SCRIPT = """
from feed.client import ApiError, FeedClient
from feed.domain import Event, EventKind

click = Event(
    event_id="e-1",
    user_id="reader-1",
    article_id="ferry",
    kind=EventKind.CLICK,
    occurred_at=0.0,
    received_at=0.0,
)
with FeedClient("http://127.0.0.1:8000", timeout_s=5.0) as client:
    try:
        accepted: int = client.send_events([click])["accepted"]
    except ApiError as problem:
        status: int = problem.status
"""


@dataclass(frozen=True, slots=True)
class Wheel:
    """The built wheel, unpacked where an environment of its own finds it."""

    names: frozenset[str]
    python: Path

    def check_types(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run mypy on a user's script that imports the installed package."""
        (folder / "script.py").write_text(script)
        python = ["--python-executable", self.python, "--config-file", ""]
        command = [sys.executable, "-m", "mypy", "--strict", *python, "script.py"]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            command,
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=True)
    environment = folder / "environment"
    make = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(make, capture_output=True, timeout=TIMEOUT_S, check=True)
    installed = next(environment.glob("lib/python*/site-packages"))
    # What feed needs is there already. The .pth files of that directory are not read, so its
    # editable installation of feed is not seen.
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(installed)
        return Wheel(frozenset(archive.namelist()), environment / "bin" / "python")


def test_it_holds_the_package_and_nothing_else(wheel):
    assert {"feed/py.typed", "feed/site/client/feed-client.js", "feed/cli.py"} <= wheel.names
    assert "feed/experiments/design/builtin_metrics.toml" in wheel.names
    folders = {name.split("/")[0] for name in wheel.names}
    assert folders == {"feed", f"feed-{version('feed')}.dist-info"}


def test_a_strictly_typed_script_can_use_it(wheel, tmp_path):
    checked = wheel.check_types(SCRIPT, tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_a_wrong_use_of_it_is_found(wheel, tmp_path):
    checked = wheel.check_types(SCRIPT.replace("timeout_s=5.0", "timeout_s='5'"), tmp_path)
    assert '"timeout_s" to "FeedClient" has incompatible type "str"' in checked.stdout
