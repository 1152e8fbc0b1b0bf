"""A proxy before the S3 server that is slow, refuses, cuts answers, or loses them."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(Enum):
    """What happens to one request."""

    SLOW = "answered after a second"
    UNAVAILABLE = "refused with 503, and not done"
    CUT = "done, and the answer ends in the middle"
    LOST = "done, and the connection closes without an answer"


@dataclass
class ObjectProxy:
    """Passes requests on to a server.

    `plan` holds faults with the method and a part of the path of the request that each waits for;
    a fault happens once. `seen` are methods and paths, in the order of arrival.
    """

    port: int
    plan: list[tuple[Fault, str, str]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that waits for a request, if one does."""
        with self.lock:
            self.seen.append((method, path))
            for number, (fault, its_method, part) in enumerate(self.plan):
                if its_method == method and part in path:
                    del self.plan[number]
                    return fault
        return None


@contextmanager
def proxied(target: int) -> Iterator[ObjectProxy]:
    """Run a proxy before the server on a port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.take(self.command, self.path)
            if fault is Fault.UNAVAILABLE:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault is Fault.SLOW:
                time.sleep(1.0)
            connection = http.client.HTTPConnection("127.0.0.1", target)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if fault is Fault.LOST:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding", "date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            self.close_connection = fault is Fault.CUT
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if fault is Fault.CUT else data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815 - the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy = ObjectProxy(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
