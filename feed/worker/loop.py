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
from feed.catalogue.encoder_processes import EncoderProcesses, spare_processors
from feed.config import DAY_S, Settings
from feed.domain import ConflictError, FeedError
from feed.features.ids import IdMap
from feed.sources.late_poller import LatePoller
from feed.storage.redis_store import RedisStore
from feed.storage.spare_memory import give_memory_back
from feed.watching.watcher import Watcher
from feed.worker.archiving import ArchiveFeeder
from feed.worker.judging import TrendingJudge
from feed.worker.membership import LEASE_SECONDS, Membership
from feed.worker.publication import START
from feed.worker.signals import SignalsPublisher
from feed.worker.signals_follower import stream_order
from feed.worker.vital_signs import PULSE_SECONDS, VitalSigns
from feed.worker.worker_metrics import COUNTED, COUNTED_AT, WAITING_DROPPED

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.2
PATIENCE_MS = 5_000
"""How long the worker waits for the store: it reads in bulk, and no reader waits for it."""
POLL_SECONDS = 0.5
"""Time between two looks at which sources are due."""
ENCODING_THREADS = 2
"""They take turns: one encodes, while the other writes what it has encoded and reads on."""
WATCH_SECONDS = 2.0
"""Time between two looks at which experiments are due, and which alerts."""
FAILURE_SECONDS = 0.5
RENEWAL_SECONDS = DAY_S
"""After this long a worker begins a new run, which drops articles that nobody reads."""

