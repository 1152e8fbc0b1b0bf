"""The present state of the installation as Prometheus metrics: the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from feed.service.health_alerts import AlertLevel
from feed.service.present_state import Present
from feed.service.status_report import StatusReport, status_numbers

STATUS_GAUGES = (
    ("feed_store_up", "Whether the store answers"),
    ("feed_worker_leads", "Whether a worker leads, so that events are counted"),
    ("feed_counting_lag_seconds", "Age of the oldest record that is not counted, seconds"),
    ("feed_archive_lag_seconds", "Age of the oldest record that is not archived, seconds"),
    ("feed_store_bytes", "Memory that the store uses, bytes"),
    ("feed_store_limit_bytes", "Memory that the store may use, bytes"),
    ("feed_disk_used_ratio", "Used share of the disk of the worker's data directory, 0 to 1"),
    ("feed_unencoded_articles", "Articles that wait for their vector"),
    ("feed_events_waiting", "Events that wait for an article that is not there"),
    ("feed_model_timestamp_seconds", "When the live model was trained, epoch seconds"),
    ("feed_encoding_articles", "Articles of the last run of feed encode, by encoder"),
    (
        "feed_encoding_articles_done",
        "Articles that the last run of feed encode has done, by encoder",
    ),
    (
        "feed_encoding_start_timestamp_seconds",
        "When the last run of feed encode began, epoch seconds, by encoder",
    ),
    ("feed_encoding_stalled", "Whether the last run of feed encode was interrupted, by encoder"),
    ("feed_alerts", "Alerts of the desk, by level"),
)
"""Names and meanings; what is not known is left out."""
_ALERTS = STATUS_GAUGES[-1][0]


def render_status_metrics(report: StatusReport) -> bytes:
    """Return the present state in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(report))
    return generate_latest(registry)


class _StatusCollector(Collector):
    """Gives the gauges of one report."""

    def __init__(self, report: StatusReport) -> None:
        self._report = report

    def collect(self) -> Iterator[GaugeMetricFamily]:
        values, encoding = _values(self._report), _encoding_values(self._report.present)
        levels = [alert.level for alert in self._report.alerts]
        for name, meaning in STATUS_GAUGES:
            if (value := values.get(name)) is not None:
                yield GaugeMetricFamily(name, meaning, value=value)
            elif (run := encoding.get(name)) is not None:
                gauge = GaugeMetricFamily(name, meaning, labels=["encoder"])
                gauge.add_metric(*run)
                yield gauge
            elif name == _ALERTS:
                alerts = GaugeMetricFamily(name, meaning, labels=["level"])
                for level in AlertLevel:
                    alerts.add_metric([level.name.lower()], levels.count(level))
                yield alerts


def _values(report: StatusReport) -> dict[str, float | None]:
    present, numbers = report.present, status_numbers(report.present)
    leads = float(present.leader is not None) if present.store_answers else None
    return {
        "feed_store_up": float(present.store_answers),
        "feed_worker_leads": leads,
        "feed_counting_lag_seconds": numbers["counting_lag_s"],
        "feed_archive_lag_seconds": numbers["archive_lag_s"],
        "feed_store_bytes": numbers["store_bytes"],
        "feed_store_limit_bytes": numbers["store_limit_bytes"],
        "feed_disk_used_ratio": numbers["disk_used_share"],
        "feed_unencoded_articles": numbers["unencoded_articles"],
        "feed_events_waiting": numbers["waiting_events"],
        "feed_model_timestamp_seconds": present.model.trained_at,
    }


def _encoding_values(present: Present) -> dict[str, tuple[list[str], float]]:
    run = present.encoding
    if run is None:
        return {}
    values = {
        "feed_encoding_articles": run.total,
        "feed_encoding_articles_done": run.done,
        "feed_encoding_start_timestamp_seconds": run.began_at,
        "feed_encoding_stalled": present.encoding_stalled,
    }
    return {name: ([run.encoder], float(value)) for name, value in values.items()}
