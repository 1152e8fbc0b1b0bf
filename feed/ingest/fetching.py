"""Fetches sources from files and web addresses, whole or not at all."""

from __future__ import annotations

import gzip
import io
import ssl
import zlib
from dataclasses import dataclass
from pathlib import Path

import httpx

from feed.domain import InvalidInputError
from feed.ingest.urls import is_web_address

MAX_DOCUMENT_BYTES = 20_000_000
FETCH_TIMEOUT_S = 20.0
USER_AGENT = "Mozilla/5.0 (compatible; feed-ingest)"
"""Some sites refuse a program that does not begin like a browser."""
GZIP_MARK = b"\x1f\x8b"
NOT_WHOLE = (EOFError, gzip.BadGzipFile, zlib.error)
"""Raised by gzip for data that break off or are damaged."""


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """The bytes of a source; `address` (after redirects) and `charset` are those of the web."""

    content: bytes
    address: str = ""
    charset: str = ""


def fetch_document(source: str) -> FetchedDocument:
    """Return the document in a file or at an http(s) address, decompressed.

    Raises:
        InvalidInputError: it can't be fetched whole, is empty or is too large.
    """
    if is_web_address(source):
        document = _download(source)
    elif Path(source).is_file():
        with Path(source).open("rb") as file:
            document = FetchedDocument(file.read(MAX_DOCUMENT_BYTES + 1))
    else:
        raise InvalidInputError("source", f"{source} is neither a file nor an http(s) address")
    content = _bounded(document.content)
    if content.startswith(GZIP_MARK):
        content = _bounded(_decompress(content))
    if not content.strip():
        raise InvalidInputError("source", "is empty")
    return FetchedDocument(content, document.address, document.charset)


def _download(address: str) -> FetchedDocument:
    """Return the document at an address, or a part of it that is longer than what is allowed."""
    content = bytearray()
    try:
        with httpx.stream(
            "GET",
            address,
            headers={"User-Agent": USER_AGENT},
            timeout=FETCH_TIMEOUT_S,
            follow_redirects=True,
            verify=ssl.create_default_context(),
        ) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_DOCUMENT_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        message = f"{address} can't be fetched: {reason}"
        raise InvalidInputError("source", _without_password(message, address)) from None
    return FetchedDocument(
        bytes(content), _without_password(str(answer.url), address), answer.charset_encoding or ""
    )


def _without_password(text: str, address: str) -> str:
    """Return a text without the name and the password that stand before an address's host."""
    login, at, _ = address.partition("://")[2].partition("/")[0].rpartition("@")
    return text.replace(login + at, "") if at else text


def _decompress(content: bytes) -> bytes:
    """Return what gzip data hold, or a part of it that is longer than what is allowed."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except NOT_WHOLE as error:
        raise InvalidInputError("source", f"is not whole: {error}") from None


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidInputError("source", f"must be at most {MAX_DOCUMENT_BYTES} bytes")
    return content
