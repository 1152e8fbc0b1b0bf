"""Online is offline: requests that were really served, scored again from the archive alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import orjson
import pytest

from feed.config import RankingConfig, Settings
from feed.domain import Mode, format_time
from feed.features.profile import preference_codes
from feed.features.request_context import RequestContext, device_code
from feed.features.stories import StoryFinder
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.ranker import LightGBMRanker
from feed.models.registry import ModelRegistry
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.models.schema import FEATURES
from feed.models.view import build_view
from feed.offline.archive_log import read_archive
from feed.offline.event_log import EventLog
from feed.offline.examples import Examples
from feed.offline.ranker_training import fit_ranker
from feed.offline.replay import Replay, build_log_pool
from feed.offline.training import train
from feed.preferences import Preferences
from feed.ranking.context import RankingContext
from feed.ranking.live_index import build_index
from feed.ranking.pipeline import recommend
from feed.service.app import create_app
from feed.storage.archive import Archive
from feed.storage.records import ReaderState
from feed.storage.redis_store import RedisStore
from feed.training_config import TrainingConfig
from feed.worker.loop import Worker
from feed.worker.publication import Publication

NOW = 1_790_000_000.0
REQUESTS = 200
READERS = 14
ARTICLES = 90
ARCHIVE_S = 100_000.0
MERGES = {60: ("u3", "u4"), 90: ("u1", "account"), 140: ("u4", "u6")}
"""Logins: before which request which id becomes whose."""
WITH_PREFERENCES = {"u1", "account"}
FOLLOWED = Preferences(followed_sections=("s1",), followed_sources=("wire2",))


class Clock:
    """A clock that stands still until it is moved; whole milliseconds, as the store keeps them."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)


@dataclass(frozen=True)
class Served:
    """What the archive recorded of one request."""

    request_id: str
    user_id: str
    at: float
    model_version: str
    counters_at: str
    section: str
    device: str
    page: str
    scores: dict[str, float]


class Newsroom:
    """A service and its worker, driven by hand through the HTTP API."""

    def __init__(self, settings: Settings, store: RedisStore) -> None:
        self.clock = Clock()
        self.rng = np.random.default_rng(8)
        self.directory = settings.data_dir
        self.store = store
        app = create_app(settings, store, self.clock)
        self.keeper = app.extensions["feed"].keeper
        self.keeper.refresh()
        self.client = app.test_client()
        self.worker = Worker(store, settings)
        self.ticks: dict[str, float] = {}
        self.sent = 0

    def publish(self) -> None:
        articles = [
            {
                "article_id": f"a{n}",
                "title": f"Title {n}",
                "published_at": format_time(self.clock.now - 1500.0 * n - 10.0),
                "section": f"s{n % 5}",
                "source": f"wire{n % 3}",
                "language": "en" if n % 4 else "da",
                "embedding": self.rng.normal(size=12).tolist() if n % 6 else None,
            }
            for n in range(ARTICLES)
        ]
        for one in articles:
            if one["embedding"] is None:
                del one["embedding"]
        answer = self.client.post("/v1/articles", json={"articles": articles})
        assert answer.status_code == 200, answer.json
        answer = self.client.put(
            "/v1/users/u1/preferences",
            json={
                "followed_sections": list(FOLLOWED.followed_sections),
                "followed_sources": list(FOLLOWED.followed_sources),
            },
        )
        assert answer.status_code == 200, answer.json

    def work(self) -> None:
        """Let the worker count and the web process look; note which delta was made when."""
        self.worker.tick(self.clock.now)
        for delta_id, data in self.store.read_deltas("0-0"):
            self.ticks[delta_id] = Publication.from_bytes(data).at
        self.keeper.refresh()

    def archive(self) -> Archive:
        """Let the worker count and archive everything."""
        self.work()
        self.worker.archive(self.clock.now + ARCHIVE_S)
        return Archive(self.directory / "archive")

    def merge(self, from_id: str, to_id: str) -> None:
        """Let a reader log in; both may come back under the old id."""
        self.clock.move(1.0)
        answer = self.client.post(f"/v1/users/{to_id}/merge", json={"from": from_id})
        assert (answer.status_code, answer.json["status"]) == (200, "merged"), answer.json
        self.clock.move(1.0)

    def visit(self, number: int) -> None:
        """Ask for one feed and do something with it."""
        self.clock.move(float(self.rng.uniform(3, 90)))
        user = f"u{self.rng.integers(READERS)}"
        query = {"user_id": user, "limit": 15}
        if number % 5 == 1:
            query |= {"page_article_id": f"a{self.rng.integers(ARTICLES)}", "device": "mobile"}
        if number % 11 == 3:
            query |= {"section": "s2"}
        answer = self.client.get("/v1/feed", query_string=query)
        assert answer.status_code == 200, answer.json
        page = answer.json
        context = {name: query[name] for name in ("page_article_id", "device") if name in query}
        events = []
        at, shown_at = self.clock.now, self.clock.now
        for position, item in enumerate(page["items"][: int(self.rng.integers(2, 15))]):
            kinds = [("impression", None)]
            if self.rng.random() < 0.25:
                kinds += [("click", None), ("read", float(self.rng.uniform(1, 200)))]
                kinds += [(str(self.rng.choice(["like", "dislike", "hide", "save"])), None)]
            for kind, dwell_s in kinds:
                at = round(at + 0.25, 3)
                events.append(
                    {
                        "event_id": f"e{self.sent}",
                        "user_id": user,
                        "article_id": item["article"]["article_id"],
                        "kind": kind,
                        "occurred_at": format_time(shown_at if kind == "impression" else at),
                        "request_id": page["request_id"],
                        "position": position,
                        "context": context,
                        **({} if dwell_s is None else {"dwell_s": dwell_s}),
                    }
                )
                self.sent += 1
        self.clock.move(at - self.clock.now + 0.5)
        if events:
            answer = self.client.post("/v1/events", json={"events": events})
            assert answer.status_code == 202, answer.json
            assert answer.json["accepted"] == len(events), answer.json


