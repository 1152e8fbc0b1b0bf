from __future__ import annotations

import pytest
from click.testing import CliRunner

from feed.commands.health import health
from feed.worker.loop import LEASE


@pytest.fixture
def check(store, store_url, monkeypatch):
    monkeypatch.setenv("FEED_REDIS_URL", store_url)
    monkeypatch.setenv("FEED_PORT", "9")
    return lambda part: CliRunner().invoke(health, [part])


def test_a_worker_is_healthy_while_one_holds_the_lease(check, store):
    assert store.acquire_lease(LEASE, "this-worker", 10.0)
    answer = check("worker")
    assert answer.exit_code == 0
    assert "this-worker" in answer.output


def test_without_a_lease_no_worker_works(check):
    answer = check("worker")
    assert answer.exit_code == 1
    assert "no worker holds the lease" in answer.output


def test_a_service_that_does_not_answer_is_not_healthy(check):
    answer = check("web")
    assert answer.exit_code == 1
    assert len(answer.output.strip().splitlines()) == 1
