from __future__ import annotations

import pytest
from click.testing import CliRunner

from feed.commands.health import health


@pytest.fixture
def check(store, store_url, monkeypatch):
    monkeypatch.setenv("FEED_REDIS_URL", store_url)
    monkeypatch.setenv("FEED_PORT", "9")
    return lambda part: CliRunner().invoke(health, [part])


def test_a_worker_is_healthy_while_every_partition_has_one(check, store):
    store.join_workers("this-worker", 10.0, is_new=True)
    store.take_leases("this-worker", [str(p) for p in range(store.partitions - 1)])
    answer = check("worker")
    assert answer.exit_code == 1
    assert f"no worker has partition {store.partitions - 1}:" in answer.output
    store.take_leases("this-worker", [str(store.partitions - 1)])
    answer = check("worker")
    assert answer.exit_code == 0, answer.output
    assert "this-worker" in answer.output


def test_without_a_lease_no_worker_works(check):
    answer = check("worker")
    assert answer.exit_code == 1
    assert "no worker is at work" in answer.output


def test_a_service_that_does_not_answer_is_not_healthy(check):
    answer = check("web")
    assert answer.exit_code == 1
    assert len(answer.output.strip().splitlines()) == 1
