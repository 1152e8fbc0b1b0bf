"""scripts/environment.sh at work: made-up packages, an index on this machine, real pips."""

from __future__ import annotations

import base64
import hashlib
import http.server
import importlib.util
import io
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / "scripts" / "environment.sh"
TIMEOUT_S = 240
MAKE = "make_environment env demo.lock"
BACKEND = """
from pathlib import Path
from zipfile import ZipFile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "demo_app-1.0-py3-none-any.whl"
    with ZipFile(Path(directory, name), "w") as wheel:
        wheel.writestr("demo_app.py", "")
        wheel.writestr("demo_app-1.0.dist-info/METADATA", Path("METADATA").read_text())
        wheel.writestr("demo_app-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("demo_app-1.0.dist-info/RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = ["demo-backend"]
build-backend = "demo_backend"
"""
WITHOUT_PIP = """#!/bin/sh
if [ "$2" = venv ]; then shift 2; exec {python} -m venv --without-pip "$@"; fi
exec {python} "$@"
"""


def metadata(name: str, version: str, *more: str) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more]
    return "\n".join(lines) + "\n"


def build_wheel(name: str, version: str, *more: str, code: str = "") -> tuple[str, bytes]:
    """Return the file name and the content of a made-up wheel of one module."""
    module = name.replace("-", "_")
    files = {
        f"{module}.py": code or f"version = {version!r}\n",
        f"{module}-{version}.dist-info/METADATA": metadata(name, version, *more),
        f"{module}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = f"{module}-{version}.dist-info/RECORD"
    rows = [f"{path},sha256={record_hash(text)},{len(text)}" for path, text in files.items()]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(record, "\n".join([*rows, f"{record},,", ""]))
    return f"{module}-{version}-py3-none-any.whl", content.getvalue()


def record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Index:
    """A package index of this machine: what it holds, what it was asked for, where it hangs."""

    wheels: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    hangs_at: str = "nothing"
    hanging: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, version: str, *more: str, code: str = "") -> str:
        """Publish a made-up wheel; return its line in a lock file."""
        file, content = build_wheel(name, version, *more, code=code)
        self.wheels[file] = content
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"

    def answer(self, path: str) -> bytes | None:
        """Return a wheel, or the page that lists a project's wheels (PEP 503)."""
        self.asked.append(path)
        last = path.strip("/").rpartition("/")[2]
        if last.startswith(self.hangs_at):
            self.hanging.set()
            self.let_go.wait(TIMEOUT_S)
        if last in self.wheels:
            return self.wheels[last]
        files = [file for file in self.wheels if file.startswith(last.replace("-", "_") + "-")]
        return "".join(f'<a href="/files/{file}">{file}</a>\n' for file in files).encode() or None


