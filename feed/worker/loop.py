"""The worker process: counts and archives the records of the streams, and polls sources."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from feed.catalogue.article_service import ArticleService
from feed.catalogue.encoder_choice import open_encoder
from feed.config import DAY_S, Settings
from feed.domain import ConflictError, FeedError
from feed.sources.poller import SourcePoller
from feed.storage.redis_store import RedisStore
from feed.watching.watcher import Watcher
from feed.worker.archiving import ArchiveFeeder
from feed.worker.signals import SignalsPublisher
from feed.worker.vital_signs import PULSE_SECONDS, VitalSigns
from feed.worker.worker_metrics import COUNTED, COUNTED_AT, WAITING_DROPPED

log = structlog.get_logger(__name__)

LEASE = "worker"
LEASE_SECONDS = 10.0
TICK_SECONDS = 0.2
PATIENCE_MS = 5_000
"""How long the worker waits for the store: it reads in bulk, and no reader waits for it."""
POLL_SECONDS = 0.5
"""Time between two looks at which sources are due."""
WATCH_SECONDS = 2.0
"""Time between two looks at which experiments are due, and which alerts."""
FAILURE_SECONDS = 0.5
RENEWAL_SECONDS = DAY_S
"""After this long a worker reloads its checkpoint, which drops articles that nobody reads."""

SWEEP_SECONDS = 600.0
SWEEP_ARTICLES = 500
SETTLE_SECONDS = 30.0
"""Time between two looks at the events that wait for an article."""


COLLECT_AFTER = (200_000, 20, 50)
"""Garbage collector's thresholds: a batch makes a hundred thousand objects and no cycle;
with the default thresholds, collections took 40 % of the worker's time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The work of one tick: records counted, records and changes archived, and whether we lead."""

    counted: int = 0
    archived: int = 0
    leads: bool = True


