"""A real S3 server: moto, which refuses conditional writes as S3 does."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from lab.ports import free_port

PATIENCE_S = 60.0
LOOPBACK = "127.0.0.1"
_PROGRAM = Path(__file__).with_name("atomic_moto.py")


class ObjectServer:
    """The server, and buckets of their own for tests.

    Args:
        port: where it listens.
        host: the address on which it listens.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.port = port
        self._host = host
        self._numbers = count(1)

    def new_url(self) -> str:
        """Return the URL of a prefix in a new bucket, whose name differs from those before it."""
        bucket = f"bucket-{next(self._numbers)}"
        address = f"http://{self._host}:{self.port}/{bucket}"
        request = urllib.request.Request(address, method="PUT")
        urllib.request.urlopen(request).close()  # noqa: S310
        return f"s3://{bucket}/site"

    def answers(self) -> bool:
        """Return whether it takes connections."""
        try:
            socket.create_connection((self._host, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    @staticmethod
    def environment(port: int, host: str = LOOPBACK) -> dict[str, str]:
        """Return the variables with which a client finds a server."""
        return {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "topsecret",
            "AWS_REGION": "us-east-1",
        }

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[ObjectServer]:
        """Run a server in a process of its own."""
        port = free_port()
        command = command_of(LOOPBACK, port)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _await(port, process)
                yield cls(port)
            finally:
                process.kill()


def command_of(host: str, port: int) -> list[str]:
    """Return the command that runs a server."""
    return [sys.executable, "-P", str(_PROGRAM), host, str(port)]


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if ObjectServer(port).answers():
            return
        time.sleep(0.05)
    raise RuntimeError("the S3 server of the tests did not start: is moto[s3] installed?")
