"""A store that hangs: feeds go on from the snapshot, events are refused, all recovers by itself."""

import os
import signal
from dataclasses import replace

import pytest
from lab.faults.installation import wait_until
from lab.faults.load import sample_articles

from feed.client import article_to_json
from feed.config import Settings
from feed.domain import Rung
from feed.service.app import STORE_REST_S, create_app
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore

NOW = 1_790_000_000.0


@pytest.fixture
def server(tmp_path):
    with EmbeddedStore(tmp_path / "own") as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


def test_a_frozen_store_is_outlived(server, tmp_path):
    settings = replace(Settings(), data_dir=tmp_path, redis_url=server.url, encoder="none")
    store = RedisStore(settings, rest_s=STORE_REST_S)
    app = create_app(settings, store, clock=lambda: NOW)
    client = app.test_client()
    wait_until(lambda: client.get("/readyz").status_code == 200 or refresh(app), "a snapshot")
    articles = [article_to_json(a) for a in sample_articles(40, NOW)]
    assert client.post("/v1/articles", json={"articles": articles}).status_code == 200
    click = {"event_id": "e", "user_id": "u", "article_id": "article-0000", "kind": "click"}
    os.kill(server.pid, signal.SIGSTOP)
    for _ in range(30):
        page = client.get("/v1/feed?user_id=u")
        assert page.status_code == 200
        assert page.json["mode_served"] == Rung.SNAPSHOT
        assert len(page.json["items"]) == 20
        refused = client.post("/v1/events", json={"events": [click]})
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
    os.kill(server.pid, signal.SIGCONT)
    wait_until(
        lambda: client.post("/v1/events", json={"events": [click]}).status_code == 202,
        "events to be taken again",
    )
    wait_until(
        lambda: client.get("/v1/feed?user_id=u").json["mode_served"] != Rung.SNAPSHOT,
        "personal feeds",
    )
    store.close()


def refresh(app):
    app.extensions["feed"].keeper.refresh()
    return False