@contextmanager
def serve_index() -> Iterator[Index]:
    """Serve an empty index on a free port of this machine."""
    served = Index()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.answer(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "text/html" if "/simple/" in self.path else "app/zip")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            try:
                self.wfile.write(content or b"")
            except OSError:  # the client of a download that hung is gone
                return

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    served.let_go.set()
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Project:
    """A made-up project with a lock, whose environment the real script makes."""

    root: Path
    index: Index
    python: Path = Path(sys.executable)
    python_path: Path | None = None

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.write("pyproject.toml", PROJECT)
        self.write("METADATA", metadata("demo-app", "1.0", "Requires-Dist: demo-user>=1"))
        extra = ("Provides-Extra: extra", "Requires-Dist: demo-more>=1; extra == 'extra'")
        locked = [
            self.index.add("demo-backend", "1.0", code=BACKEND),
            self.index.add("demo-lib", "1.0", *extra),
            self.index.add("demo-more", "1.0"),
            self.index.add("demo-user", "1.0", "Requires-Dist: demo-lib[extra]>=1"),
        ]
        self.write("demo.lock", "".join(locked))
        self.index.add("demo-lib", "2.0", *extra)  # published after the lock was written
        self.index.add("demo-backend", "2.0", code="raise SystemExit('not the locked one')")
        self.index.add("demo-more", "2.0")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def command(self, script: str) -> dict[str, object]:
        """Return what subprocess needs to run a script after the real functions are there."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        variables = {name: os.environ[name] for name in kept if name in os.environ}
        variables |= {"FEED_PYTHON": str(self.python), "PIP_INDEX_URL": self.index.url}
        variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
        if self.python_path:
            variables["PYTHONPATH"] = str(self.python_path)
        words = ["bash", "-c", f"set -euo pipefail; . {ENVIRONMENT}; {script}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return {"args": words, "cwd": self.root, "env": variables, **pipes}

    def run(self, script: str = MAKE, **more: str) -> subprocess.CompletedProcess[str]:
        command = self.command(script)
        command["env"] = {**command["env"], **more}
        return subprocess.run(**command, timeout=TIMEOUT_S, check=False)

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """Run the script in a process group of its own, which is killed in the end."""
        running = subprocess.Popen(**self.command(MAKE), start_new_session=True)
        try:
            yield running
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate(timeout=TIMEOUT_S)

    def version(self, module: str) -> str:
        words = [self.root / "env/bin/python", "-c", f"import {module}; print({module}.version)"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def is_finished(self) -> bool:
        return (self.root / "env" / ".stamp").exists()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose environment is not made yet."""
    with serve_index() as index:
        yield Project(tmp_path / "project", index)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment is made, with the pip that this Python brings."""
    with serve_index() as index:
        project = Project(tmp_path_factory.mktemp("finished") / "project", index)
        made = project.run()
        assert made.returncode == 0, made.stdout
        assert "Making env with Python 3." in made.stdout
        yield project


def holds_what_is_locked(project: Project) -> bool:
    """Whether the locked versions are there and nothing else was even downloaded."""
    downloaded = {path for path in project.index.asked if path.endswith(".whl")}
    modules = ("demo_backend", "demo_lib", "demo_more", "demo_user")
    return downloaded == {f"/files/{module}-1.0-py3-none-any.whl" for module in modules} and all(
        project.version(module) == "1.0" for module in ("demo_lib", "demo_more", "demo_user")
    )


def newest_pip() -> Path:
    """Return the pip of the development lock."""
    found = importlib.util.find_spec("pip")
    assert found
    assert found.origin
    return Path(found.origin).parent


def oldest_pip() -> Path:
    """Return the pip of tests/oldest-pip.lock, where scripts/test puts it."""
    installed = Path(sys.prefix) / "oldest-pip" / "pip"
    assert installed.is_dir(), "scripts/test makes the environment that these tests need"
    return installed


@pytest.fixture
def with_pip(project: Project, tmp_path: Path) -> Callable[[Path], None]:
    """Let the script find a certain pip in every environment that it makes.

    The pip stands on Python's path, and a virtual environment is made without one of its own,
    which takes a tenth of the time.
    """

    def choose(pip: Path) -> None:
        project.python_path = tmp_path / "python-path"
        shutil.copytree(pip, project.python_path / "pip")
        project.python = tmp_path / "python"
        project.python.write_text(WITHOUT_PIP.format(python=sys.executable))
        project.python.chmod(0o755)

    return choose


def test_a_release_after_the_lock_changes_nothing(finished):
    assert holds_what_is_locked(finished)


@pytest.mark.parametrize("pip", [oldest_pip, newest_pip])
def test_nor_does_it_with_the_oldest_and_the_newest_pip(pip, project, with_pip):
    with_pip(pip())
    made = project.run()
    assert made.returncode == 0, made.stdout
    assert holds_what_is_locked(project)


def test_an_environment_that_is_there_is_used(finished):
    asked = len(finished.index.asked)
    assert "Using env" in finished.run().stdout
    assert len(finished.index.asked) == asked


def test_another_run_waits_and_makes_anew_what_was_left_half_made(project, with_pip):
    with_pip(newest_pip())
    project.index.hangs_at = "demo_user-1.0"
    with project.started() as first:
        assert project.index.hanging.wait(TIMEOUT_S)
        with subprocess.Popen(**project.command(MAKE)) as second:
            assert second.stdout
            assert "Waiting for another run" in second.stdout.readline()
            os.killpg(first.pid, signal.SIGKILL)
            project.index.let_go.set()
            output = second.communicate(timeout=TIMEOUT_S)[0]
    assert second.returncode == 0, output
    assert "Making env" in output
    assert project.version("demo_user") == "1.0"


def refuse(made: subprocess.CompletedProcess[str], message: str) -> None:
    """See a run fail with a last line that says what to do."""
    last = made.stdout.strip().splitlines()[-1]
    assert made.returncode == 2, made.stdout
    assert last.startswith("error: ")
    assert message in last


@pytest.fixture
def other_lock(finished: Project) -> str:
    """The line of one more package, which is not installed."""
    line = finished.index.add("demo-other", "1.0")
    finished.write("other.lock", line)
    return "install_lock env other.lock"


def test_a_file_that_is_not_the_locked_one_is_refused(finished, other_lock):
    finished.index.add("demo-other", "1.0", code="version = 'another'")
    refuse(finished.run(other_lock), "is not the one that was locked")


def test_an_index_that_cannot_be_reached_is_said_to_be(finished, other_lock):
    closed = "http://127.0.0.1:9/simple/"
    refuse(finished.run(other_lock, PIP_INDEX_URL=closed), "check the network, a proxy")


def test_a_package_without_a_ready_made_file_is_refused(finished, other_lock):
    del finished.index.wheels["demo_other-1.0-py3-none-any.whl"]
    refuse(finished.run(other_lock), "no ready-made file of the package above")


def test_a_lock_that_lacks_a_requirement_is_refused(project, with_pip):
    with_pip(newest_pip())
    project.write("METADATA", metadata("demo-app", "1.0", "Requires-Dist: demo-forgotten>=1"))
    refuse(project.run(), "run scripts/lock")
    assert not project.is_finished()


def test_a_platform_that_lacks_a_wheel_is_refused_before_anything_is_asked(project):
    words = (sys.platform, platform.machine(), f"{sys.version_info[0]}.{sys.version_info[1]}")
    lock = (project.root / "demo.lock").read_text()
    project.write("demo.lock", f"# Download for {'-'.join(words)}: no wheel of demo-lib\n{lock}")
    refuse(project.run(), f"no ready-made package of demo-lib for {'-'.join(words)}")
    assert project.index.asked == []


def test_a_python_that_is_not_supported_is_refused(project, tmp_path):
    other = tmp_path / "python2"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    refuse(project.run(FEED_PYTHON=str(other)), "not a Python from 3.11 to 3.14; name another")


def test_without_apt_the_packages_to_install_are_named(project, tmp_path):
    said = project.run(f"PATH={tmp_path}; install_system_packages libgomp1")
    refuse(said, "install with your system's package manager and run again: libgomp1")


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-image.lock", "requirements-dev.lock"]
)
def test_the_lock_says_how_much_each_supported_python_downloads(lock, project):
    head = [line for line in (ROOT / lock).read_text().splitlines() if line.startswith("# Down")]
    for minor in (11, 12, 13, 14):
        line = f"# Download for linux-x86_64-3.{minor}: "
        assert [rest for rest in head if rest.startswith(line) and rest.endswith(" bytes")]
    said = project.run(f'download_size {ROOT / lock} "$FEED_PYTHON"')
    assert re.fullmatch(r"\d+ MB in \d+ files", said.stdout)
