"""A real S3 server on the loopback address: moto, which refuses conditional writes as S3 does."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from moto.server import ThreadedMotoServer


class ObjectServer:
    """The server, and buckets of their own for tests.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = count(1)

    def new_url(self) -> str:
        """Return the URL of a prefix in a new bucket."""
        bucket = f"bucket-{next(self._numbers)}"
        address = f"http://127.0.0.1:{self.port}/{bucket}"
        urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
        return f"s3://{bucket}/site"

    @staticmethod
    def environment(port: int) -> dict[str, str]:
        """Return the variables with which a client finds a server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "topsecret",
            "AWS_REGION": "us-east-1",
        }

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[ObjectServer]:
        """Run a server."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            yield cls(server.get_host_and_port()[1])
        finally:
            server.stop()
