from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from feed.config import Settings
from feed.domain import FeedError
from feed.features.ids import IdMap
from feed.features.trending import TrendingState
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.service.admission import AdmissionQueue
from feed.service.app import create_app
from feed.service.problems import ProblemError
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.publication import TRENDING_BLOB


class SlowWire:
    """A proxy to a unix socket that waits before each answer."""

    def __init__(self, target: str, directory: Path) -> None:
        self.path = directory / "slow.sock"
        self.delay_s = 0.0
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(self._target)
            self._open += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        try:
            while data := source.recv(65_536):
                if slow:
                    time.sleep(self.delay_s)
                sink.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path_factory.mktemp("own")) as server:
        yield server


def open_app(server: EmbeddedStore, tmp_path: Path, url: str = "", **fields: Any) -> Any:
    settings = replace(
        Settings(), redis_url=url or server.url, data_dir=tmp_path, encoder="none", **fields
    )
    return create_app(settings, RedisStore(settings))


def publish(app: Any, count: int, days_ago: int = 0) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days_ago * 86_400))
    articles = [{"article_id": f"a{n}", "title": "T", "published_at": now} for n in range(count)]
    assert app.test_client().post("/v1/articles", json={"articles": articles}).status_code == 200


def test_without_a_store_a_quiet_site_still_has_a_feed(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    app = open_app(own_store, tmp_path)
    app.extensions["feed"].keeper.refresh()
    publish(app, 12, days_ago=7)
    own_store.kill()
    page = app.test_client().get("/v1/feed?user_id=u").json
    assert page["mode_served"] == "snapshot"
    assert len(page["items"]) == 12
    assert page["window"] == {"max_age_hours": 288.0, "widened": True}


def test_a_store_that_dies_leaves_the_last_snapshot(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    app = open_app(own_store, tmp_path)
    keeper = app.extensions["feed"].keeper
    keeper.refresh()
    publish(app, 30)
    client = app.test_client()
    first = client.get("/v1/feed?user_id=u").json
    assert first["mode_served"] == "without_model"
    own_store.kill()
    event = {"event_id": "e", "user_id": "u", "article_id": "a0", "kind": "click"}
    page = client.get("/v1/feed?user_id=u")
    assert page.status_code == 200
    assert page.json["mode_served"] == "snapshot"
    assert page.json["personalized"] is False
    assert len(page.json["items"]) == 20
    assert page.json["next_cursor"] is None
    refused = client.post("/v1/events", json={"events": [event]})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/readyz").json["store"] is False
    assert client.get("/healthz").status_code == 200
    own_store.start()
    assert client.post("/v1/events", json={"events": [event]}).json["accepted"] == 1
    keeper.refresh()
    again = client.get("/v1/feed?user_id=u").json
    assert again["mode_served"] == "without_model"
    assert "a0" not in [i["article"]["article_id"] for i in again["items"]]


def test_a_store_that_is_down_at_the_start_is_waited_for(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    own_store.kill()
    app = open_app(own_store, tmp_path, poll_seconds=0.05)
    keeper = app.extensions["feed"].keeper
    client = app.test_client()
    keeper.start()
    try:
        for path in ("/readyz", "/v1/feed?user_id=u", "/v1/trending", "/v1/users/u/preferences"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
        own_store.start()
        deadline = time.monotonic() + 20
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.get("/v1/feed?user_id=u").status_code == 200
    finally:
        keeper.stop()


def test_a_request_over_its_budget_spares_every_further_round_trip(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    for budget_ms, spared in ((60_000, 0), (0, 1)):
        app = open_app(own_store, tmp_path, request_budget_ms=budget_ms)
        store = app.extensions["feed"].store
        app.extensions["feed"].keeper.refresh()
        publish(app, 30)
        app.extensions["feed"].card_cache.sync()
        lost = lost_exposures(app)
        kept = sum(store.stream_lengths())
        page = app.test_client().get("/v1/feed?user_id=u").json
        assert len(page["items"]) == 20
        assert (page["next_cursor"] is None) == bool(spared)
        assert sum(store.stream_lengths()) == kept + 1 - spared
        assert lost_exposures(app) > lost if spared else lost_exposures(app) == lost


def lost_exposures(app: Any) -> float:
    lines = app.test_client().get("/metrics").text.splitlines()
    (value,) = [x.split()[1] for x in lines if x.startswith("feed_exposures_lost_total ")]
    return float(value)


def test_without_its_store_the_rate_limit_refuses_nobody(
    own_store: EmbeddedStore, tmp_path: Path
) -> None:
    app = open_app(own_store, tmp_path, rate_per_minute=6)
    app.extensions["feed"].keeper.refresh()
    publish(app, 30)
    client = app.test_client()
    statuses = [client.get("/v1/feed?user_id=u").status_code for _ in range(8)]
    assert statuses.index(429) > 0
    assert statuses[-1] == 429
    own_store.kill()
    assert [client.get("/v1/feed?user_id=u").status_code for _ in range(8)] == [200] * 8


def test_the_snapshot_thread_outlives_a_defect(own_store: EmbeddedStore, tmp_path: Path) -> None:
    app = open_app(own_store, tmp_path, poll_seconds=0.01)
    services = app.extensions["feed"]
    publish(app, 3)
    before = services.keeper.current()
    services.store.write_blob(TRENDING_BLOB, b"what no worker writes")
    with pytest.raises(Exception, match=r".") as caught:
        services.keeper.refresh()
    assert not isinstance(caught.value, FeedError), "the thread takes errors of ours elsewhere"
    with capture_logs() as logs:
        services.keeper.start()
        try:
            wait_for(lambda: any(entry["event"] == "snapshot_failed" for entry in logs))
            assert services.keeper.current() is before
            services.store.write_blob(TRENDING_BLOB, TrendingState().to_bytes())
            wait_for(lambda: services.keeper.current() is not before)
        finally:
            services.keeper.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_slow_store_does_not_break_the_budget(own_store: EmbeddedStore, tmp_path: Path) -> None:
    wire = SlowWire(own_store.url.removeprefix("unix://"), tmp_path)
    app = open_app(own_store, tmp_path, url=f"unix://{wire.path}")
    app.extensions["feed"].keeper.refresh()
    publish(app, 30)
    client = app.test_client()
    assert client.get("/v1/feed?user_id=u").json["mode_served"] == "without_model"
    wire.delay_s = 0.2
    try:
        answer = client.get("/v1/feed?user_id=u")
        total_ms = float(answer.headers["Server-Timing"].rpartition("=")[2])
        assert answer.status_code == 200
        assert answer.json["mode_served"] == "snapshot"
        assert len(answer.json["items"]) == 20
        assert total_ms < 300
        wire.delay_s = 0.0
        assert client.get("/v1/feed?user_id=u").json["mode_served"] == "without_model"
    finally:
        wire.close()


def bundle(version: str) -> ModelBundle:
    factors = np.ones((3, 4), np.float32)
    return ModelBundle(
        version=version,
        article_ids=IdMap(["a0", "a1", "a2"]),
        factors=factors,
        readers=np.ones(3),
        neighbour_index=np.array([[1], [0], [0]], np.int32),
        neighbour_weights=np.ones((3, 1), np.float32),
    )


def metric_of(site: Any, name: str) -> float:
    """The value of a metric without labels; fails if the service does not show it."""
    lines = site.client.get("/metrics").text.splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
    return float(value)


def test_a_published_model_is_taken_and_a_broken_one_refused(site: Any) -> None:
    site.publish(5)
    registry = ModelRegistry(site.settings.data_dir / "models")
    refused_before = metric_of(site, "feed_bundles_refused_total")
    registry.set_live(registry.publish(bundle("m1")))
    site.services.keeper.refresh()
    assert metric_of(site, "feed_bundles_refused_total") == refused_before
    assert site.feed()["model_version"] == "m1"
    assert site.feed()["mode_served"] == "personalized"
    related = site.client.get("/v1/articles/a0/related").json["items"]
    assert related[0]["article"]["article_id"] == "a1"
    assert related[0]["source"] == "readers_also_read"
    registry.set_live(registry.publish(bundle("m2")))
    damaged = site.settings.data_dir / "models" / "m2" / "factors.npy"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    site.services.keeper.refresh()
    assert site.feed()["model_version"] == "m1"
    assert metric_of(site, "feed_bundles_refused_total") == refused_before + 1
    registry.rollback()
    registry.set_live(registry.publish(bundle("m3")))
    site.services.keeper.refresh()
    assert site.feed()["model_version"] == "m3"
    shutil.rmtree(site.settings.data_dir / "models")
    site.services.keeper.refresh()
    assert site.feed()["model_version"] == "m3"


def test_ranking_that_fails_steps_down_and_says_so(site: Any) -> None:
    site.publish(10)
    snapshot = site.services.keeper.current()
    broken = replace(snapshot, index=replace(snapshot.index, underexposed=None))
    site.services.keeper._current = broken
    page = site.feed()
    assert page["mode_served"] in {"trending", "latest"}
    assert len(page["items"]) == 10
    assert page["personalized"] is False


def test_the_gate_lets_a_few_wait_and_turns_the_rest_away() -> None:
    gate = AdmissionQueue(running=1, waiting=1, patience_s=5.0)
    inside, leave, outcomes = threading.Event(), threading.Event(), []

    def first() -> None:
        with gate.turn():
            inside.set()
            leave.wait()

    def second() -> None:
        with gate.turn():
            outcomes.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    while gate._queue._value:
        time.sleep(0.001)
    with pytest.raises(ProblemError) as caught, gate.turn():
        pass
    assert caught.value.status == 503
    leave.set()
    for thread in threads:
        thread.join()
    assert outcomes == ["second"]
    with gate.turn():
        pass


def test_turns_come_in_the_order_of_asking() -> None:
    gate = AdmissionQueue(running=1, waiting=9, patience_s=5.0)
    came: list[int] = []

    def take(number: int) -> None:
        with gate.turn():
            came.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(9)]
    with gate.turn():
        for number, thread in enumerate(threads):
            thread.start()
            while len(gate._slots._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert came == sorted(came)
    assert len(came) == len(threads)


def test_the_gate_is_not_waited_at_for_ever() -> None:
    gate = AdmissionQueue(running=1, waiting=5, patience_s=0.01)
    with gate.turn(), pytest.raises(ProblemError), gate.turn():
        pass
    with gate.turn():
        pass


def test_a_request_whose_turn_does_not_come_takes_a_spare_one() -> None:
    gate = AdmissionQueue(running=1, waiting=5, patience_s=5.0, spare=1)
    with gate.turn(), gate.turn():
        pass
    with gate.turn():
        pass
