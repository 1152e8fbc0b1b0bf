"""An archive in which readers do everything that they can do, as the worker would write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from feed.domain import Article
from feed.storage.archive_object_writer import open_writer
from feed.storage.archive_writer import Batch
from feed.storage.records import CatalogueChange, RecordType, StoredArticle, StreamRecord

NOW = 1_780_000_000.0
HOUR = 3600.0
ARTICLES = 60
LENGTH = 8


def write_archive(directory: Path, *, lists: int, readers: int = 40, hours: float = 60.0) -> None:
    """Write feeds and what readers did with them, on front pages and below articles.

    Some read, like, hide, take that back, or are known under two ids that are merged later; some
    are read without a name, and some events come without a request. Of five lists out of six it is
    known how the feed placed them.
    """
    rng = np.random.default_rng(5)
    writer = open_writer(directory, "test")
    writer.recover(lambda *_: [])
    changes = [_article(rng, row, hours) for row in range(ARTICLES)]
    records = [
        StreamRecord(f"{number}-0", kind, orjson.dumps(payload))
        for number, (kind, payload) in enumerate(_records(rng, lists, readers, hours), start=1)
    ]
    writer.commit(Batch({0: records}, changes, "1-0", NOW))


def _article(rng: np.random.Generator, row: int, hours: float) -> CatalogueChange:
    published = NOW - hours * HOUR * (1.2 - 1.2 * row / ARTICLES)
    section = ("red", "blue")[row % 2]
    article = Article(article_id=f"a{row}", title="T", section=section, published_at=published)
    vector = rng.normal(size=8).astype(np.float32)
    vector[row % 2] += 3.0
    stored = StoredArticle(article, vector / np.linalg.norm(vector), "e", "h", published)
    return CatalogueChange(article.article_id, stored)


def _records(
    rng: np.random.Generator, lists: int, readers: int, hours: float
) -> Iterator[tuple[RecordType, dict[str, Any]]]:
    clicked: dict[str, dict[str, float]] = {}
    merged: set[int] = set()
    for number, at in enumerate(np.sort(rng.uniform(NOW - hours * HOUR, NOW, lists)).tolist()):
        reader = int(rng.integers(readers))
        name = f"r{reader}"
        if reader % 5 == 0 and reader not in merged:
            name = f"anonymous {reader}"
            if number > lists * (reader + 10) // (readers + 20):
                merged.add(reader)
                yield RecordType.IDENTITY, _merge(name, f"r{reader}", at, clicked)
                name = f"r{reader}"
        elif reader % 7 == 0:
            name = ""
        out = int(ARTICLES * (1.0 - (NOW - at) / HOUR / hours / 1.2))
        shown = rng.choice(np.arange(max(out - 25, 0), max(out, LENGTH)), LENGTH, replace=False)
        context = {"device": ("desktop", "mobile")[reader % 2]}
        if number % 3 == 0:
            context["page_article_id"] = f"a{shown[0]}"
        request = {"user_id": name, "request_id": f"q{number}", "context": context}
        odds = np.exp(3.0 * (shown % 2 == reader % 2))
        wanted = f"a{rng.choice(shown, p=odds / odds.sum())}"
        if number % 6:
            yield _served(request, [f"a{row}" for row in shown.tolist()], at - 1.0, number)
        for place, row in enumerate(shown.tolist()):
            yield _event(request, f"i{number}-{place}", "impression", f"a{row}", at)
        is_first = wanted not in clicked.setdefault(name, {})
        yield _event(request, f"c{number}", "click", wanted, at + 5.0, first=is_first)
        clicked[name].setdefault(wanted, at + 5.0)
        yield _event(request, f"d{number}", "read", wanted, at + 60.0, dwell_s=float(number % 90))
        if number % 4 == 0:
            kind = ("like", "unlike", "dislike", "hide", "unhide")[number // 4 % 5]
            yield _event(request, f"l{number}", kind, f"a{shown[1]}", at + 61.0)


def _served(request: dict[str, Any], articles: list[str], at: float, number: int):
    """One slot of some lists was drawn by chance, and one pinned."""
    count = len(articles)
    payload = {
        "served_at": at,
        "mode": ("personalized", "trending")[number % 10 == 0],
        "rung": "personalized",
        "personalized": True,
        "model_version": "none",
        "experiments": {},
        "shown_from": 0,
        "shown_to": count,
        "section": "",
        "language": "",
        "latency_ms": 1.0,
        "counters_at": "",
        "attributes": {},
        "positions": [*range(count)],
        "article_ids": articles,
        "scores": [1.0 / (2 + place + number % 3) for place in range(count)],
        "sources_lists": ["fresh"] * count,
        "reasons": ["new"] * count,
        "are_trending": [False] * count,
        "are_explored": [place == number % 5 for place in range(count)],
        "are_pinned": [place == number % 11 for place in range(count)],
        "propensities": [1.0] * count,
    }
    return RecordType.SERVED, request | payload


def _event(request: dict[str, Any], name: str, kind: str, article: str, at: float, **rest: Any):
    payload = {"event_id": name, "article_id": article, "kind": kind, "occurred_at": at}
    return RecordType.EVENT, request | payload | {"received_at": at} | rest


def _merge(
    name: str, reader: str, at: float, clicked: dict[str, dict[str, float]]
) -> dict[str, Any]:
    own, others = clicked.get(reader, {}), clicked.get(name, {})
    repeats = [[article, others[article], True, False] for article in sorted(own.keys() & others)]
    return {
        "from_id": name,
        "to_id": reader,
        "merged_at": at,
        "keeps_unit_of": "to",
        "clicks": repeats,
        "reactions": [],
    }
