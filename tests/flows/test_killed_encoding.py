"""`feed encode` is killed in the middle; old vectors serve until the next run has finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from feed.catalogue.article_service import ArticleService
from feed.config import Settings
from feed.domain import Article, Submission
from feed.features.embeddings import SENTENCE_ENCODER
from feed.service.app import create_app
from feed.service.present_state import ENCODING_SILENT_S
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

COUNT = 500
EVENTS = ("Ferry strike", "Storm warning", "Rate decision")


class EarlierEncoder:
    """Gives every text a vector of three numbers."""

    name = "earlier"
    dimensions = 3

    def encode(self, texts: Any) -> Any:
        return np.stack([np.eye(3, dtype=np.float32)[len(text) % 3] for text in texts])


class Process:
    """A web process of the installation, whose clock can be moved."""

    def __init__(self, settings: Settings, store: RedisStore) -> None:
        self.ahead_s = 0.0
        app = create_app(settings, store, lambda: time.time() + self.ahead_s)
        self.keeper = app.extensions["feed"].keeper
        self._client = app.test_client()

    def served(self) -> tuple[str, int]:
        """Return whose vectors serve, and how many articles have one."""
        pool = self.keeper.refresh().view.pool
        return pool.space, int(np.count_nonzero(np.any(pool.embedding, axis=1)))

    def status(self) -> dict[str, Any]:
        body: dict[str, Any] = self._client.get("/v1/status").json
        return body

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return the encoder and the value of each metric of encoding anew."""
        families = text_string_to_metric_families(self._client.get("/metrics").text)
        found = [(f.name, f.samples[0]) for f in families if f.name.startswith("feed_encoding_")]
        return {name: (one.labels["encoder"], one.value) for name, one in found}


@pytest.fixture
def command(store_url: str, tmp_path: Path) -> Any:
    """Start `feed encode` in a process of its own."""

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "feed", "encode", "--data", str(tmp_path)],
            env={**os.environ, "FEED_REDIS_URL": store_url, "FEED_ENCODER": "sentence"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.timeout(240)
def test_old_vectors_serve_until_the_run_after_a_killed_one_has_finished(
    command: Any, store: RedisStore, store_settings: Settings
) -> None:
    settings, now = replace(store_settings, encoder="sentence"), time.time()
    articles = [
        Article(article_id=f"a{n}", title=f"{EVENTS[n % 3]} in district {n}", published_at=now - n)
        for n in range(COUNT)
    ]
    ArticleService(store, EarlierEncoder, lambda: None).upsert(
        [Submission(one, frozenset({"title", "published_at"})) for one in articles], now
    )
    first, old = Process(settings, store), ("earlier", COUNT)
    assert first.served() == old
    run = command()
    while not (progress := store.read_encoding()) or not progress.done:
        assert run.poll() is None, run.communicate()
        assert first.served() == old
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    done = sum(one.encoder == SENTENCE_ENCODER for one in store.scan_articles())
    assert 0 < done < COUNT

    late, worker = Process(settings, store), Worker(store, settings)
    worker.tick(time.time())
    assert first.served() == late.served() == old
    assert space_of(worker) == old[0]
    assert late.status()["encoding"]["state"] == "running"
    late.ahead_s = ENCODING_SILENT_S + 1
    (alert,) = [one for one in late.status()["alerts"] if one["kind"] == "encoding_stalled"]
    assert "feed encode" in alert["action"]
    seen = late.metrics()
    assert seen["feed_encoding_stalled"] == (SENTENCE_ENCODER, 1.0)
    assert 0 < seen["feed_encoding_articles_done"][1] <= done
    assert seen["feed_encoding_articles"][1] == COUNT

    run = command()
    new = (SENTENCE_ENCODER, COUNT)
    while run.poll() is None:
        assert {first.served(), late.served()} <= {old, new}, "both are whole spaces"
        time.sleep(0.01)
    assert run.communicate()[0] == f"encoded {COUNT - done} articles\n"
    assert first.served() == late.served() == Process(settings, store).served() == new
    assert [*store.earlier_vectors()] == []
    late.ahead_s += 2
    assert late.status()["encoding"]["state"] == "over"
    assert late.metrics()["feed_encoding_articles_done"] == (SENTENCE_ENCODER, float(COUNT))


def space_of(worker: Worker) -> str:
    """Return the encoder whose vectors group the articles of the worker that leads."""
    assert worker.judge is not None
    return worker.judge._pool.space
