"""A small newsroom with topics, readers' signals and a model, all from one seed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Article, Mode
from feed.features.ids import IdMap
from feed.features.interactions import CLICK
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.profile import NO_PREFERENCES, PreferenceCodes, Profile, build_profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.bundle import ModelBundle
from feed.models.view import RankingView, build_view
from feed.ranking.context import RankingContext
from tests.support.counted import count_click, count_shown

NOW = 1_700_000_000.0
HOUR = 3600.0
SECTIONS = ("news", "sport", "culture", "science", "money")


@dataclass
class World:
    pool: ArticlePool
    view: RankingView
    signals: LiveSignals
    trending: TrendingState
    rng: np.random.Generator

    def reader(self, clicked=(), minutes_ago=30.0, **more) -> Profile:
        """A reader who clicked these rows, the last one most recently."""
        rows = np.array(clicked, np.int64)
        at = NOW - 60 * (minutes_ago + np.arange(len(rows))[::-1] * 2.0)
        settings = {"now": NOW, "config": RankingConfig(), **more}
        kinds, dwell = np.full(len(rows), CLICK, np.int8), np.full(len(rows), 40.0)
        return build_profile(rows, kinds, at, dwell, **settings)

    def prefer(self, **names) -> PreferenceCodes:
        """Preferences by names of sections, sources and languages."""
        pool = self.pool
        vocabularies = {"sections": pool.sections, "sources": pool.sources}
        codes = {}
        for name, values in names.items():
            vocabulary = vocabularies.get(name.partition("_")[2], pool.languages)
            codes[name] = vocabulary.rows(values)
        return replace(NO_PREFERENCES, **codes)

    def context(self, profile: Profile | None = None, seed=0, **more) -> RankingContext:
        request_fields = {"now", "page_row", "section", "languages", "mode"}
        request = {"now": NOW, "mode": Mode.PERSONALIZED}
        request |= {k: more.pop(k) for k in list(more) if k in request_fields}
        return RankingContext(
            view=more.pop("view", self.view),
            signals=self.signals,
            trending=more.pop("trending", self.trending),
            request=RequestContext(**request),
            rng=np.random.default_rng(seed),
            profile=self.reader() if profile is None else profile,
            **more,
        )

    def change(self, rows, **changes) -> None:
        """Write into the pool's columns, as if the articles had been sent like that."""
        if "published_at" in changes:
            changes.setdefault("fresh_at", changes["published_at"])
        for name, value in changes.items():
            getattr(self.pool, name)[np.array(rows, np.int64)] = value


def build_world(articles=240, seed=1, with_model=True) -> World:
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(len(SECTIONS), 16))
    builder = PoolBuilder(IdMap())
    for number in range(articles):
        topic = number % len(SECTIONS)
        article = Article(
            article_id=f"a{number}",
            title=f"title {number}",
            published_at=NOW - HOUR * (0.2 + 60 * (number / articles)),
            section=SECTIONS[topic],
            source=f"s{number % 7}",
            language="de" if number % 6 == 5 else "en",
        )
        vector = topics[topic] + rng.normal(size=16) * 1.2
        builder.add(article, vector, article.published_at)
    pool = builder.snapshot()
    signals = LiveSignals(pool.ids)
    _let_readers_read(signals, articles, rng)
    trending = TrendingDetector().update(signals.counters, pool, NOW)
    bundle = _bundle(pool, rng) if with_model else ModelBundle(version="none")
    return World(pool, build_view(pool, bundle), signals, trending, rng)


def _let_readers_read(signals: LiveSignals, articles: int, rng: np.random.Generator) -> None:
    popularity = rng.lognormal(0, 1.2, articles)
    times = np.sort(NOW - rng.uniform(0, 24 * HOUR, 1500))
    for at in times.tolist():
        taste = int(rng.integers(len(SECTIONS)))
        weights = popularity * np.where(np.arange(articles) % len(SECTIONS) == taste, 8.0, 1.0)
        rows = rng.choice(articles, 3, replace=False, p=weights / weights.sum())
        count_shown(signals, rows, at)
        count_click(signals, int(rows[0]), at, rows[1:], np.array([at - 300, at - 600]))
    for at in np.linspace(NOW - 1200, NOW - 5, 90).tolist():
        count_click(signals, 17, at, np.zeros(0, np.int64), np.zeros(0))


def _bundle(pool: ArticlePool, rng: np.random.Generator) -> ModelBundle:
    known = pool.size * 3 // 4
    factors = np.zeros((known, 8), np.float32)
    factors[np.arange(known), np.arange(known) % len(SECTIONS)] = 0.5
    factors += rng.normal(size=factors.shape).astype(np.float32) * 0.05
    neighbours = np.full((known, 4), -1, np.int32)
    for row in range(known - 20):
        neighbours[row] = [row + 5, row + 10, row + 15, row + 20]
    return ModelBundle(
        version="v1",
        article_ids=IdMap(pool.ids.ids[:known]),
        factors=factors,
        readers=np.full(known, 30.0),
        content_map=np.zeros((16, 8), np.float32),
        content_bias=np.zeros(8, np.float32),
        neighbour_index=neighbours,
        neighbour_weights=np.full((known, 4), 0.4, np.float32),
    )


@pytest.fixture(scope="session")
def shared_world() -> World:
    """A world that no test may change."""
    return build_world()


@pytest.fixture(scope="session")
def small_world() -> World:
    """The world that `world` copies; no test may change it."""
    return build_world(articles=120, seed=2)


@pytest.fixture
def world(small_world) -> World:
    """A world of the test's own."""
    return deepcopy(small_world)


@pytest.fixture(scope="session")
def make_world():
    """The builder itself, for other sizes or a world without a model."""
    return build_world