def read_served(archive: Archive) -> list[Served]:
    names = (
        "request_id", "logged_user_id", "served_at", "model_version", "counters_at", "section",
        "context", "article_id", "score",
    )  # fmt: skip
    columns = archive.served_columns(0.0, 1e11, names)
    served: dict[str, Served] = {}
    for row in zip(*(columns[name].tolist() for name in names), strict=True):
        request_id, user_id, at, model, counters_at, section, context, article_id, score = row
        found = served.get(request_id)
        if found is None:
            known = orjson.loads(context or "{}")
            found = served[request_id] = Served(
                request_id, user_id, at, model, counters_at, section or "",
                known.get("device", ""), known.get("page_article_id", ""), {},
            )  # fmt: skip
        found.scores[article_id] = score
    return sorted(served.values(), key=lambda s: s.at)


class Rescorer:
    """Scores recorded requests again from a log, a model and the times of the worker's ticks."""

    def __init__(self, log: EventLog, embeddings, models: dict[str, ModelBundle]) -> None:
        self.log = log
        self.pool = build_log_pool(log, embeddings, StoryFinder())
        self.replay = Replay(log)
        self.replay.start(NOW - 1.0)
        self.views = {v: build_view(self.pool, bundle) for v, bundle in models.items()}
        self.detector = TrendingDetector()
        self.trending = TrendingState()
        self.index = None

    def tick(self, at: float) -> None:
        self.replay.advance(at)
        counters = self.replay.signals.counters
        self.trending = self.detector.update(counters, self.pool, at)
        self.index = build_index(self.pool, counters, at)

    def scores(self, served: Served, preferences: Preferences) -> dict[str, float]:
        config = RankingConfig()
        user = self.log.users.row(served.user_id)
        pool = self.pool
        context = RankingContext(
            view=self.views[served.model_version],
            signals=self.replay.signals,
            trending=self.trending,
            request=RequestContext(
                now=served.at,
                page_row=pool.ids.row(served.page),
                device=device_code(served.device),
                section=pool.sections.row(served.section),
                mode=Mode.PERSONALIZED,
            ),
            rng=np.random.default_rng(0),
            profile=replace(
                self.replay.readers.profile(user, served.at, config),
                preferences=preference_codes(ReaderState(preferences=preferences), pool, served.at),
            ),
            index=self.index,
        )
        slate = recommend(context, config)
        ids = pool.ids.ids
        return {ids[r]: s for r, s in zip(slate.rows.tolist(), slate.scores.tolist(), strict=True)}


