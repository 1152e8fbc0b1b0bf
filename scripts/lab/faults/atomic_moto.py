"""`atomic_moto.py HOST PORT`: moto's S3 server, which does one write after the other.

By itself moto looks whether a name is free and then takes it, in several threads. So of two
conditional writes at the same moment both may succeed, which S3 rules out.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class OneWriteAtATime:
    """A WSGI application whose requests other than reads wait for each other."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application, self._lock = application, threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        with self._lock:
            return list(self._application(environ, start_response))


if __name__ == "__main__":
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(
        sys.argv[1],
        int(sys.argv[2]),
        OneWriteAtATime(moto),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
