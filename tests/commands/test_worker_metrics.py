"""The port at which a worker of its own serves its metrics."""

from __future__ import annotations

import urllib.request
from dataclasses import replace

import pytest
from lab.ports import free_port

from feed.commands.worker import serve_metrics
from feed.config import Settings
from feed.domain import InvalidInputError


def test_a_worker_serves_its_metrics_and_says_why_it_cannot() -> None:
    settings = replace(Settings(), worker_metrics_port=free_port())
    serve_metrics(settings)
    address = f"http://{settings.host}:{settings.worker_metrics_port}/metrics"
    with urllib.request.urlopen(address) as answer:
        text = answer.read().decode()
    assert "feed_worker_records_counted_total" in text
    with pytest.raises(InvalidInputError, match="FEED_WORKER_METRICS_PORT") as refused:
        serve_metrics(settings)
    assert "Address already in use" in str(refused.value)
