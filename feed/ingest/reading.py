"""Reads any source that `feed ingest` accepts, recognised by its content."""

from __future__ import annotations

import gzip
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, EncodedFile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, tzinfo
from pathlib import Path

import click

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.fetching import GZIP_MARK, NOT_WHOLE, FetchedDocument, fetch_document
from feed.ingest.json_documents import parse_json
from feed.ingest.json_lines import parse_json_lines
from feed.ingest.sitemap import is_sitemap, parse_sitemap
from feed.ingest.syndication import WebPageError, parse_syndication
from feed.ingest.urls import is_web_address, lend_login, mask_login

LINES = {".jsonl", ".ndjson"}
UTF16_MARKS = (BOM_UTF16_BE, BOM_UTF16_LE)


def read_documents(source: str, form: str | None, now: float, zone: tzinfo = UTC) -> Documents:
    """Return what a source holds.

    Args:
        source: a file, an http(s) address, or `-` for standard input.
        form: `jsonl`, `rss` (any kind of feed), or None to tell by the source itself.
        now: epoch seconds; stands in for times that are missing.
        zone: of a feed, for times without a zone and for ambiguous zone names.

    Raises:
        InvalidInputError: the source is missing, not whole, or of another format.
    """
    name = Path(source.lower().removesuffix(".gz"))
    is_lines = form == "jsonl" or (form is None and (source == "-" or name.suffix in LINES))
    if is_web_address(source):
        return _read_address(source, now, zone)
    if not is_lines and (form == "rss" or name.suffix != ".json"):
        return parse_document(fetch_document(source), now, zone)
    if source != "-" and not Path(source).is_file():
        raise InvalidInputError("source", f"{source} is not a file")
    with _opened(source) as lines:
        if is_lines:
            return parse_json_lines(lines, now)
        return parse_json(b"".join(lines), "", now, zone)


def parse_document(document: FetchedDocument, now: float, zone: tzinfo = UTC) -> Documents:
    """Return what a fetched document holds, whatever it is called.

    Args:
        document: a feed of any kind, or JSON as `feed ingest` takes it.
        now: epoch seconds; stands in for times that are missing.
        zone: of a feed.

    Raises:
        InvalidInputError: the document is not whole, or of another format.
    """
    start = document.content.removeprefix(BOM_UTF8).lstrip()
    if start.startswith((b"{", b"[")):
        return parse_json(document.content, document.address, now, zone)
    if is_sitemap(start):
        return parse_sitemap(document, now, zone)
    return parse_syndication(document, now, zone)


def _read_address(address: str, now: float, zone: tzinfo) -> Documents:
    """Return what an address holds; a web page leads to the first feed that it names.

    The origin is the address, as it is when a source of that address is polled.
    """
    try:
        documents = parse_document(fetch_document(address), now, zone)
    except WebPageError as page:
        feed = lend_login(page.feeds[0], address)
        documents = parse_document(fetch_document(feed), now, zone)
    documents.origin = mask_login(address, b"")
    return documents


@contextmanager
def _opened(source: str) -> Iterator[Iterable[bytes]]:
    """Open a file, or standard input, without a limit to its size."""
    try:
        with click.open_file(source, "rb") as file, ExitStack() as stack:
            start = file.peek(len(GZIP_MARK))  # type: ignore[attr-defined]
            if start.startswith(UTF16_MARKS):  # as PowerShell writes text
                yield EncodedFile(file, "utf-8", "utf-16")
                return
            is_packed = start.startswith(GZIP_MARK)
            yield stack.enter_context(gzip.GzipFile(fileobj=file)) if is_packed else file
    except (*NOT_WHOLE, UnicodeDecodeError) as error:
        raise InvalidInputError("source", f"{source} is not whole: {error}") from None
