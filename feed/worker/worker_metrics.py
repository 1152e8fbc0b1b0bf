"""The Prometheus metrics of the worker; the web processes show them on `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

COUNTED = Counter("feed_worker_records_counted", "Stream records that became counters")
ARCHIVED = Counter("feed_worker_records_archived", "Stream records and changes archived")
ARCHIVE_FAILURES = Counter("feed_archive_failures", "Attempts to write the archive that failed")
WAITING_DROPPED = Counter(
    "feed_events_waiting_dropped", "Events dropped because their article never came"
)
WAITING = Gauge(
    "feed_stream_records",
    "Records in the streams: not yet archived, or not yet in a checkpoint",
    multiprocess_mode="mostrecent",
)
COUNTED_AT = Gauge(
    "feed_worker_timestamp_seconds",
    "When a worker last looked at the streams, epoch seconds",
    multiprocess_mode="max",
)
