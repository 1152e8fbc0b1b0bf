"""A synthetic site for benchmarks: articles with vectors, readers with histories, a model."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
from hiredis import Reader, pack_command

from feed.config import DAY_S, Settings
from feed.domain import AiGenerated, Article, Event, EventKind
from feed.features.ids import IdMap
from feed.models.bundle import ModelBundle
from feed.models.ranker import LightGBMRanker, LinearRanker
from feed.models.registry import ModelRegistry
from feed.models.schema import FEATURES
from feed.storage.key_names import Keys
from feed.storage.node import Command
from feed.storage.records import StoredArticle
from feed.storage.redis_store import RedisStore

DIMENSIONS = 512
REDUCED = 128
FACTORS = 64
NEIGHBOURS = 50
SECTIONS = 12
SOURCES = 40
BODY = "A sentence of about eighty characters, as the body of an article has so many of. " * 25
TREES, LEAVES = 150, 31


@dataclass(frozen=True)
class Site:
    """What was made: ids, and the vectors the model was made of."""

    article_ids: list[str]
    reader_ids: list[str]


def build_site(
    store: RedisStore,
    settings: Settings,
    *,
    articles: int,
    readers: int,
    events_per_reader: int,
    seed: int = 7,
) -> Site:
    """Write articles, a live model and readers' events; return what was made.

    Articles are spread over the last 70 hours, texts of 2,000 characters, vectors in clusters.
    """
    rng = np.random.default_rng(seed)
    now = time.time()
    ids = [f"article-{n:06d}" for n in range(articles)]
    vectors = clustered_vectors(rng, articles)
    for start in range(0, articles, 1000):
        rows = range(start, min(start + 1000, articles))
        store.write_articles([stored_article(ids[r], r, vectors[r], now, articles) for r in rows])
    registry = ModelRegistry(settings.data_dir / "models")
    registry.set_live(registry.publish(build_bundle(rng, ids, vectors, "bench-1")))
    reader_ids = [f"reader-{n:06d}" for n in range(readers)]
    for events in reader_events(rng, reader_ids, ids, events_per_reader, now):
        store.append_events(events)
    return Site(ids, reader_ids)


def clustered_vectors(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Return unit vectors around 200 centres."""
    centres = rng.standard_normal((200, DIMENSIONS))
    vectors = centres[rng.integers(0, 200, count)] + rng.standard_normal((count, DIMENSIONS))
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def stored_article(
    article_id: str, row: int, vector: npt.NDArray[np.float32], now: float, count: int
) -> StoredArticle:
    """Return one article, the first one the newest."""
    published_at = now - 70 * 3600 * row / count
    article = Article(
        article_id=article_id,
        title=f"Headline number {row} of the synthetic site",
        standfirst="What the article says in one sentence, so that the card has a second line.",
        body=BODY,
        url=f"https://news.example/{article_id}",
        published_at=published_at,
        section=f"section-{row % SECTIONS}",
        source=f"source-{row % SOURCES}",
        language="en",
        ai_generated=AiGenerated.GENERATED if row % 10 == 0 else AiGenerated.NONE,
    )
    return StoredArticle(article, vector, "bench", "0", published_at)


def build_bundle(
    rng: np.random.Generator, ids: list[str], vectors: npt.NDArray[np.float32], version: str
) -> ModelBundle:
    """Return a model of real shapes and sizes whose weights are drawn at random."""
    count = len(ids)
    projection = np.linalg.qr(rng.standard_normal((DIMENSIONS, REDUCED)))[0].astype(np.float32)
    content_map = (rng.standard_normal((REDUCED, FACTORS)) / 8).astype(np.float32)
    factors = vectors @ projection @ content_map
    return ModelBundle(
        version=version,
        manifest={"created_at": "2026-01-01T00:00:00Z", "origin": "benchmark, weights drawn"},
        article_ids=IdMap(ids),
        factors=factors.astype(np.float32),
        readers=rng.gamma(2.0, 20.0, count),
        content_map=content_map,
        content_bias=np.zeros(FACTORS, np.float32),
        content_mean=np.zeros(DIMENSIONS, np.float32),
        content_projection=projection,
        neighbour_index=rng.integers(0, count, (count, NEIGHBOURS)).astype(np.int32),
        neighbour_weights=np.sort(rng.random((count, NEIGHBOURS)).astype(np.float32))[:, ::-1],
        ranker=build_ranker(rng),
    )


def build_ranker(rng: np.random.Generator) -> LightGBMRanker:
    """Return trees of the size that retraining makes, taught by made-up clicks."""
    features = rng.standard_normal((20_000, len(FEATURES))).astype(np.float32)
    logit = features @ rng.standard_normal(len(FEATURES)) / np.sqrt(len(FEATURES))
    clicked = rng.random(len(features)) < 1 / (1 + np.exp(-logit))
    data = lightgbm.Dataset(features, clicked, feature_name=[f.name for f in FEATURES])
    parameters = {"objective": "binary", "num_leaves": LEAVES, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, data, num_boost_round=TREES)
    neutral = np.zeros(len(FEATURES), np.float32)
    start = LinearRanker().sum.scaled(0.4, -1.0)
    return LightGBMRanker(booster.model_to_string(), neutral, start)


def reader_events(
    rng: np.random.Generator, reader_ids: list[str], ids: list[str], each: int, now: float
) -> Iterator[list[Event]]:
    """Yield each reader's events: clicks with reads, popularity falling with rank, and likes."""
    popularity = 1.0 / np.arange(10, len(ids) + 10)
    popularity /= popularity.sum()
    for reader_id in reader_ids:
        rows = rng.choice(len(ids), each // 2 + 1, p=popularity)
        times = np.sort(now - rng.exponential(DAY_S, len(rows)).clip(max=5 * DAY_S))
        events = [
            Event(
                event_id=f"{reader_id}-{n}-{kind}",
                user_id=reader_id,
                article_id=ids[row],
                kind=kind,
                occurred_at=at + (30.0 if kind is EventKind.READ else 0.0),
                received_at=now,
                dwell_s=30.0 if kind is EventKind.READ else None,
            )
            for n, (row, at) in enumerate(zip(rows.tolist(), times.tolist(), strict=True))
            for kind in (EventKind.CLICK, EventKind.READ)
        ]
        yield events[:each]


def write_known_readers(url: str, settings: Settings, first: int, last: int) -> None:
    """Write readers number `first` up to `last` with three clicks each, straight into the store.

    The log holds nothing of them: they are known from long ago. A million take a few seconds.
    """
    keys = Keys(settings.namespace, settings.partitions)
    clicks = [f"c{int((time.time() - 3600) * 1000) + n}::article-{n:06d}" for n in range(3)]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(url.removeprefix("unix://"))
        for start in range(first, last, 5_000):
            users = [f"known-{n}" for n in range(start, min(start + 5_000, last))]
            commands: list[Command] = [("RPUSH", keys.reader("h", user), *clicks) for user in users]
            connection.sendall(b"".join(map(pack_command, commands)))
            awaited, reader = len(users), Reader()
            while awaited:
                reader.feed(connection.recv(65_536))
                while (reply := reader.gets()) is not False:
                    awaited -= 1
                    if isinstance(reply, Exception):
                        raise reply
