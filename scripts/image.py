#!/usr/bin/env python3
"""Runs the Dockerfile's steps where there is no container engine, and then what they made.

    scripts/image.py [--base DIR]

The base image is Debian with the same Python, made by debootstrap (or a copy of --base, a Debian
root that is there already). Every step runs in that root as an engine would run it; then
`feed --version`, and `feed serve` as the image's user with a read-only root and no capabilities,
until /healthz answers. Takes minutes and some 1.5 GB in the temporary directory, which it
gives back. Settings of pip and of a proxy in the environment hold for the steps.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PACKAGES = "python3,python3-venv,ca-certificates"
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = re.compile(r"PIP_.*|SSL_CERT_FILE|(https?|no)_proxy|(HTTPS?|NO)_PROXY")
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
START_S = 120.0
# As an engine isolates: mounts and processes of its own, gone when the command ends.
ISOLATE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "bash", "-euc"]
MOUNT = 'mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/dev/shm"; exec chroot "$0" "$@"'
MOUNT_READ_ONLY = (
    'mount --bind "$0" "$0"; mount --bind "$0/data" "$0/data"; mount -o remount,bind,ro "$0"; '
    f'mount -t tmpfs tmpfs "$0/tmp"; {MOUNT}'
)


class ImageError(Exception):
    """A step failed, or something it needs is missing; the message says what to do."""


@dataclass(slots=True)
class Image:
    """What the steps so far have made: a root directory and what an engine keeps beside it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    directory: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def apply(self, instruction: str, text: str) -> None:
        """Carry out one instruction of the Dockerfile.

        Raises:
            ImageError: the step failed, or the instruction is not known here.
        """
        print(f"==> {instruction} {text}", flush=True)
        match instruction:
            case "RUN":
                passed = {k: v for k, v in os.environ.items() if PASSED_ON.fullmatch(k)}
                words = self.words([*self.shell, text], passed)
                if subprocess.run(
                    [*ISOLATE, MOUNT, str(self.root), *words], check=False
                ).returncode:
                    raise ImageError(f"this step failed: RUN {text}")
            case "COPY":
                self.copy(shlex.split(text))
            case "ENV":
                for name, value in (word.split("=", 1) for word in shlex.split(text)):
                    self.environment[name] = re.sub(
                        r"\$\{?(\w+)\}?", lambda m: self.environment.get(m[1], ""), value
                    )
            case "WORKDIR":
                self.directory = text
                self.inside(text).mkdir(parents=True, exist_ok=True)
            case "USER":
                self.user = text
            case "SHELL":
                self.shell = json.loads(text)
            case "ENTRYPOINT":
                self.entrypoint = json.loads(text)
            case "CMD":
                self.command = json.loads(text)
            case "VOLUME" | "EXPOSE":
                pass
            case _:
                raise ImageError(f"scripts/image.py does not know the instruction {instruction}")

    def inside(self, path: str) -> Path:
        """Return where a path of the image lies outside of it."""
        return self.root / str(Path(self.directory, path)).lstrip("/")

    def copy(self, words: list[str]) -> None:
        """Copy files that .dockerignore lets through; a directory's content, as an engine does."""
        *sources, target = words
        allowed = (SOURCE / ".dockerignore").read_text().splitlines()
        for name in sources:
            if f"!{name}" not in allowed:
                raise ImageError(f".dockerignore keeps {name} out: add !{name}")
            source, to = SOURCE / name, self.inside(target)
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, to, ignore=ignore, dirs_exist_ok=True)
            else:
                to = to / source.name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, to)

    def words(self, command: list[str], more: dict[str, str] | None = None) -> list[str]:
        """Return a command with the image's environment and working directory."""
        variables = {**(more or {}), **self.environment}
        pairs = [f"{name}={value}" for name, value in variables.items()]
        return ["env", "-i", "-C", self.directory, *pairs, *command]

    def run_words(self, arguments: list[str], settings: dict[str, str]) -> list[str]:
        """Return the command that runs the image: its user, no rights, nothing to write to."""
        rights = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        rights += ["--no-new-privs", "--bounding-set=-all"]
        command = self.words([*self.entrypoint, *arguments], settings)
        return [*ISOLATE, MOUNT_READ_ONLY, str(self.root), *rights, *command]


def read_steps() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and their texts, in order."""
    lines = (SOURCE / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    steps = re.sub(r"\\\n\s*", "", text).splitlines()
    return [
        (name.upper(), rest.strip()) for name, _, rest in (s.partition(" ") for s in steps if s)
    ]


def prepare_base(root: Path, image: str, base: Path | None) -> None:
    """Make the root that stands for the base image, e.g. python:3.13-slim-trixie."""
    version, suite = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", image).groups()  # type: ignore[union-attr]
    if base:
        subprocess.run(["cp", "-a", f"{base}/.", str(root)], check=True)
    elif shutil.which("debootstrap") is None:
        raise ImageError("debootstrap is needed: apt-get install debootstrap")
    else:
        print(f"==> FROM {image}: Debian {suite} by debootstrap (minutes)", flush=True)
        words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root)]
        made = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
        if made.returncode:
            print(made.stdout[-2000:], file=sys.stderr)
            raise ImageError("debootstrap failed; is Debian's mirror reachable?")
    for path in (Path("etc/resolv.conf"), CERTIFICATES):
        if Path("/", path).exists():
            shutil.copy(Path("/", path), root / path)
    said = subprocess.run(
        ["chroot", str(root), "python3", "--version"], capture_output=True, text=True, check=True
    )
    if not said.stdout.startswith(f"Python {version}."):
        raise ImageError(f"the base has {said.stdout.strip()}, not Python {version}")


def try_image(image: Image) -> None:
    """Run `feed --version`, then the image's own command until /healthz answers.

    Raises:
        ImageError: either fails.
    """
    version = subprocess.run(image.run_words(["--version"], {}), check=False)
    if version.returncode:
        raise ImageError("feed --version failed in the image")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = image.run_words(image.command, {"FEED_PORT": str(port)})
    with subprocess.Popen(words, start_new_session=True) as service:
        try:
            print(f"==> /healthz: {wait_for_answer(service, port)}", flush=True)
        finally:
            os.killpg(service.pid, signal.SIGTERM)


def wait_for_answer(service: subprocess.Popen[bytes], port: int) -> str:
    """Return what /healthz says once it answers."""
    end = time.monotonic() + START_S
    while service.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                return f"{answer.status} {answer.read().decode().strip()}"
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise ImageError("feed serve did not answer in the image; what it said is above")


def main() -> None:
    """Make the base, carry out every step, try the result, and remove everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", type=Path, help="a Debian root to copy instead of a new one")
    base = parser.parse_args().base
    root = Path(tempfile.mkdtemp(prefix="feed-image-"))
    try:
        if os.geteuid() != 0:
            raise ImageError("only root may change root: run it with sudo")
        (_, start), *steps = read_steps()
        root.chmod(0o755)
        prepare_base(root, start, base)
        image = Image(root)
        for instruction, text in steps:
            image.apply(instruction, text)
        try_image(image)
        print("==> the image builds and serves")
    except ImageError as error:
        sys.exit(f"error: {error}")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
