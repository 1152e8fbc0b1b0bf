"""What a master process has read is served by the processes that are forked from it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson

from feed.config import Settings
from feed.environment import settings_to_environment
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore

ARTICLES = [{"article_id": f"a{n}", "title": "T", "section": "s"} for n in range(40)]

MASTER = """
import json, os, sys
from feed.service import app

app.load()
settings, keeper = app._loaded[0]
ids = keeper.current().view.pool.ids
said = []
for number in range(2):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        served = app.application()
        client = served.test_client()
        added = {"article_id": f"new{number}", "title": "T"}
        client.post("/v1/articles", json={"articles": [added]})
        feed = client.get("/v1/feed?user_id=u&limit=20").json
        services = served.extensions["feed"]
        found = {
            "same": services.keeper.current().view.pool.ids is ids,
            "articles": services.keeper.current().live_articles,
            "order": [item["article"]["article_id"] for item in feed["items"]],
            "draw": services.feeds._rng.random(),
        }
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said.append(json.loads(answer.read()))
    os.waitpid(child, 0)
print(json.dumps({"before": keeper.current().live_articles, "said": said}))
"""


def test_forked_processes_serve_what_their_master_has_read_and_what_is_new(
    settings: Settings, store: RedisStore
) -> None:
    app = create_app(settings, store)
    assert app.test_client().post("/v1/articles", json={"articles": ARTICLES}).status_code == 200
    quiet = replace(settings, log_level="error")
    environment = {**os.environ, **settings_to_environment(quiet)}
    run = subprocess.run(
        [sys.executable, "-c", MASTER], env=environment, capture_output=True, check=True
    )
    found = orjson.loads(run.stdout)
    first, second = found["said"]
    assert found["before"] == 40
    assert (first["same"], second["same"]) == (True, True)
    assert (first["articles"], second["articles"]) == (41, 42)
    assert len(set(first["order"])) == 20
    assert first["draw"] != second["draw"]


def test_what_was_read_before_the_fork_is_not_served_while_the_store_is_away(site: Any) -> None:
    site.publish(3)
    keeper = site.services.keeper
    shown = keeper.current()
    keeper.outdate()
    assert keeper.current() is None
    assert site.client.get("/v1/feed?user_id=u").status_code == 503
    assert keeper.refresh().view is shown.view
    assert site.client.get("/v1/feed?user_id=u").status_code == 200
