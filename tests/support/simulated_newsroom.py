"""The built-in newsroom with simulated readers, as an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from lab.faults.retrains import records_of

from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import build_readers, simulate_history
from feed.storage.archive_object_writer import open_writer
from feed.storage.archive_writer import Batch
from feed.storage.records import CatalogueChange, StoredArticle

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
    writer = open_writer(directory, "test")
    writer.recover(lambda *_: [])
    writer.commit(Batch({0: records_of(events)}, changes, "1-0", NOW))
