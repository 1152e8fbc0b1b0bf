"""The built-in newsroom with simulated readers, as an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from feed.domain import EventKind
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import build_readers, simulate_history
from feed.storage.archive_object_writer import open_writer
from feed.storage.archive_writer import Batch
from feed.storage.records import CatalogueChange, RecordType, StoredArticle, StreamRecord

NOW = 1_780_000_000.0
HOURS = 30.0


def write_newsroom(directory: Path, readers: int = 60) -> None:
    """Write the built-in newsroom with simulated readers into an archive, as the worker would."""
    rng = np.random.default_rng(3)
    articles = load_articles(NOW)
    people = [
        replace(r, visits_per_day=8.0, languages=frozenset({"en"}))
        for r in build_readers(articles, readers, rng)
    ]
    events = simulate_history(articles, people, NOW - HOURS * 3600, NOW, rng)
    sections = sorted({a.section for a in articles})
    changes = []
    for article in articles:
        vector = rng.normal(size=16).astype(np.float32) * 0.3
        vector[sections.index(article.section)] += 1.0
        changes.append(
            CatalogueChange(
                article.article_id,
                StoredArticle(article, vector / np.linalg.norm(vector), "e", "h", NOW),
            )
        )
    clicked: set[tuple[str, str]] = set()
    records = []
    for number, event in enumerate(events):
        pair = (event.user_id, event.article_id)
        payload = {
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
            "first": event.kind is EventKind.CLICK and pair not in clicked,
        }
        if event.kind is EventKind.CLICK:
            clicked.add(pair)
        records.append(StreamRecord(f"{number + 1}-0", RecordType.EVENT, orjson.dumps(payload)))
    writer = open_writer(directory, "test")
    writer.recover(lambda *_: [])
    writer.commit(Batch({0: records}, changes, "1-0", NOW))
