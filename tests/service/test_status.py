"""GET /v1/status: the numbers of all processes, and what is wrong, also without a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feed.config import Settings
from feed.models.training_runs import recorded_run
from feed.service.app import create_app
from feed.service.pulse_day import FRESH_S, MINUTES
from feed.storage.embedded import EmbeddedStore
from feed.storage.pulse_series import MINUTE_S, REQUESTS, RUNGS
from feed.storage.redis_store import RedisStore
from tests.service.conftest import Clock, Site


def status(site: Any) -> dict[str, Any]:
    answer = site.client.get("/v1/status")
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def kinds(site: Any) -> list[str]:
    return [alert["kind"] for alert in status(site)["alerts"]]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A store of this test's own, which may be stopped."""
    started = EmbeddedStore(tmp_path / "own")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def own_site(server: EmbeddedStore, settings: Settings, clock: Clock) -> Any:
    own = replace(settings, redis_url=server.url)
    store = RedisStore(own)
    yield Site(own, store, clock)
    store.close()


def test_a_fresh_empty_installation_has_one_friendly_hint(site: Any) -> None:
    body = status(site)
    assert [(a["kind"], a["level"]) for a in body["alerts"]] == [("no_articles", "hint")]
    assert "feed sources add ADDRESS" in body["alerts"][0]["action"]
    assert body["numbers"]["feeds_per_second"] == 0
    assert body["numbers"]["feed_p99_ms"] is None
    assert body["model"] == {"version": "none", "trained_at": None, "verdict": "", "forced": False}


def test_the_numbers_of_two_web_processes_are_added_up(site: Any) -> None:
    site.publish(5)
    other = create_app(site.settings, site.store, site.clock)
    second = other.extensions["feed"]
    second.keeper.refresh()
    for client in (site.client, other.test_client()):
        for _ in range(3):
            assert client.get("/v1/feed?user_id=reader").status_code == 200
    site.services.pulse.write()
    second.pulse.write()
    site.clock.now += 10
    body = status(site)
    assert body["numbers"]["feeds_per_second"] == pytest.approx(0.1)
    assert body["rungs"]["without_model"] == 1.0
    assert body["numbers"]["feed_p50_ms"] > 0
    assert body["articles"] == 5


def test_the_worker_is_named_and_its_lag_told(site: Any) -> None:
    site.publish(1)
    site.worker.tick(site.clock.now)
    site.worker.add_pulse(site.clock.now)
    body = status(site)
    assert body["worker"]
    assert body["numbers"]["counting_lag_s"] == 0
    assert body["numbers"]["store_bytes"] > 0


def test_without_a_store_a_process_says_what_it_knows_itself(
    own_site: Any, server: EmbeddedStore
) -> None:
    own_site.publish(5)
    assert kinds(own_site) == ["model_missing"]
    own_site.feed()
    own_site.services.pulse.write()
    server.stop()
    for _ in range(5):
        own_site.feed()
    own_site.services.pulse.write()
    own_site.clock.now += 10
    body = status(own_site)
    assert body["store"] is False
    assert body["alerts"][0]["kind"] == "store_away"
    assert body["numbers"]["feeds_per_second"] == pytest.approx(0.1)
    assert body["rungs"]["snapshot"] == pytest.approx(5 / 6, abs=1e-4)
    server.start()
    own_site.services.pulse.write()
    own_site.clock.now += 10
    assert "store_away" not in kinds(own_site)
    assert status(own_site)["numbers"]["feeds_per_second"] == pytest.approx(0.1)


def test_a_full_store_is_told_apart_from_one_that_is_away(own_site: Any) -> None:
    own_site.publish(2)
    own_site.worker.tick(own_site.clock.now)
    own_site.worker.add_pulse(own_site.clock.now)
    own_site.store._link.every_node("CONFIG", "SET", "maxmemory", "1")
    own_site.feed()
    own_site.services.pulse.write()
    assert kinds(own_site)[0] == "store_refuses"
    own_site.store._link.every_node("CONFIG", "SET", "maxmemory", "0")
    own_site.services.pulse.write()
    own_site.clock.now += 2
    assert "store_refuses" not in kinds(own_site)


def test_without_a_worker_the_status_says_so_after_a_while(site: Any) -> None:
    site.publish(1)
    for _ in range(5):
        assert "no_worker" not in kinds(site)
        site.services.keeper.refresh()
        site.services.pulse.write()
        site.clock.now += 10
    assert kinds(site)[0] == "no_worker"
    site.worker.tick(site.clock.now)
    site.clock.now += 2
    assert "no_worker" not in kinds(site)


def test_a_source_that_is_down_is_named_with_what_to_do(site: Any) -> None:
    site.publish(1)
    address = {"address": "https://paper.example/feed", "name": "The Paper"}
    assert site.client.post("/v1/sources", json={"sources": [address]}).status_code == 200
    (source_id,) = site.services.sources.all()
    state = {"failures": 3, "message": "the server answered 500"}
    site.store.write_source_state(source_id, state)
    (alert,) = [a for a in status(site)["alerts"] if a["kind"].startswith("source_down")]
    assert alert["title"] == "The source The Paper has failed 3 times in a row"
    assert "the server answered 500" in alert["meaning"]
    assert f"feed sources check {source_id}" in alert["action"]
    assert alert["page"] == "/desk/sources"


def test_a_model_that_the_gate_refused_is_told_until_a_later_one_is_published(site: Any) -> None:
    site.publish(1)
    models, times = site.settings.data_dir / "models", iter(range(100)).__next__
    for outcome, expected in (("refused", True), ("dry run", True), ("published", False)):
        with recorded_run(models, "cron", lambda: 1000.0 * times()) as run:
            run.end(outcome, "it is worse")
        site.clock.now += 20
        assert ("training_refused" in kinds(site)) is expected


def test_many_lookers_cost_one_read_a_second(site: Any) -> None:
    first = site.services.status.report().present
    assert site.services.status.report().present is first
    site.clock.now += 1
    assert site.services.status.report().present is not first


def test_keys_that_may_read_get_the_status(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    keyed = make_site(replace(settings, api_keys="front:read:" + "0" * 64))
    assert keyed.client.get("/v1/status").status_code == 401


def test_the_day_is_read_once_and_its_last_quarter_of_an_hour_again(site: Any) -> None:
    now, day = int(site.clock.now), site.services.pulse_day
    site.store.add_pulse(now - 3600, {REQUESTS: 5}, {})
    site.store.add_pulse(now - 600, {REQUESTS: 7}, {})
    before = day.read()
    assert len(before.starts) == MINUTES
    assert before.starts[-1] == now // MINUTE_S * MINUTE_S
    assert before.total(REQUESTS) == 12
    site.store.add_pulse(now - 600, {REQUESTS: 1, RUNGS[0]: 1}, {})  # late counts of a process
    assert day.read() is before
    site.clock.now += max(FRESH_S, MINUTE_S)
    after = day.read()
    assert after.total(REQUESTS) == 13
    assert after.count(REQUESTS)[-61 - 1] == 5
