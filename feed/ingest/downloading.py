"""Downloads a document from the web: whole, within limits, and with its redirects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpcore
import httpx

from feed.domain import InvalidInputError
from feed.ingest.connections import CheckAddress, CheckedTransport, Deadline, trusted

MAX_DOCUMENT_BYTES = 20_000_000
PART_TIMEOUT_S = 20.0
"""How long one part of an answer may take."""
WHOLE_TIMEOUT_S = 60.0
MOST_REDIRECTS = 10
PERMANENT = {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT}
COMPLETE = {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}
HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; feed-ingest)",
    "Accept": "application/rss+xml, application/atom+xml, application/feed+json, "
    "application/xml;q=0.9, text/xml;q=0.9, text/html;q=0.8, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}
"""Some sites refuse a client whose name does not begin like a browser's."""
FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class Download:
    """The answer of a server, after redirects.

    Args:
        status: of the last answer.
        headers: of the last answer.
        content: as it was sent, so perhaps compressed.
        address: where the last answer came from; it holds the login where that was used.
        lasting_address: the address to ask in future: the last one to which every redirect was
            permanent.
    """

    status: int
    headers: httpx.Headers
    content: bytes
    address: str
    lasting_address: str


def download(
    address: str,
    headers: Mapping[str, str] | None = None,
    check: CheckAddress | None = None,
    limit_s: float = WHOLE_TIMEOUT_S,
) -> Download:
    """Return the answer to a request for an address, whatever its status.

    Args:
        address: of http or https; a name and a password in it become basic authentication.
        headers: further headers.
        check: refuses addresses of hosts, at the beginning and at each redirect; None:
            none is refused.
        limit_s: seconds that everything together may take.

    Raises:
        InvalidInputError: it can't be fetched whole, is too large, or must not be reached.
    """
    deadline = Deadline(limit_s)
    try:
        with _open_client(check, deadline) as client:
            request = client.build_request("GET", address, headers={**HEADERS, **(headers or {})})
            return _follow(client, request, deadline)
    except (httpx.TimeoutException, httpcore.TimeoutException):
        raise InvalidInputError("source", "can't be fetched: the server takes too long") from None
    except FAILURES as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InvalidInputError("source", f"can't be fetched: {reason}") from None


def describe_status(status: int) -> str:
    """Return the refusal of a server in words."""
    try:
        return f"can't be fetched: the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"can't be fetched: the server answered {status}"


@contextmanager
def _open_client(check: CheckAddress | None, deadline: Deadline) -> Iterator[httpx.Client]:
    transport = None if check is None else CheckedTransport(check, deadline)
    with httpx.Client(transport=transport, verify=trusted(), timeout=PART_TIMEOUT_S) as client:
        yield client


def _follow(client: httpx.Client, request: httpx.Request, deadline: Deadline) -> Download:
    lasting_address, is_lasting = str(request.url), True
    for _ in range(MOST_REDIRECTS + 1):
        answer = client.send(request, stream=True)
        try:
            following = answer.next_request
            if following is None:
                content = _read(answer, deadline)
                address = str(request.url)
                return Download(
                    answer.status_code, answer.headers, content, address, lasting_address
                )
        finally:
            answer.close()
        _keep_login(request, following)
        is_lasting = is_lasting and answer.status_code in PERMANENT
        lasting_address = str(following.url) if is_lasting else lasting_address
        request = following
    raise InvalidInputError("source", f"can't be fetched: more than {MOST_REDIRECTS} redirects")


def _keep_login(request: httpx.Request, following: httpx.Request) -> None:
    """Put the login into the next address if httpx sends it there, too: within one site."""
    if "Authorization" in following.headers and not following.url.userinfo:
        following.url = following.url.copy_with(userinfo=request.url.userinfo)


def _read(answer: httpx.Response, deadline: Deadline) -> bytes:
    content = bytearray()
    for part in answer.iter_raw():
        content += part
        deadline.left()
        if len(content) > MAX_DOCUMENT_BYTES:
            raise InvalidInputError("source", f"must be at most {MAX_DOCUMENT_BYTES} bytes")
    return bytes(content)
