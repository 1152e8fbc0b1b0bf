"""Cross-origin requests: which pages of other sites may call this service from a browser."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, Response

from feed.domain import InvalidInputError

EVERY = "*"
_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = "Authorization, Content-Encoding, Content-Type, X-API-Key, X-Request-Id"
_ANSWER_HEADERS = "Date, Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id"
_OWN_SITES = frozenset({"same-origin", "none"})
PREFLIGHT_S = "7200"
"""How long a browser need not ask again; the longest that Chromium allows."""


def read_origins(text: str) -> list[str]:
    """Return the origins of `FEED_CORS_ORIGINS`, separated by commas; `*` is every origin.

    Raises:
        InvalidInputError: one is no origin, which is a scheme, a host and perhaps a port.
    """
    origins = [one.strip().rstrip("/") for one in text.split(",") if one.strip()]
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if origin not in {EVERY, "null"} and not (scheme and host and not set(host) & set("/?#@ ")):
            rule = f"{origin} is no origin such as https://www.example, without a path"
            raise InvalidInputError("FEED_CORS_ORIGINS", rule)
    return origins


class CrossOrigin:
    """Answers browsers that ask whether a page from another origin may call.

    Credentials travel in the `Authorization` header, which a page sets itself. The cookies of the
    desk count on the service's own pages alone, so `Access-Control-Allow-Credentials` is never
    sent, neither with an origin nor with `*`.

    Args:
        origins: as `read_origins` reads them.
    """

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(read_origins(origins))

    def is_preflight(self, request: Request) -> bool:
        """Return whether a request is a preflight on behalf of a page that may call."""
        return (
            request.method == "OPTIONS"
            and "Access-Control-Request-Method" in request.headers
            and self._allowed(request) is not None
        )

    def complete(self, request: Request, response: Response) -> None:
        """Add to a response what the browser needs to know."""
        if not self._origins:
            return
        headers = response.headers
        if EVERY not in self._origins:
            headers.add("Vary", "Origin")
        allowed = self._allowed(request)
        if allowed is None:
            return
        headers["Access-Control-Allow-Origin"] = allowed
        headers["Access-Control-Expose-Headers"] = _ANSWER_HEADERS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = _METHODS
            headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
            headers["Access-Control-Max-Age"] = PREFLIGHT_S

    def may_send(self, request: Request) -> bool:
        """Return whether a page may send what browsers let every page send, such as a beacon.

        No origin at all is no browser, or one that keeps the page's origin to itself for a
        request to the page's own service.
        """
        origin = request.headers.get("Origin")
        own = request.host_url.rstrip("/")
        return origin is None or origin == own or self._allowed(request) is not None

    def may_change(self, request: Request) -> bool:
        """Return whether a request without a credential and without JSON may change something.

        Browsers let every page send such a request, to addresses of the own machine, too. What
        `Sec-Fetch-Site` says holds behind a proxy as well; older browsers send only an origin.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            return self.may_send(request)
        return site in _OWN_SITES or self._allowed(request) is not None

    def is_own(self, request: Request) -> bool:
        """Return whether no page but the service's own can have sent a request.

        A proxy may speak another scheme, so an origin is compared without it.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            origin = request.headers.get("Origin")
            return origin is None or _host_of(origin) == request.host
        return site in _OWN_SITES

    def _allowed(self, request: Request) -> str | None:
        origin = request.headers.get("Origin", "")
        if not origin:
            return None
        if EVERY in self._origins:
            return EVERY
        return origin if origin in self._origins else None


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as http://[
        return ""