@pytest.fixture
def newsroom(store: RedisStore, store_settings: Settings) -> Newsroom:
    settings = replace(
        store_settings,
        encoder="none",
        request_budget_ms=60_000,
        store_timeout_ms=20_000,
        archive_seconds=ARCHIVE_S,
    )
    return Newsroom(settings, store)


def test_scores_of_200_served_requests_are_found_again_from_the_archive(newsroom: Newsroom):
    newsroom.publish()
    newsroom.work()
    models = {"none": empty_bundle()}
    for number in range(REQUESTS):
        if number in MERGES:
            newsroom.merge(*MERGES[number])
        newsroom.visit(number)
        if number % 3 == 0:
            newsroom.work()
        if number == REQUESTS // 2:
            models |= publish_model(newsroom)
    archive = newsroom.archive()

    served = read_served(archive)
    assert len(served) == REQUESTS
    assert {s.model_version for s in served} == set(models)
    assert {s.user_id for s in served if s.at > served[150].at}.isdisjoint({"u1", "u3", "u4"})
    log, embeddings = read_archive(archive)
    assert len(log.merges) == len(MERGES)
    assert sum(len(m.repeats) for m in log.merges) > 3  # how many differs by what was explored
    assert sum(len(m.undone) for m in log.merges) > 0
    rescorer = Rescorer(log, embeddings, models)
    ticks = sorted(newsroom.ticks.items(), key=lambda tick: tick[1])
    worst, compared = 0.0, 0
    for one in served:
        while ticks and newsroom.ticks[ticks[0][0]] <= newsroom.ticks[one.counters_at]:
            rescorer.tick(ticks.pop(0)[1])
        preferences = FOLLOWED if one.user_id in WITH_PREFERENCES else Preferences()
        again = rescorer.scores(one, preferences)
        assert set(one.scores) <= set(again)
        for article_id, score in one.scores.items():
            worst = max(worst, abs(score - again[article_id]))
            compared += 1
    assert compared > 10 * REQUESTS
    assert worst < 1e-6


def draw_ranker(seed: int) -> LightGBMRanker:
    """Return trees over many features, on the day-one weights, taught by drawn clicks.

    Visitors here click at random, which teaches nothing that betters those weights.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(1.0, 2.0, size=(8000, len(FEATURES))).astype(np.float32)
    taste = features @ rng.normal(size=len(FEATURES)) + rng.gumbel(size=len(features))
    lists = taste.reshape(-1, 20)
    clicked = (lists == lists.max(axis=1, keepdims=True)).ravel()
    config = TrainingConfig(ranker_trees=12, ranker_min_impressions=20)
    ranker = fit_ranker(Examples(features, clicked, np.full(400, 20)), "pool", config)
    assert ranker is not None
    assert ranker.trees > 1
    return ranker


def publish_model(newsroom: Newsroom) -> dict[str, ModelBundle]:
    """Train on what is archived so far, add a learned ranker, and make the model live."""
    log, embeddings = read_archive(newsroom.archive())
    config = TrainingConfig(factors=8, iterations=3)
    bundle = train(
        log, newsroom.clock.now, config, RankingConfig(), embeddings=embeddings, version="v1"
    )
    bundle = replace(bundle, ranker=SatisfiedRanker(draw_ranker(6), draw_ranker(7)))
    registry = ModelRegistry(newsroom.directory / "models")
    (newsroom.directory / "models").mkdir(exist_ok=True)
    registry.publish(bundle)
    registry.set_live("v1")
    newsroom.keeper.refresh()
    return {"v1": registry.load("v1")}
