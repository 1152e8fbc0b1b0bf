"""Parses documents in a separate process, so that no document can harm this one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from feed.domain import InvalidInputError
from feed.ingest.documents import Documents
from feed.ingest.fetching import FetchedDocument
from feed.ingest.reading import parse_document
from feed.ingest.syndication import WebPageError
from feed.piped_process import start_piped
from feed.zones import read_zone

Parse = Callable[[FetchedDocument, float, str], Documents]
"""Takes a document, epoch seconds and the name of a zone; raises InvalidInputError."""
LIMIT_S = 120.0
"""How long parsing may take; the largest document that is fetched takes a tenth of that."""


def parse_here(document: FetchedDocument, now: float, zone: str) -> Documents:
    """Parse a document in this process."""
    return parse_document(document, now, read_zone(zone))


class ParseProcess:
    """Parses one document at a time in another process, which starts at first use.

    Parsing a large document takes seconds of pure Python, which would delay whatever else this
    process computes. A document that takes too long, or all the memory, ends only that process.

    Args:
        parse: what that process runs; a function of a module.
        limit_s: seconds that one document may take.
    """

    def __init__(self, parse: Parse = parse_here, limit_s: float = LIMIT_S) -> None:
        self._parse = parse
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def __call__(self, document: FetchedDocument, now: float, zone: str) -> Documents:
        """Return what a document holds, as `parse_here`.

        Raises:
            InvalidInputError: it can't be read, or takes too long.
        """
        with self._lock:
            kind, result = self._ask(document, now, zone)
        if kind == "page":
            raise WebPageError(result)
        if kind == "refused":
            raise InvalidInputError(*result)
        documents: Documents = result
        return documents

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()

    def _ask(self, *question: Any) -> tuple[str, Any]:
        if self._process is None or not self._process.is_alive():
            self._process, self._connection = start_piped(_serve, self._parse, name="feed-parser")
        connection = self._connection
        try:
            if connection is not None:
                connection.send(question)
                if connection.poll(self._limit_s):
                    answer: tuple[str, Any] = connection.recv()
                    return answer
            reason = f"can't be read within {self._limit_s:g} seconds"
        except (EOFError, OSError):
            reason = "can't be read: it ends the process that parses it"
        self.close()
        return "refused", ("source", reason)


def _serve(connection: Connection[Any, Any], parse: Parse) -> None:
    """Answer questions until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker ends this process
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        connection.send(_answer(parse, question))


def _answer(parse: Parse, question: tuple[FetchedDocument, float, str]) -> tuple[str, Any]:
    try:
        return "documents", parse(*question)
    except WebPageError as page:
        return "page", page.feeds
    except InvalidInputError as error:
        return "refused", (error.field_name, error.rule)
    except Exception as error:  # noqa: BLE001 - whatever a document does, the next one is read
        return "refused", ("source", f"can't be read: {type(error).__name__}")
