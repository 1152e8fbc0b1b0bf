"""Kills `feed retrain` at random moments, and checks that the live model stays complete."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from feed.domain import Event, EventKind
from feed.models.registry import ModelRegistry
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import build_readers, simulate_history
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StoredArticle, StreamRecord
from lab.faults.crashes import check_models
from lab.faults.installation import PATIENCE_S
from lab.faults.outcome import Outcome

HOURS = 30.0
READERS = 60
QUICK = (
    "--set", "factors=8", "--set", "iterations=3", "--set", "ranker_trees=10",
    "--set", "ranker_min_impressions=100", "--threads", "1",
)  # fmt: skip
ENDINGS = {0: "published", 3: "refused by the gate"}


def kill_retrain(data_dir: Path, times: int, seed: int) -> Outcome:
    """SIGKILL retraining, every other time while it publishes; then let one run to its end."""
    outcome = Outcome("retrain", "SIGKILL of feed retrain at random moments", times=times)
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    models = data_dir / "models"
    write_newsroom(data_dir / "archive")
    begun = time.monotonic()
    # What the gate would say depends on the hour at which this runs, and is not what is tried.
    outcome.expect(_run(data_dir, "--force") == 0, "the first retrain did not publish")
    takes_s = time.monotonic() - begun
    writing = 0
    for number in range(times):
        process = _start(data_dir, "--force")
        if number % 2 == 0:
            _wait_for_writing(models, process)
            time.sleep(rng.uniform(0.0, 0.05))
        else:
            time.sleep(rng.uniform(0.0, takes_s))
        writing += any(models.glob(".writing-*"))
        process.kill()
        process.wait()
        check_models(models, outcome)
        outcome.expect(ModelRegistry(models).live_version() is not None, "no model is live")
    code = _run(data_dir)
    outcome.expect(code in ENDINGS, f"retrain after all this failed: exit code {code}")
    check_models(models, outcome)
    left = [path.name for path in models.glob(".writing-*")]
    outcome.expect(not left, f"half-written models were left: {left}")
    whole = len(ModelRegistry(models).list())
    outcome.remarks.append(
        f"{writing} died while writing a model; {whole} whole models, the last run was "
        f"{ENDINGS.get(code, 'lost')}; one run takes {takes_s:.1f} s"
    )
    return outcome


def write_newsroom(archive_dir: Path) -> None:
    """Write the built-in newsroom with simulated readers into an archive, as the worker would."""
    rng = np.random.default_rng(3)
    now = time.time()
    articles = load_articles(now)
    readers = [replace(r, visits_per_day=8.0) for r in build_readers(articles, READERS, rng)]
    events = simulate_history(articles, readers, now - HOURS * 3600, now, rng)
    changes = []
    for article in articles:
        vector = rng.standard_normal(16).astype(np.float32)
        stored = StoredArticle(article, vector / np.linalg.norm(vector), "drawn", "", now)
        changes.append(CatalogueChange(article.article_id, stored))
    writer = ArchiveWriter(archive_dir, "faults")
    writer.recover(lambda *_: [])
    writer.commit(Batch({0: records_of(events)}, changes, "1-0", now))


def records_of(events: Iterable[Event]) -> list[StreamRecord]:
    """Return events as the stream holds them, with each reader's first click on an article."""
    clicked: set[tuple[str, str]] = set()
    records = []
    for number, event in enumerate(events, start=1):
        first = event.kind is EventKind.CLICK and (event.user_id, event.article_id) not in clicked
        if first:
            clicked.add((event.user_id, event.article_id))
        payload = _payload(event) | {"first": first}
        records.append(StreamRecord(f"{number}-0", RecordType.EVENT, orjson.dumps(payload)))
    return records


def _payload(event: Event) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "article_id": event.article_id,
        "kind": event.kind.value,
        "occurred_at": float(event.occurred_at),
        "received_at": float(event.occurred_at),
        "dwell_s": event.dwell_s,
        "position": event.position,
        "context": event.context,
        "request_id": event.request_id,
    }


def _start(data_dir: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "feed", "retrain", "--data", str(data_dir), *QUICK, *options]
    with data_dir.with_name("retrain.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )


def _run(data_dir: Path, *options: str) -> int:
    return _start(data_dir, *options).wait(PATIENCE_S)


def _wait_for_writing(models: Path, process: subprocess.Popen[bytes]) -> None:
    before = set(models.glob(".writing-*"))
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if set(models.glob(".writing-*")) - before:
            return
        time.sleep(0.0005)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        raise TimeoutError("retrain never came to write a model")
