"""All flows on a cluster of three nodes, and one node killed."""

from dataclasses import replace

import pytest
from lab.faults.cluster import choose_places, event, running_cluster
from lab.faults.load import sample_articles
from lab.faults.proof import archived_ids, reckon

from feed.client import article_to_json
from feed.config import Settings
from feed.domain import Rung
from feed.service.app import create_app
from feed.storage.archive import Archive
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

NOW = 1_790_000_000.0
CLICKS = 300


@pytest.fixture
def cluster(tmp_path):
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def settings(cluster, tmp_path):
    return replace(
        Settings(),
        data_dir=tmp_path / "data",
        redis_url=cluster.url,
        redis_cluster=True,
        store_timeout_ms=2000,
        request_budget_ms=20_000,
        encoder="none",
    )


def test_all_flows_on_three_nodes_and_one_of_them_dies(cluster, settings):
    store = RedisStore(settings, rest_s=0.1)
    app = create_app(settings, store, clock=lambda: NOW)
    keeper, client = app.extensions["feed"].keeper, app.test_client()
    worker = Worker(store, settings)
    keeper.refresh()

    articles = [article_to_json(a) for a in sample_articles(40, NOW)]
    assert client.post("/v1/articles", json={"articles": articles}).status_code == 200
    ids = [a["article_id"] for a in articles]
    clicks = [event(f"c{n}", f"reader-{n:05d}", ids[n % 3]) for n in range(CLICKS)]
    answer = client.post("/v1/events", json={"events": clicks})
    assert (answer.status_code, answer.json["accepted"]) == (202, CLICKS)
    assert client.post("/v1/events", json={"events": clicks}).json["duplicate"] == CLICKS
    while worker.tick(NOW).counted:
        pass
    worker.tick(NOW + 10)
    keeper.refresh()
    archive = Archive(settings.data_dir / "archive")
    assert reckon(store, archive, {c["event_id"] for c in clicks}, set()).is_clean
    assert {i["article"]["article_id"] for i in client.get("/v1/trending").json["items"]}
    page = client.get("/v1/feed?user_id=reader-00000&limit=10").json
    assert ids[0] not in [item["article"]["article_id"] for item in page["items"]]
    rest = client.get(f"/v1/feed?user_id=reader-00000&cursor={page['next_cursor']}")
    assert rest.status_code == 200
    assert min(cluster.sizes()) > 0
    log_in_across_nodes(client, store, ids)
    worker.tick(NOW + 15)

    places = choose_places(cluster, settings)
    cluster.kill(places.doomed)
    for _ in range(10):
        hit = client.get(f"/v1/feed?user_id={places.hit}")
        spared = client.get(f"/v1/feed?user_id={places.spared}")
        assert (hit.status_code, spared.status_code) == (200, 200)
        assert hit.json["mode_served"] == Rung.SNAPSHOT
        assert len(hit.json["items"]) == 20
        assert spared.json["mode_served"] != Rung.SNAPSHOT
    assert client.get("/readyz").status_code == 200
    refused = client.post("/v1/events", json={"events": [event("x", places.hit, ids[5])]})
    assert refused.status_code == 503
    kept = client.post("/v1/events", json={"events": [event("y", places.spared, ids[5])]})
    assert kept.status_code == 202
    worker.tick(NOW + 20)
    worker.tick(NOW + 60)
    assert "y" in archived_ids(archive)
    assert (
        worker.publisher.signals.counters.readers(worker.publisher.signals.ids.rows([ids[5]])) == 1
    )
    store.close()
    late_start(cluster, settings, places)


def late_start(cluster, settings, places):
    """Open the store when the first of the nodes that its address names is dead."""
    alive = next(port for n, port in enumerate(cluster.ports) if n != places.doomed)
    nodes = f"redis://127.0.0.1:{cluster.ports[places.doomed]},127.0.0.1:{alive}"
    store = RedisStore(replace(settings, redis_url=nodes))
    assert store.read_reader(places.spared).read_ids
    store.close()


def log_in_across_nodes(client, store, ids):
    """Merge readers that live on different nodes, with events under the old id afterwards."""
    reader = "reader-00001"
    others = ["reader-00002", "reader-00005", "reader-00008"]
    nodes = [store._link._node_of(store._keys.reader("h", one)) for one in (reader, *others)]
    assert len(set(map(id, nodes))) > 1
    for one in others:
        answer = client.post(f"/v1/users/{reader}/merge", json={"from": one})
        assert (answer.status_code, answer.json["status"]) == (200, "merged")
    late = [event(f"late-{one}", one, ids[9]) for one in others]
    assert client.post("/v1/events", json={"events": late}).json["accepted"] == len(others)
    assert client.post("/v1/events", json={"events": late}).json["duplicate"] == len(others)
    state = store.read_reader(others[0])
    assert (state.moved_to, state.read_ids) == (reader, {ids[1], ids[2], ids[9]})
    assert {*store.read_merged_ids(reader)} == {*others}
