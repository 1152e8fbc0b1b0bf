"""What is wrong with the machinery: store, worker, archive and encoder."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from feed.service.health_alerts import (
    AlertLevel,
    AlertLimit,
    HealthAlert,
    duration_text,
    share_text,
)
from feed.service.present_state import Present
from feed.storage.key_names import WAITING_MAX

GRACE_S = 40.0
"""A service that has just started has no worker yet, and that is no fault."""
STORE_SHARE, STORE_FULL_SHARE = AlertLimit(0.85, 0.80), 0.95
DISK_SHARE, DISK_FULL_SHARE = AlertLimit(0.90, 0.88), 0.97
STREAM_SHARE = AlertLimit(0.50, 0.40)
COUNTING_LAG_S = AlertLimit(30.0, 10.0)
ARCHIVE_LAG_S = AlertLimit(120.0, 60.0)
WAITING_SHARE = AlertLimit(0.5, 0.4)
BACKLOG = 50

_MORE_MEMORY = (
    "Raise `FEED_STORE_MEMORY_MB` for the store that feed runs, or `maxmemory` of your own; or "
    "keep readers for a shorter time (`FEED_READER_TTL_DAYS`)."
)


def check_store(present: Present, before: Collection[str]) -> Iterator[HealthAlert]:
    """Look at the store: does it answer, take writes, and have memory?"""
    if not present.store_answers:
        yield HealthAlert(
            "store_away",
            AlertLevel.FAULT,
            "The store does not answer",
            "Readers get feeds that the web processes make from memory. Events are answered with "
            "503, and clients send them again later. Nothing that was acknowledged is lost.",
            "Look at the store's process and at its log (`store/server.log` in the data directory "
            "if feed runs it). `feed serve` starts its own store again; your own Redis or Valkey "
            "must answer at `FEED_REDIS_URL`.",
        )
        return
    used, limit = present.recent.latest("store_bytes"), present.recent.latest("store_limit_bytes")
    share = used / limit if used is not None and limit else None
    if present.store_refuses:
        yield HealthAlert(
            "store_refuses",
            AlertLevel.FAULT,
            "The store refuses writes",
            "Events are answered with 503, and clients send them again later. Feeds are served, "
            "but not recorded.",
            f"{_MORE_MEMORY} If memory is not full, look in the store's log: its disk may be full, "
            "or it may be a replica.",
        )
    elif STORE_SHARE.passed(share, "store_full", before) and share is not None:
        yield HealthAlert(
            "store_full",
            AlertLevel.FAULT if share >= STORE_FULL_SHARE else AlertLevel.WARNING,
            f"The store's memory is {share_text(share)} full",
            "When it is full, the store refuses writes, and events are answered with 503.",
            _MORE_MEMORY,
        )


def check_worker(present: Present, before: Collection[str]) -> Iterator[HealthAlert]:
    """Look at the workers: does one lead, has every partition one, and do they keep up?"""
    recent = present.recent
    if not present.store_answers:
        return
    leads = present.leader is not None or recent.window(3).latest("stream_records") is not None
    if not leads and _running_s(present) > GRACE_S:
        yield HealthAlert(
            "no_worker",
            AlertLevel.FAULT,
            "No worker is running",
            "Events are kept, but not counted: what is trending is not updated, and nothing "
            "reaches the archive.",
            "Start `feed worker`. `feed serve` without `FEED_REDIS_URL` runs its own; its log says "
            "why it ended.",
        )
    elif present.leader is not None and present.unowned:
        names = ", ".join(map(str, present.unowned))
        yield HealthAlert(
            "partition_without_worker",
            AlertLevel.FAULT,
            f"Partition {names} has no worker"
            if len(present.unowned) == 1
            else f"Partitions {names} have no worker",
            "The events of some readers are kept, but not counted and not archived; those of all "
            "others are.",
            "The workers that run should take them within 15 seconds. Look in their logs for "
            "`lease_lost` and `worker_step_failed`; start the workers again if they do not. "
            "`FEED_PARTITIONS` must be the same for all of them.",
        )
    lag = recent.window(3).latest("counting_lag_s")
    if COUNTING_LAG_S.passed(lag, "counting_lag", before):
        yield HealthAlert(
            "counting_lag",
            AlertLevel.WARNING,
            f"Counting is {duration_text(lag)} behind",
            "Clicks change what a reader sees at once, but what is trending is late.",
            "If it falls, wait. If it grows, the worker gets too little processor time or the "
            "store is slow: look at the worker's log and at the load of its machine.",
        )
    waiting = recent.latest("waiting_events")
    if waiting and WAITING_SHARE.passed(waiting / WAITING_MAX, "waiting_events", before):
        yield HealthAlert(
            "waiting_events",
            AlertLevel.WARNING,
            f"{waiting:,.0f} events wait for an article that is not there",
            f"Events about unknown articles wait for six hours, {WAITING_MAX:,} at most; then they "
            "are dropped.",
            "Compare the article ids that the site sends with events to those it sends with "
            "articles; or start what sends the articles.",
        )


def check_archive(present: Present, before: Collection[str]) -> Iterator[HealthAlert]:
    """Look at the archive and its disk."""
    recent = present.recent.window(3)
    lag, disk = recent.latest("archive_lag_s"), recent.latest("disk_used_share")
    if recent.latest("archive_fails"):
        yield HealthAlert(
            "archive_fails",
            AlertLevel.FAULT,
            "The archive cannot be written",
            "No event is lost: the store keeps them until the archive works again, up to "
            "`FEED_STREAM_MAX_EVENTS` records. Nothing new can be learned meanwhile.",
            "Look at the worker's log (`archive_failed`) and at the disk of its data directory"
            + (f", which is {share_text(disk)} full." if disk is not None else "."),
        )
    elif ARCHIVE_LAG_S.passed(lag, "archive_lag", before):
        yield HealthAlert(
            "archive_lag",
            AlertLevel.WARNING,
            f"The archive is {duration_text(lag)} behind",
            "No event is lost: the store keeps them until they are archived.",
            "If it falls, wait. If it grows, look at the worker's log and at the speed of its "
            "disk.",
        )
    if DISK_SHARE.passed(disk, "disk_full", before) and disk is not None:
        yield HealthAlert(
            "disk_full",
            AlertLevel.FAULT if disk >= DISK_FULL_SHARE else AlertLevel.WARNING,
            f"The disk of the data directory is {share_text(disk)} full",
            "When it is full, the archive and new models cannot be written.",
            "Free some space, or keep events for a shorter time (`FEED_RETENTION_DAYS`).",
        )
    records = recent.latest("stream_records")
    share = records / present.stream_max if records and present.stream_max else None
    if STREAM_SHARE.passed(share, "streams_full", before):
        yield HealthAlert(
            "streams_full",
            AlertLevel.FAULT,
            f"{records:,.0f} records wait in the store to be archived",
            f"At {present.stream_max:,} records new events are answered with 503.",
            "Find out why the archive is behind. A larger `FEED_STREAM_MAX_EVENTS` gives you time, "
            "at the cost of memory.",
        )


def check_encoder(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    """Look at the articles that wait for their vector."""
    gauge = present.recent.gauge("unencoded_articles")
    known = gauge[~np.isnan(gauge)]
    if len(known) >= 12 and known.min() >= BACKLOG and known[-1] >= known[0]:
        yield HealthAlert(
            "encoder_backlog",
            AlertLevel.WARNING,
            f"{known[-1]:,.0f} articles wait for their vector, and their number does not fall",
            "They are shown, but nobody gets them because of what they are about.",
            "Look at the worker's log: the encoder may be missing or too slow for what comes in. "
            "`feed encode` encodes them by hand.",
        )


def check_encoding_anew(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    """Look at the run of `feed encode` after a change of encoder."""
    run = present.encoding
    if run is not None and present.encoding_stalled:
        yield HealthAlert(
            "encoding_stalled",
            AlertLevel.WARNING,
            f"Encoding all articles anew stopped at {run.done:,} of {run.total:,} articles",
            f"`feed encode` has given no sign of life for {duration_text(present.at - run.at)}. "
            "The vectors of the earlier encoder serve, and nothing is lost.",
            "Run `feed encode` again: it goes on where it stopped.",
        )


def _running_s(present: Present) -> float:
    """Return for how long any web process has been seen, up to five minutes."""
    gauge = present.recent.gauge("snapshot_age_s")
    seen = np.flatnonzero(~np.isnan(gauge))
    return present.at - float(present.recent.starts[seen[0]]) if len(seen) else 0.0
