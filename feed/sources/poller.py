"""Polls every source when it is due and puts its articles into the catalogue."""

from __future__ import annotations

import os
import queue
import random
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from feed.catalogue.article_service import ArticleService
from feed.client import batches
from feed.config import Settings
from feed.domain import FeedError, InvalidInputError, StoreUnavailableError
from feed.ingest.urls import host_of
from feed.sources.checking import CheckOutcome, SourceCheck, SourceChecker
from feed.sources.configured import configured_sources
from feed.sources.directory import SourceDirectory
from feed.sources.parse_process import ParseProcess
from feed.sources.reach import AllowedHosts
from feed.sources.schedule import is_due
from feed.sources.source_metrics import ARTICLES, CHECKS, LEFT_OUT, SOURCES
from feed.sources.subscription import Source, SourceState, SourceStatus, status_of
from feed.sources.taking import next_state
from feed.storage.redis_store import RedisStore

LEASE = "sources"
LEASE_SECONDS = 60.0
"""Far longer than the time to parse the largest document."""
READ_SECONDS = 60.0
MOST_AT_ONCE = 8
"""Downloads at one time, each from another host."""
BATCH = 25
"""Articles that are encoded and written together."""

_NEVER_CHECKED = SourceState()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Finished:
    """A check that has ended."""

    source: Source
    check: SourceCheck


class _StoppedError(FeedError):
    """The document is left to the next poller, which starts it again."""


class SourcePoller:
    """Polls the sources. Several may run: one holds the lease and polls, the others stand by.

    Downloads run in threads of their own and only wait there, documents are parsed in another
    process, and the thread that calls `tick` takes the articles in. A state is saved after its
    articles, so that what fails in between is done again.

    Args:
        store: of sources and articles.
        articles: takes the articles in.
        settings: `source_networks`, and `sources`, which are added when this poller begins to lead.
        owner: name of this run; generated if not given.
        chance: gives numbers from 0 to 1 for the jitter.
        checker: fetches and reads; None: one that keeps to `source_networks`.
    """

    def __init__(
        self,
        store: RedisStore,
        articles: ArticleService,
        settings: Settings,
        owner: str = "",
        chance: Callable[[], float] = random.random,
        checker: SourceChecker | None = None,
    ) -> None:
        self._store = store
        self._articles = articles
        self._directory = SourceDirectory(store)
        self._owner = owner or f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._chance = chance
        self._parse = ParseProcess()
        reach = AllowedHosts(settings.source_networks).check
        self._checker = checker or SourceChecker(reach, self._parse)
        self._configured = configured_sources(settings.sources)
        self._finished: queue.Queue[_Finished] = queue.Queue()
        self._busy: dict[str, str] = {}
        self._sources: dict[str, Source] = {}
        self._states: dict[str, SourceState] = {}
        self._changes, self._read_at = -1, float("-inf")
        self._leads = False
        self._stopping = threading.Event()

    def tick(self, now: float) -> None:
        """Do what is due: renew the lease, take in what has arrived, and start new checks.

        Raises:
            StoreUnavailableError: the store does not answer; call again later.
        """
        if self._lead():
            self._follow(now)
        self._take_finished(now)
        if self._leads:
            self._start_due(now)

    def finish(self, now: float) -> None:
        """Wait for the checks that are running, and take in what they found."""
        while self._busy:
            self._take(self._finished.get(), now)

    def interrupt(self) -> None:
        """Make a `tick` that takes in a large document end soon; callable from any thread."""
        self._stopping.set()

    def stop(self) -> None:
        """Give the lease back; what is still being fetched is left to the next poller."""
        self._parse.close()
        if self._leads:
            self._leads = False
            self._store.release_lease(LEASE, self._owner)

    def _lead(self) -> bool:
        if not self._store.acquire_lease(LEASE, self._owner, LEASE_SECONDS):
            self._leads = False
            return False
        if not self._leads:
            self._add_configured()
            self._changes = -1
            self._leads = True
            log.info("poller_leads", owner=self._owner)
        return True

    def _follow(self, now: float) -> None:
        """Read the sources again if they were changed, and otherwise once a minute."""
        changes = self._directory.changes()
        if changes != self._changes or not 0 <= now - self._read_at < READ_SECONDS:
            self._sources = self._directory.all()
            self._states = self._directory.states()
            self._changes, self._read_at = changes, now
            found = Counter(status_of(one, self._state(k)) for k, one in self._sources.items())
            for status in SourceStatus:
                SOURCES.labels(status).set(found[status])

    def _add_configured(self) -> None:
        try:
            self._directory.add(self._configured)
        except InvalidInputError as error:
            log.warning("sources_not_added", reason=str(error))

    def _start_due(self, now: float) -> None:
        due = [
            (state.next_at, key)
            for key, source in self._sources.items()
            if is_due(source, state := self._state(key), now)
        ]
        for _, key in sorted(due):
            source, state = self._sources[key], self._state(key)
            host = host_of(state.feed_address or source.address)
            if len(self._busy) < MOST_AT_ONCE and host not in self._busy.values():
                self._busy[key] = host
                work = (source, state, now)
                threading.Thread(target=self._check, args=work, name="check", daemon=True).start()

    def _check(self, source: Source, state: SourceState, now: float) -> None:
        """Check one source, in a thread of its own, which must not end without an answer."""
        try:
            check = self._checker.check(source, state, now)
        except Exception as error:  # whatever a document does, the others go on
            log.warning("source_unreadable", source=source.source_id, exc_info=error)
            check = _unreadable(state, error)
        self._finished.put(_Finished(source, check))

    def _take_finished(self, now: float) -> None:
        for _ in range(self._finished.qsize()):
            self._take(self._finished.get(), now)

    def _take(self, finished: _Finished, now: float) -> None:
        source, check = finished.source, finished.check
        key = source.source_id
        del self._busy[key]
        if key not in self._sources or not self._leads:
            return
        try:
            statuses = self._write_articles(source, check, now)
        except (StoreUnavailableError, _StoppedError):
            raise
        except Exception as error:  # as in _check
            log.warning("source_not_taken", source=key, exc_info=error)
            check, statuses = _unreadable(self._state(key), error), []
        before = self._state(key)
        state = next_state(source, before, check, statuses, now, self._chance())
        self._store.write_source_state(key, state.to_json())
        self._states[key] = state
        _count(check, statuses)
        if check.outcome in {CheckOutcome.FAILED, CheckOutcome.GONE}:
            log.warning("source_failed", source=key, reason=state.message, failures=state.failures)

    def _write_articles(self, source: Source, check: SourceCheck, now: float) -> list[str]:
        submissions = check.documents.submissions if check.documents else []
        statuses: list[str] = []
        for batch in batches(submissions, BATCH):
            if self._stopping.is_set() or not self._lead():
                raise _StoppedError("another worker polls, or this one stops")
            statuses += self._articles.upsert(batch, now, source.origin, source.age_from)
        return statuses

    def _state(self, key: str) -> SourceState:
        return self._states.get(key, _NEVER_CHECKED)


def _unreadable(state: SourceState, error: Exception) -> SourceCheck:
    return SourceCheck(
        outcome=CheckOutcome.FAILED,
        message=f"can't be read: {type(error).__name__}",
        feed_address=state.feed_address,
    )


def _count(check: SourceCheck, statuses: Sequence[str]) -> None:
    CHECKS.labels(check.outcome).inc()
    for status, count in Counter(statuses).items():
        ARTICLES.labels(status).inc(count)
    if check.documents:
        LEFT_OUT.inc(len(check.documents.faults))
