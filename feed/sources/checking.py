"""Checks one source: fetches it if it is new, reads it, and says what was found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus

from feed.domain import InvalidInputError
from feed.ingest.connections import CheckAddress
from feed.ingest.documents import Documents
from feed.ingest.downloading import (
    COMPLETE,
    WHOLE_TIMEOUT_S,
    Download,
    describe_status,
    download,
)
from feed.ingest.fetching import unpack
from feed.ingest.syndication import WebPageError
from feed.ingest.urls import lend_login, mask_login
from feed.sources.parse_process import Parse, parse_here
from feed.sources.schedule import read_max_age, read_retry_after
from feed.sources.subscription import Source, SourceState

MOST_NAMED = 5
"""How many of a page's other feeds a message names."""
LONGEST_MARK = 1_000
"""Longest `ETag` or `Last-Modified` that is kept, characters."""


class CheckOutcome(StrEnum):
    """How a check ended."""

    READ = "read"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """What one check of a source found.

    Args:
        outcome: how it ended.
        message: what happened, in words.
        documents: what the source holds, where it was read.
        feed_address: where the feed is, if that is not the address of the source.
        etag, last_modified, digest: those of the answer.
        wait_s: how long the publisher asks to wait, seconds.
    """

    outcome: CheckOutcome
    message: str
    documents: Documents | None = None
    feed_address: str = ""
    etag: str = ""
    last_modified: str = ""
    digest: str = ""
    wait_s: float = 0.0


class SourceChecker:
    """Fetches and reads sources.

    Args:
        reach: refuses addresses that must not be reached.
        parse: reads documents.
        limit_s: seconds that fetching one document may take.
    """

    def __init__(
        self,
        reach: CheckAddress,
        parse: Parse = parse_here,
        limit_s: float = WHOLE_TIMEOUT_S,
    ) -> None:
        self._reach = reach
        self._parse = parse
        self._limit_s = limit_s

    def check(self, source: Source, state: SourceState, now: float) -> SourceCheck:
        """Return what a source holds now. If an operator asked, even a known document is read.

        Args:
            source: what to fetch.
            state: what was found last time.
            now: epoch seconds.
        """
        known = replace(state, etag="", last_modified="", digest="")
        known = state if source.asked == state.answered else known
        address = state.feed_address or source.address
        try:
            return self._read(source, known, address, now)
        except WebPageError as page:
            return self._check_page(source, known, page, now)
        except InvalidInputError as error:
            return _failed(error.rule, known.feed_address)

    def _check_page(
        self, source: Source, known: SourceState, page: WebPageError, now: float
    ) -> SourceCheck:
        """Return what the first feed of a web page holds."""
        first, *others = (lend_login(feed, source.address) for feed in page.feeds)
        notes = [f"the address is a web page; its feed is {mask_login(first)}"]
        if others:
            named = ", ".join(mask_login(other) for other in others[:MOST_NAMED])
            notes.append(f"it names {len(others)} more: {named}")
        try:
            found = self._read(source, known, first, now)
        except InvalidInputError as error:
            found = _failed(error.rule, known.feed_address)
        if found.outcome is not CheckOutcome.READ:
            notes.append(found.message)
        return replace(found, message="; ".join(notes))

    def _read(self, source: Source, known: SourceState, address: str, now: float) -> SourceCheck:
        marks = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        headers = {name: value for name, value in marks.items() if value}
        found = download(address, headers, self._reach, self._limit_s)
        fresh_s = read_max_age(found.headers.get("Cache-Control", ""))
        if found.status == HTTPStatus.NOT_MODIFIED and headers:
            return _unchanged(known, known.feed_address, fresh_s)
        if found.status not in COMPLETE:
            return _refused(known, found, now)
        document = unpack(found)
        digest = hashlib.blake2b(document.content, digest_size=16).hexdigest()
        lasting = "" if found.lasting_address == source.address else found.lasting_address
        if digest == known.digest and lasting == known.feed_address:
            return _unchanged(known, lasting, fresh_s)
        documents = self._parse(document, now, source.zone)
        return SourceCheck(
            outcome=CheckOutcome.READ,
            message=_moved(known, source, lasting),
            documents=documents,
            feed_address=lasting,
            etag=_mark(found, "ETag"),
            last_modified=_mark(found, "Last-Modified"),
            digest=digest,
            wait_s=max(fresh_s, documents.wait_s),
        )


def _mark(found: Download, name: str) -> str:
    """Return a header that can be sent back as it is, or an empty text."""
    mark: str = found.headers.get(name, "")
    return mark if mark.isascii() and mark.isprintable() and len(mark) <= LONGEST_MARK else ""


def _unchanged(known: SourceState, feed_address: str, fresh_s: float) -> SourceCheck:
    return SourceCheck(
        outcome=CheckOutcome.UNCHANGED,
        message="nothing new",
        feed_address=feed_address,
        etag=known.etag,
        last_modified=known.last_modified,
        digest=known.digest,
        wait_s=max(fresh_s, known.wait_s),
    )


def _refused(known: SourceState, found: Download, now: float) -> SourceCheck:
    """Return what a server refused. A feed that is not where it moved to is sought where it was."""
    is_lost = found.status == HTTPStatus.NOT_FOUND
    return SourceCheck(
        outcome=CheckOutcome.GONE if found.status == HTTPStatus.GONE else CheckOutcome.FAILED,
        message=describe_status(found.status),
        feed_address="" if is_lost else known.feed_address,
        wait_s=read_retry_after(found.headers.get("Retry-After", ""), now),
    )


def _failed(message: str, feed_address: str) -> SourceCheck:
    return SourceCheck(outcome=CheckOutcome.FAILED, message=message, feed_address=feed_address)


def _moved(known: SourceState, source: Source, lasting: str) -> str:
    """Return a sentence on a move that was not known before."""
    before = known.feed_address or source.address
    after = lasting or source.address
    return "" if before == after else f"moved to {mask_login(after)}"
