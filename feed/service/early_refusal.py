"""Refuses a feed at the door while the queue is full, before anything is read or checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from feed.service.admission import BUSY
from feed.service.problems import MEDIA_TYPE, RETRY_AFTER_S, problem_body
from feed.service.services import Services
from feed.service.telemetry import SHED, Stopwatch, count_request

PATH = "/v1/feed"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class EarlyRefusal:
    """A WSGI application before another one.

    Clients that are refused try again at once, so refusals come by the thousand, and each of them
    takes processor time from the requests that are worked on. Refused here, a request costs a
    fraction of what it costs the application behind. That one still refuses what a page of
    another origin asks, because such an answer needs headers that depend on the request.
    """

    def __init__(self, application: WsgiApplication, services: Services) -> None:
        self._application = application
        self._services = services
        self._body = orjson.dumps(problem_body(503, BUSY))
        self._headers = [
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(self._body))),
            ("Retry-After", str(RETRY_AFTER_S)),
            ("X-Content-Type-Options", "nosniff"),
        ]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        is_feed = environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "GET"
        if not is_feed or "HTTP_ORIGIN" in environ or not self._services.admission.is_full:
            return self._application(environ, start_response)
        watch = Stopwatch()
        SHED.inc()
        count_request(PATH, "GET", 503, watch)
        self._services.pulse.counts.add_request(503, watch)
        start_response("503 Service Unavailable", self._headers)
        return [self._body]