class Worker:
    """One worker run. Several may run: one holds the lease and works, the others stand by.

    A stream is trimmed only up to what is in the archive *and* in a stored checkpoint, so
    whatever a dead process left undone is read from the stream again. A worker that has lost its
    lease without noticing can do no harm: the store refuses its checkpoint, and the archive its
    next commit.

    Args:
        store: state; its bulk operations are used.
        settings: how often and how much to archive, and where.
        owner: name of this run; made up if not given.
    """

    def __init__(self, store: RedisStore, settings: Settings, owner: str = "") -> None:
        self._store = store
        self._settings = settings
        self._owner = owner or f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._archive_lock = threading.Lock()
        self._leads = False
        self._led_since = 0.0
        self._swept_at = self._settled_at = float("-inf")
        self._trimmed: dict[int, str] = {}
        self._counted = 0
        self._vital_signs = VitalSigns(store, settings.data_dir)
        self._make_parts()

    def tick(self, now: float) -> Progress:
        """Do everything that is due at a time: the lease, counting, archiving, trimming.

        Raises:
            StoreUnavailableError: the store does not answer; call again later.
        """
        counted = self.count(now)
        if not self._leads:
            return Progress(leads=False)
        archived = self.archive(now)
        self.trim()
        self.sweep(now)
        self.settle(now)
        return Progress(counted, archived)

    def lead(self, now: float) -> bool:
        """Take or renew the lease; after taking it, start from the last worker's state."""
        if not self._store.acquire_lease(LEASE, self._owner, LEASE_SECONDS):
            if self._leads:
                log.warning("lease_lost")
            self._leads = False
            return False
        if self._leads and now - self._led_since > RENEWAL_SECONDS:
            self.publisher.stop(now)
            self._leads = False
        if not self._leads:
            with self._archive_lock:
                self._make_parts()
            self.publisher.start(now)
            self._leads, self._led_since = True, now
            log.info("worker_leads", owner=self._owner)
        return True

    def count(self, now: float) -> int:
        """Count and publish what is new, if we lead; return the number of records."""
        try:
            if not self.lead(now):
                return 0
            counted = self.publisher.tick(now)
        except ConflictError:
            self._leads = False  # between the lease and the delta another worker took over
            return 0
        self._counted += counted
        COUNTED.inc(counted)
        COUNTED_AT.set(now)
        return counted

    def archive(self, now: float) -> int:
        """Archive what is waiting, if it is due; return the number of records and changes."""
        if not self._leads:
            return 0
        with self._archive_lock:
            try:
                return self.feeder.tick(now)
            except ConflictError as error:
                log.warning("archive_taken_over", error=str(error))
                self._leads = False
                return 0

    def trim(self) -> None:
        """Drop from the streams what is both archived and checkpointed."""
        counted, archived = self.publisher.checkpointed, self.feeder.archived
        due = {}
        for partition, position in archived.items():
            safe = min(position, counted.get(partition, "0-0"), key=_order)
            if safe != "0-0" and safe != self._trimmed.get(partition):
                due[partition] = safe
        self._trimmed |= {p: due[p] for p in self._store.trim_streams(due)}

    @property
    def leads(self) -> bool:
        """Whether this run holds the lease."""
        return self._leads

    def stop(self, now: float) -> None:
        """Publish a last checkpoint and give the lease back."""
        if self._leads:
            self.publisher.stop(now)
            self.trim()
            self._store.release_lease(LEASE, self._owner)
            self._leads = False

    def sweep(self, now: float) -> None:
        """Occasionally remove old articles that nobody reads any more from the catalogue."""
        days = self._settings.article_days
        if not self._leads or not days or 0 <= now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        old = self._store.old_articles(now - days * DAY_S, SWEEP_ARTICLES)
        read = self.publisher.still_read(old, now)
        self._store.keep_articles(sorted(read), now)
        removed = self._store.delete_articles([a for a in old if a not in read])
        if removed:
            log.info("articles_swept", removed=removed)

    def settle(self, now: float) -> None:
        """Now and then, append or drop the events that wait for an article."""
        if not self._leads or 0 <= now - self._settled_at < SETTLE_SECONDS:
            return
        self._settled_at = now
        taken, dropped = self._store.settle_waiting(now)
        if taken or dropped:
            log.info("waiting_events_settled", taken=taken, dropped=dropped)
            WAITING_DROPPED.inc(dropped)

    def add_pulse(self, now: float) -> None:
        """Add what this run knows to the pulse, if we lead.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        if self._leads:
            self._vital_signs.measure(
                now,
                counted=self._counted,
                positions=self.publisher.positions,
                archived=dict(self.feeder.archived),
                archive_fails=self.feeder.failing,
            )

    def _make_parts(self) -> None:
        settings = self._settings
        memory_s, ranking = settings.article_days * DAY_S, settings.ranking
        self.publisher = SignalsPublisher(self._store, self._owner, LEASE, memory_s, ranking)
        self.feeder = ArchiveFeeder(self._store, self._settings, self._owner)


def run_worker(
    settings: Settings, stop: threading.Event, clock: Callable[[], float] = time.time
) -> None:
    """Work until `stop` is set. Each task runs in a thread of its own.

    The store may be unavailable at any time, even at the start; the worker waits and continues.

    Raises:
        InvalidInputError: the settings of sources or of alerts can't be read.
        FeedError: a thread ended because of a defect in this code; start the worker
            again.
    """
    patient = replace(settings, store_timeout_ms=max(settings.store_timeout_ms, PATIENCE_MS))
    store = RedisStore(patient)
    worker = Worker(store, settings)
    articles = ArticleService(store, lambda: open_encoder(settings), lambda: None)
    poller = SourcePoller(store, articles, settings)
    watcher = Watcher(store, settings, clock=clock)
    gc.set_threshold(*COLLECT_AFTER)

    def encode() -> None:
        while worker.leads and not stop.is_set() and articles.encode_waiting():
            pass

    def watch() -> None:
        if worker.leads:  # a stand-by on another machine may not have the archive
            watcher.tick()

    def count() -> None:
        worker.count(clock())
        worker.trim()
        worker.sweep(clock())
        worker.settle(clock())

    others = [
        _Thread("archiver", lambda: worker.archive(clock()), TICK_SECONDS, stop),
        _Thread("poller", lambda: poller.tick(clock()), POLL_SECONDS, stop),
        _Thread("encoder", encode, POLL_SECONDS, stop),
        _Thread("pulse", lambda: worker.add_pulse(clock()), PULSE_SECONDS, stop),
    ]
    if settings.watch_minutes > 0:
        others.append(_Thread("watcher", watch, WATCH_SECONDS, stop))
    for thread in others:
        thread.start()
    try:
        _repeat(count, TICK_SECONDS, stop)
    finally:
        stop.set()
        poller.interrupt()
        watcher.interrupt()
        for thread in others:
            thread.join()
        _quietly(lambda: worker.stop(clock()))
        _quietly(poller.stop)
        store.close()
    for thread in others:
        if not thread.was_stopped:
            raise FeedError(f"the {thread.name} ended by itself")


class _Thread(threading.Thread):
    """Repeats a step until `stop` is set; if it ends by itself, everything stops."""

    def __init__(
        self, name: str, step: Callable[[], object], pause_s: float, stop: threading.Event
    ) -> None:
        super().__init__(name=name)
        self._step, self._pause_s, self._stopping = step, pause_s, stop
        self.was_stopped = False

    def run(self) -> None:
        try:
            _repeat(self._step, self._pause_s, self._stopping)
            self.was_stopped = True
        finally:
            self._stopping.set()


def _repeat(step: Callable[[], object], tick_s: float, stop: threading.Event) -> None:
    failing = False
    while not stop.is_set():
        begun = time.monotonic()
        error = _quietly(step)
        if error is not None and not failing:
            log.error("worker_step_failed", error=str(error), kind=type(error).__name__)
        failing = error is not None
        pause_s = FAILURE_SECONDS if failing else tick_s - (time.monotonic() - begun)
        stop.wait(max(0.0, pause_s))


def _quietly(step: Callable[[], object]) -> FeedError | None:
    try:
        step()
    except FeedError as error:
        return error
    return None


def _order(stream_id: str) -> tuple[int, int]:
    milliseconds, sequence = stream_id.split("-")
    return int(milliseconds), int(sequence)
