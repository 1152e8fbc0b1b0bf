"""Fetches sources from files and web addresses, whole or not at all."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from feed.domain import InvalidInputError
from feed.ingest.downloading import (
    COMPLETE,
    MAX_DOCUMENT_BYTES,
    Download,
    describe_status,
    download,
)
from feed.ingest.urls import is_web_address, mask_login

GZIP_MARK = b"\x1f\x8b"
NOT_WHOLE = (EOFError, gzip.BadGzipFile, zlib.error)
"""Raised by gzip for data that break off or are damaged."""
CODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}


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
        found = download(source)
        if found.status not in COMPLETE:
            raise InvalidInputError("source", describe_status(found.status))
        return unpack(found)
    if not Path(source).is_file():
        raise InvalidInputError("source", f"{source} is neither a file nor an http(s) address")
    with Path(source).open("rb") as file:
        content = _bounded(file.read(MAX_DOCUMENT_BYTES + 1))
    return FetchedDocument(_decompressed(content))


def unpack(found: Download) -> FetchedDocument:
    """Return the document in an answer, decompressed; its address has no login.

    Raises:
        InvalidInputError: it is not whole, is empty or is too large.
    """
    coding = found.headers.get("Content-Encoding", "").strip().lower()
    if coding not in CODINGS:
        raise InvalidInputError("source", f"is compressed by {coding}, which was not asked for")
    content = _inflate(found.content) if coding == "deflate" else found.content
    described = Message()
    described["Content-Type"] = found.headers.get("Content-Type", "")
    charset = str(described.get_content_charset(""))
    return FetchedDocument(_decompressed(content), mask_login(found.address, b""), charset)


def _decompressed(content: bytes) -> bytes:
    """Return what gzip data hold, also where a compressed file was compressed once more."""
    for _ in range(2):
        if content.startswith(GZIP_MARK):
            content = _decompress(content)
    if not content.strip():
        raise InvalidInputError("source", "is empty")
    return content


def _decompress(content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return _bounded(file.read(MAX_DOCUMENT_BYTES + 1))
    except NOT_WHOLE as error:
        raise InvalidInputError("source", f"is not whole: {error}") from None


def _inflate(content: bytes) -> bytes:
    """Return what deflated data hold; half of the servers leave out the header of zlib."""
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(bits)
        try:
            inflated = _bounded(stream.decompress(content, MAX_DOCUMENT_BYTES + 1))
        except zlib.error:
            continue
        if stream.eof:
            return inflated
    raise InvalidInputError("source", "is not whole: its compressed data break off")


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidInputError("source", f"must be at most {MAX_DOCUMENT_BYTES} bytes")
    return content
