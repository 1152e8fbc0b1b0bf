"""The Prometheus metrics of the watch; the web processes show them on `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

LOOKS = Counter("feed_watch_looks", "Looks at running experiments, by outcome", ["outcome"])
ALERTS = Counter("feed_watch_alerts", "Alerts about experiments, by what they are about", ["kind"])
DELIVERIES = Counter(
    "feed_watch_deliveries", "Attempts to send an alert to the webhook, by outcome", ["outcome"]
)
STOPS = Counter("feed_watch_stops", "Experiments that the watch stopped")
FINDINGS = Gauge(
    "feed_watch_findings",
    "What the watch found in running experiments and is not over",
    ["kind"],
    multiprocess_mode="mostrecent",
)
LOOKED_AT = Gauge(
    "feed_watch_timestamp_seconds",
    "When the watch last looked at an experiment, epoch seconds",
    multiprocess_mode="max",
)
