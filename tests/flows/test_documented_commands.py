"""The commands in the documents, run in the order of their page, as its reader would type them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from feed.service.supervisor import is_ready

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PATIENCE_S = 90.0
"""Far longer than anything takes; only a hang meets it."""

SERVE = "feed serve --data feed-data --port 8000\n"
"""What pages take for granted that do not start a service themselves."""

MAKES_ENVIRONMENT = "it downloads and installs all dependencies into the working tree"
NOT_RUN = {
    "scripts/demo": MAKES_ENVIRONMENT,
    "scripts/run --version              # makes .venv, then runs `feed --version`": (
        MAKES_ENVIRONMENT
    ),
    "scripts/test": "it runs this test",
    "scripts/test --python all     # or one: --python 3.12": MAKES_ENVIRONMENT,
    "python3 -m pip download --no-deps --require-hashes --only-binary :all: "
    "-r requirements.lock -d files": "it downloads all dependencies",
    "scripts/lock                       # after a change of pyproject.toml": "it asks the index",
    "sudo scripts/image.py": "it needs root and Debian's package index",
    "feed retrain --data /var/lib/feed  # from cron: publishes a model only if it is not worse": (
        "it wants days of clicks and an experiment; tests/commands runs each of them"
    ),
    "pip install 'feed[spark]'": (
        "it installs packages; tests/commands/test_retrain_on_spark.py trains on a cluster"
    ),
    "pip install ./scripts/lab/examples/plugin_package": (
        "it installs packages; tests/plugins builds the wheel and runs with it"
    ),
    "# pip install scikit-learn skl2onnx": (
        "its packages are not feed's; tests/plugins ranks with a model that it wrote"
    ),
    "feed sources check https://paper.example/": "it asks a site; tests/commands runs it",
    "import os, time, jwt": "tests/client/test_front_end_guide.py runs it",
}
"""The first line of each block that is not run here, with the reason."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def starts_service(self) -> bool:
        return "feed serve" in self.text

    @property
    def sets_environment(self) -> bool:
        return all(line.startswith("FEED_") for line in self.text.splitlines())


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(*words) for words in found]


def runnable_blocks(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.first_line not in NOT_RUN]


class Reader:
    """Somebody who types what a page says, in a directory and with a port of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.service: subprocess.Popen[bytes] | None = None
        program = folder / "bin" / "feed"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m feed "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "FEED_ENCODER": "none",
            "FEED_WEB": "1",
        }

    def adapt(self, text: str) -> str:
        """Put this reader's port, directory and installation into a block."""
        for theirs, ours in (
            (".venv/bin/feed", "feed"),
            ("/var/lib/feed", "feed-data"),
            (" --web 4", ""),
            ("8000", str(self.port)),
            ("feed ingest", f"feed ingest --url http://127.0.0.1:{self.port}"),
        ):
            text = text.replace(theirs, ours)
        return re.sub(r"feed sources \w+", rf"\g<0> --url http://127.0.0.1:{self.port}", text)

    def type(self, block: Block) -> str:
        """Run a block to its end; return what it prints."""
        text = self.adapt(block.text)
        if block.sets_environment:
            text = f"set -a\n{text}feed settings\n"
        shell = ["bash", "-euo", "pipefail", "-c"]
        command = [sys.executable, "-c"] if block.language == "python" else shell
        done = subprocess.run(
            [*command, text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start_service(self, block: Block) -> None:
        """Run a block that goes on until Ctrl-C, and wait until the service answers."""
        command = ["bash", "-c", f"exec {self.adapt(block.text)}"]
        self.service = subprocess.Popen(command, cwd=self.folder, env=self.environment)
        end = time.monotonic() + PATIENCE_S
        while not is_ready("127.0.0.1", self.port):
            assert self.service.poll() is None, f"{block.text} ended"
            assert time.monotonic() < end, f"{block.text} does not answer"
            time.sleep(0.05)

    def leave(self) -> None:
        if self.service is not None:
            self.service.terminate()
            self.service.wait(PATIENCE_S)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path)
    yield somebody
    somebody.leave()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if runnable_blocks(page)],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_the_commands_of_a_page_work_in_their_order(reader, page):
    blocks = runnable_blocks(page)
    needs_service = not all(block.sets_environment for block in blocks)
    if needs_service and not any(block.starts_service for block in blocks):
        reader.start_service(Block("sh", SERVE))
    for block in blocks:
        if block.starts_service:
            reader.start_service(block)
        else:
            assert '"status":"rejected"' not in reader.type(block)


def test_every_block_that_is_not_run_is_still_in_a_page():
    first_lines = {block.first_line for page in PAGES for block in blocks_of(page)}
    assert NOT_RUN.keys() <= first_lines
