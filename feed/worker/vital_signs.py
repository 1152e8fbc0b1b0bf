"""The workers' part of the pulse: how far behind they are, and how full things are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import structlog

from feed.storage.pulse_series import COUNTED
from feed.storage.pulse_writer import PulseWriter
from feed.storage.redis_store import RedisStore

log = structlog.get_logger("feed.vital_signs")

PULSE_SECONDS = 5.0
"""Time between two measurements."""


class VitalSigns:
    """Measures what a worker knows, and if it leads, the whole; adds that to the pulse.

    Args:
        store: streams, catalogue and memory are asked, and the pulse is written to it.
        data_dir: whose disk is watched.
    """

    def __init__(self, store: RedisStore, data_dir: Path) -> None:
        self._store = store
        self._data_dir = data_dir
        self._writer = PulseWriter(store)
        self._counted = 0
        self._is_policy_known = False

    def measure(
        self,
        now: float,
        *,
        counted: int,
        archive_fails: bool,
        positions: Mapping[int, str] | None,
        archived: Mapping[int, str],
    ) -> None:
        """Measure, and write to the pulse what is known; later, if the store is away now.

        Args:
            now: epoch seconds.
            counted: records that this process has counted since it started.
            archive_fails: whether the last attempt to write the archive failed.
            positions: the last counted record of each partition; None if another worker leads.
            archived: the last archived record of each partition.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        fresh, self._counted = counted - self._counted, counted
        counts = {COUNTED: fresh} if fresh > 0 else {}
        self._writer.add(now, counts, {"archive_fails": float(archive_fails)} | self._disk())
        if positions is not None:
            self._measure_all(now, positions, archived)
        self._writer.flush()

    def _measure_all(
        self, now: float, positions: Mapping[int, str], archived: Mapping[int, str]
    ) -> None:
        store = self._store
        if not self._is_policy_known:
            self._warn_of_eviction()
        gauges = {
            "stream_records": float(sum(store.stream_lengths())),
            "counting_lag_s": self._lag(positions, now),
            "archive_lag_s": self._lag(archived, now),
            "waiting_events": float(store.count_waiting()),
            "unencoded_articles": float(store.count_unencoded()),
            "store_bytes": store.server_info("memory", "used_memory"),
            "store_limit_bytes": self._memory_limit(),
        }
        self._writer.add(now, {}, gauges)

    def _warn_of_eviction(self) -> None:
        """Say in the log if a full store would forget readers instead of refusing events."""
        others = self._store.eviction_policies() - {"noeviction"}
        if others:
            log.warning("store_may_forget", maxmemory_policy=sorted(others), wanted="noeviction")
        self._is_policy_known = True

    def _lag(self, positions: Mapping[int, str], now: float) -> float:
        """Return the age of the oldest record after some positions, seconds; 0 if there is none."""
        after = {p: positions.get(p, "0-0") for p in range(self._store.partitions)}
        first = [found[0] for found in self._store.read_streams(after, 1).values() if found]
        oldest_ms = min((int(record.stream_id.split("-")[0]) for record in first), default=None)
        return 0.0 if oldest_ms is None else max(0.0, now - oldest_ms / 1000)

    def _memory_limit(self) -> float:
        """Return the bytes that the store may use; where it has no limit, those of its machine."""
        limit = self._store.server_info("memory", "maxmemory")
        return limit or self._store.server_info("memory", "total_system_memory")

    def _disk(self) -> dict[str, float]:
        try:
            disk = shutil.disk_usage(self._data_dir)
        except OSError:
            return {}
        return {"disk_used_share": disk.used / disk.total}
