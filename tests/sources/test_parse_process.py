"""A process that parses, and documents that do it harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from feed_server import rss

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.fetching import FetchedDocument
from feed.ingest.syndication import WebPageError
from feed.sources.parse_process import ParseProcess, parse_here

PAGE = b"<link rel='alternate' type='application/rss+xml' href='/rss'>"


def parse_harmful(document: FetchedDocument, now: float, zone: str) -> Documents:
    if document.content == b"dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if document.content == b"raises":
        raise RecursionError
    while document.content == b"hangs":
        pass
    return parse_here(document, now, zone)


@contextmanager
def started(limit_s: float) -> Iterator[ParseProcess]:
    process = ParseProcess(parse_harmful, limit_s)
    yield process
    process.close()


def test_another_process_reads_as_this_one_does() -> None:
    with started(60) as parse:
        document = FetchedDocument(rss("one", "two"), "https://quay.example/rss")
        assert parse(document, 5.0, "Europe/Berlin") == parse_here(document, 5.0, "Europe/Berlin")
        with pytest.raises(WebPageError) as page:
            parse(FetchedDocument(PAGE, "https://quay.example/"), 5.0, "UTC")
        assert page.value.feeds == ("https://quay.example/rss",)
        with pytest.raises(InvalidInputError, match="source: must be an RSS"):
            parse(FetchedDocument(b"nothing"), 5.0, "UTC")


@pytest.mark.parametrize(
    ("content", "limit_s", "why"),
    [
        (b"dies", 60, "ends the process"),
        (b"raises", 60, "RecursionError"),
        (b"hangs", 0.2, "within 0.2 seconds"),
    ],
)
def test_a_harmful_document_is_refused_and_the_next_one_read(
    content: bytes, limit_s: float, why: str
) -> None:
    with started(limit_s) as parse:
        with pytest.raises(InvalidInputError, match=why):
            parse(FetchedDocument(content), 5.0, "UTC")
        parse._limit_s = 60
        assert len(parse(FetchedDocument(rss("one")), 5.0, "UTC").articles) == 1
