"""The Prometheus metrics of polling; the web processes show them on `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CHECKS = Counter("feed_source_checks", "Checks of polled sources, by outcome", ["outcome"])
ARTICLES = Counter(
    "feed_source_articles", "Articles read from polled sources, by what became of them", ["status"]
)
LEFT_OUT = Counter("feed_source_records_left_out", "Records of polled sources that were left out")
SOURCES = Gauge("feed_sources", "Sources by status", ["status"], multiprocess_mode="mostrecent")
