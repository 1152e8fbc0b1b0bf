"""Full disks, damaged archive files and a clock that jumps."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from feed.config import Settings
from feed.domain import BundleError
from feed.models.registry import ModelRegistry
from feed.storage.archive import Archive
from feed.storage.archive_files import table_files
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from lab.faults.bundles import LOUD, QUIET, tellable_bundle
from lab.faults.crashes import ENVIRONMENT, begin, finish
from lab.faults.installation import Installation
from lab.faults.load import event_batches, statuses
from lab.faults.outcome import Outcome
from lab.faults.proof import archived_ids, reckon

TMPFS_MB = 64
FILE_LIMIT_BYTES = 512


def disk_full(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Fill the whole disk of an installation (store, archive, models), then free it."""
    outcome = Outcome("disk", f"disk of the installation full for {seconds:.0f} s", times=1)
    data_dir.mkdir(parents=True)
    if not mount_small_disk(data_dir):
        outcome.skipped = "this user may not mount a small disk"
        return outcome
    try:
        with Installation(data_dir, environment=ENVIRONMENT) as installation:
            load, probe = begin(installation, events, rate, seed)
            time.sleep(1.0)
            ballast = data_dir / "ballast"
            fill(ballast)
            begun = time.monotonic()
            time.sleep(seconds)
            feeds = [a for a in list(probe.answers) if a.at - a.seconds > begun]
            batches = [a for a in list(load.answers) if a.at - a.seconds > begun]
            ballast.unlink()
            fine = all(a.status == 200 and a.detail != "empty" for a in feeds)
            outcome.expect(bool(feeds) and fine, f"feeds meanwhile: {statuses(feeds)}")
            refused = all(a.status in {202, 503} for a in batches)
            outcome.expect(refused, f"events meanwhile: {statuses(batches)}")
            outcome.remarks.append(
                f"meanwhile feeds {statuses(feeds)}, event batches {statuses(batches)}"
            )
            finish(installation, load, probe, outcome)
    finally:
        subprocess.run(["umount", str(data_dir)], check=False)
    return outcome


def no_room_for_archive(data_dir: Path, events: int) -> Outcome:
    """Let every file of the archive fail half written; then let them succeed."""
    outcome = Outcome("archive", "archive files cannot be finished (file size limit)", times=1)
    with worker_at_hand(data_dir) as (settings, store, worker):
        sent = _append(store, events, "first")
        now = time.time()
        with small_files():
            worker.tick(now)
            outcome.expect(worker.feeder.failing, "the failure went unnoticed")
        outcome.expect(sum(store.stream_lengths()) == events, "events left the stream")
        sent |= _append(store, events, "then")
        _work_off(worker, now + 60)
        outcome.take(reckon(store, Archive(settings.data_dir / "archive"), sent, set()))
    return outcome


def no_room_for_model(data_dir: Path) -> Outcome:
    """Let a model's files fail half written while another one is live."""
    outcome = Outcome("publish", "a model cannot be written (file size limit)", times=1)
    registry = ModelRegistry(data_dir / "models")
    ids = [f"article-{n}" for n in range(500)]
    registry.set_live(registry.publish(tellable_bundle("whole", ids, LOUD)))
    other = tellable_bundle("other", ids, QUIET)
    refused = False
    with small_files():
        try:
            registry.publish(other)
        except BundleError as error:
            refused = True
            outcome.remarks.append(f"refused: {error}")
    outcome.expect(refused, "half a model was published")
    live = registry.load_live()
    outcome.expect(live is not None and live.version == "whole", "the live model changed")
    outcome.expect(len(registry.list()) == 1, "half a model can be seen")
    registry.set_live(registry.publish(other))
    outcome.expect(registry.live_version() == "other", "it cannot be published afterwards")
    return outcome


def archive_truncated(data_dir: Path, events: int) -> Outcome:
    """Cut an archive file short: before and after the stream has let go of its records."""
    outcome = Outcome("truncated", "an archive file cut short, stream still there, then gone")
    with worker_at_hand(data_dir) as (settings, store, first):
        worker = first
        archive = Archive(settings.data_dir / "archive")
        now = time.time()
        sent = _append(store, events, "first")
        worker.tick(now)  # counted and archived, but not checkpointed: nothing is trimmed
        for again, name in ((True, "first"), (False, "second")):
            outcome.times += 1
            if not again:
                worker.stop(now)  # a checkpoint, and the streams are trimmed
            path = table_files(settings.data_dir / "archive", "events")[-1]
            path.write_bytes(path.read_bytes()[:-100])
            store.leave_workers("chaos")
            worker = Worker(store, settings, f"chaos-{name}")
            sent |= _append(store, events, name + "-after")
            now += 40
            _work_off(worker, now)
            gone = len(sent - archived_ids(archive).keys())
            if again:
                outcome.take(reckon(store, archive, sent, set()))
            else:
                outcome.expect(gone <= events, f"{gone} events gone with one file")
                outcome.remarks.append(f"stream trimmed before: {gone} events gone with the file,"
                                       " set aside and logged, the rest readable")  # fmt: skip
        damaged = list((settings.data_dir / "archive" / "damaged").rglob("*.parquet"))
        outcome.expect(len(damaged) == 2, f"{len(damaged)} damaged files set aside instead of 2")
    return outcome


def clock_back(data_dir: Path, events: int) -> Outcome:
    """Set the clock of worker and web process back an hour between events."""
    outcome = Outcome("clock", "clock set back an hour, and forward again", times=2)
    with worker_at_hand(data_dir) as (settings, store, worker):
        sent: set[str] = set()
        now = time.time()
        for number, shift_s in enumerate((0.0, -3600.0, 0.0)):
            sent |= _append(store, events, f"part{number}-", now + shift_s)
            again = _append(store, events, f"part{number}-", now + shift_s)
            sent |= again
            _work_off(worker, now + shift_s)
        _work_off(worker, now + 10)
        outcome.take(reckon(store, Archive(settings.data_dir / "archive"), sent, set()))
        worker.stop(now + 20)
        outcome.expect(sum(store.stream_lengths()) == 0, "the streams were not trimmed")
    return outcome


@contextmanager
def worker_at_hand(data_dir: Path) -> Iterator[tuple[Settings, RedisStore, Worker]]:
    """Give a store of its own and a worker that is driven by hand, with any clock."""
    with EmbeddedStore(data_dir) as server:
        settings = replace(
            Settings(), data_dir=data_dir, redis_url=server.url, store_timeout_ms=10_000
        )
        with closing(RedisStore(settings)) as store:
            yield settings, store, Worker(store, settings, "chaos")


@contextmanager
def small_files() -> Iterator[None]:
    """Let every write beyond `FILE_LIMIT_BYTES` of a file fail, in this process alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mount_small_disk(path: Path) -> bool:
    """Mount a small memory disk on a directory; return whether that is allowed."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        return False
    command = [mount, "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _append(store: RedisStore, count: int, name: str, now: float = 0.0) -> set[str]:
    batches = event_batches(count, 100, [f"article-{n}" for n in range(20)], 100, 7, name)
    sent = set()
    for batch in batches:
        events = [replace(e, received_at=now) if now else e for e in batch]
        store.append_events(events)
        sent |= {event.event_id for event in events}
    return sent


def _work_off(worker: Worker, now: float) -> None:
    while True:
        progress = worker.tick(now)
        if not progress.counted and not progress.archived:
            return