SWEEP_SECONDS = 600.0
SWEEP_ARTICLES = 500
SETTLE_SECONDS = 30.0
"""Time between two looks at the events that wait for an article."""
MEMORY_SECONDS = 30.0
"""Time between two returns of freed memory: after a backfill that is 20 MB, which lie between what
is in use. It takes some milliseconds."""

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
    """One worker. Several may run, and share out the partitions of readers among them.

    Each counts and archives the records of its partitions. One of them leads: it judges what is
    trending, trims the streams, and does whatever else only one may do. A stream is trimmed only
    up to what is in the archive, in a stored checkpoint, *and* weighed for the trending test; so
    whatever a dead process left undone is read from the stream again. A worker that has lost its
    leases without noticing can do no harm: the store refuses what it publishes, and the archive
    commits that do not follow the last one of a partition. It begins again under a new name.

    Args:
        store: state; its bulk operations are used.
        settings: how often and how much to archive, and where.
        owner: name of this worker; made up if not given.
    """

    def __init__(self, store: RedisStore, settings: Settings, owner: str = "") -> None:
        self._store = store
        self._settings = settings
        self._owner = owner or f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._runs = 0
        self._archive_lock = threading.Lock()
        self._swept_at = self._settled_at = float("-inf")
        self._counted = 0
        self._vital_signs = VitalSigns(store, settings.data_dir)
        self._began_at: float | None = None
        self.judge: TrendingJudge | None = None
        self._trimmed: dict[int, str] = {}
        self._checkpoint_seen = float("-inf")
        self._begin()

    def tick(self, now: float) -> Progress:
        """Do everything that is due at a time: the leases, counting, archiving, trimming.

        Raises:
            StoreUnavailableError: the store does not answer; call again later.
        """
        counted = self.count(now)
        archived = self.archive(now)
        self.trim()
        self.sweep(now)
        self.settle(now)
        return Progress(counted, archived, self.leads)

    def count(self, now: float) -> int:
        """Count and publish what is new in our partitions; return the number of records."""
        try:
            if not self.join(now):
                return 0
            counted = self.publisher.tick(now)
            self._judge_trending(now)
        except ConflictError as error:
            log.warning("lease_lost", owner=self._membership.run, reason=str(error))
            self._begin()
            return 0
        self._counted += counted
        COUNTED.inc(counted)
        COUNTED_AT.set(now)
        return counted

    def join(self, now: float) -> bool:
        """Show that we are alive, and take or give back partitions; return whether we may work.

        Raises:
            ConflictError: this run is over.
            StoreUnavailableError: the store does not answer.
        """
        membership = self._membership
        if not membership.renew():
            return False
        if self._began_at is not None and now - self._began_at > RENEWAL_SECONDS:
            self.stop(now)
            self._begin()
            return self.join(now)
        orphans = membership.orphans() if membership.is_turn_to_adopt() else []
        if orphans or self._began_at is None:
            self._adopt(orphans, now)
        self.publisher.take(membership.take())
        self.publisher.give_back(membership.surplus(), now)
        self._follow_lead()
        return True

    def keep_alive(self) -> None:
        """Keep the leases while a step takes long; a thread of its own calls this."""
        self._membership.keep_alive()

    def archive(self, now: float) -> int:
        """Archive what is waiting, if it is due; return the number of records and changes."""
        with self._archive_lock:
            membership = self._membership
            if self._began_at is None:
                return 0
            return self.feeder.tick(
                now, membership.partitions, membership.table.live, leads=self.leads
            )

    def trim(self) -> None:
        """Drop from the streams what is archived, checkpointed and weighed, if we lead."""
        judge = self.judge
        if judge is None:
            return
        due = {}
        for partition, archived in self.feeder.archived.items():
            checkpoints = (self._membership.table.counted, self.publisher.checkpointed)
            counted = max((c.get(partition, START) for c in checkpoints), key=stream_order)
            weighed = judge.weighed.get(partition, START)
            safe = min(archived, counted, weighed, key=stream_order)
            if safe != START and safe != self._trimmed.get(partition):
                due[partition] = safe
        trimmed = self._store.trim_streams(due, self._membership.lead)
        self._trimmed |= {p: due[p] for p in trimmed}

    @property
    def leads(self) -> bool:
        """Whether this worker leads: it does what only one may do."""
        return self.judge is not None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that this worker counts and archives."""
        return self._membership.partitions

    def stop(self, now: float) -> None:
        """Publish a last checkpoint, give the partitions back, and leave."""
        if self._began_at is None:
            return
        try:
            self.publisher.stop(now)
            if self.judge is not None:
                self.judge.checkpoint(now)
                self.trim()
        except ConflictError:
            return  # it is over already
        self._membership.leave()
        self._began_at = None

    def sweep(self, now: float) -> None:
        """Occasionally remove old articles that nobody reads any more from the catalogue."""
        days = self._settings.article_days
        judge = self.judge
        if judge is None or not days or 0 <= now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        old = self._store.old_articles(now - days * DAY_S, SWEEP_ARTICLES)
        read = judge.still_read(self.publisher.signals, old, now)
        self._store.keep_articles(sorted(read), now)
        removed = self._store.delete_articles([a for a in old if a not in read])
        if removed:
            log.info("articles_swept", removed=removed)

    def settle(self, now: float) -> None:
        """Now and then, append or drop the events that wait for an article."""
        if not self.leads or 0 <= now - self._settled_at < SETTLE_SECONDS:
            return
        self._settled_at = now
        taken, dropped = self._store.settle_waiting(now)
        if taken or dropped:
            log.info("waiting_events_settled", taken=taken, dropped=dropped)
            WAITING_DROPPED.inc(dropped)

    def add_pulse(self, now: float) -> None:
        """Add what this worker knows to the pulse, and if it leads, what there is to know of all.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        if self._began_at is None:
            return
        judge, own = self.judge, self.publisher.positions
        self._vital_signs.measure(
            now,
            counted=self._counted,
            archive_fails=self.feeder.failing,
            positions=judge.positions(own) if judge else None,
            archived=dict(self.feeder.archived),
        )

    def _adopt(self, orphans: list[str], now: float) -> None:
        """Begin, or take over what dead runs had counted.

        Where that fails half-way, this run holds what may or may not be in the store, and ends.
        """
        try:
            self.publisher.adopt(orphans, now)
        except ConflictError:
            raise
        except FeedError as error:
            raise ConflictError(f"cannot tell whether a checkpoint was adopted: {error}") from error
        if self._began_at is None:
            self._began_at = now
        if orphans:
            self._membership.renew()

    def _follow_lead(self) -> None:
        membership = self._membership
        if membership.lead and self.judge is None:
            if "" in membership.table.shares:
                return  # an earlier version's checkpoint holds what has been weighed
            ranking = self._settings.ranking
            judge = TrendingJudge(self._store, membership, self._ids, ranking)
            self.judge = self.publisher.judge = judge

    def _judge_trending(self, now: float) -> None:
        judge = self.judge
        if judge is None:
            return
        judge.judge(now, self.publisher.signals, self.publisher.positions)
        if self._checkpoint_seen != self.publisher.checkpointed_at:
            judge.checkpoint(now)
            self._checkpoint_seen = self.publisher.checkpointed_at

    def _begin(self) -> None:
        """Begin a new run, with nothing in memory."""
        with self._archive_lock:
            self._runs += 1
            run = self._owner if self._runs == 1 else f"{self._owner}.{self._runs}"
            self._ids = IdMap()
            self._membership = Membership(self._store, run)
            memory_s = self._settings.article_days * DAY_S
            self.publisher = SignalsPublisher(self._store, self._membership, self._ids, memory_s)
            self.feeder = ArchiveFeeder(self._store, self._settings, run)
            self._began_at = self.judge = None
            self._trimmed = {}
            self._checkpoint_seen = float("-inf")


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
    spare = spare_processors()
    processes = EncoderProcesses(spare)
    articles = ArticleService(store, lambda: open_encoder(settings, processes), lambda: None)
    poller = LatePoller(store, articles, settings)
    watcher = Watcher(store, settings, clock=clock)
    gc.set_threshold(*COLLECT_AFTER)

    def encode() -> None:
        while worker.leads and not stop.is_set() and articles.encode_waiting(1 + spare):
            pass
        processes.rest()

    def watch() -> None:
        if worker.leads:  # a stand-by on another machine may not have the archive
            watcher.tick()

    def count() -> None:
        worker.count(clock())
        worker.trim()
        worker.sweep(clock())
        worker.settle(clock())

    others = [
        _Thread("lease", worker.keep_alive, LEASE_SECONDS / 8, stop),
        _Thread("archiver", lambda: worker.archive(clock()), TICK_SECONDS, stop),
        _Thread("poller", lambda: poller.tick(clock()), POLL_SECONDS, stop),
        *(_Thread(f"encoder-{n}", encode, POLL_SECONDS, stop) for n in range(ENCODING_THREADS)),
        _Thread("memory", give_memory_back, MEMORY_SECONDS, stop),
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
        processes.close()
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
