"""An application on the real store, and small articles to put into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from feed.config import Settings
from feed.domain import format_time
from feed.service.app import create_app
from feed.service.services import Services
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

NOW = 1_790_000_000.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """One web process with a client, and the worker, all by hand."""

    def __init__(self, settings: Settings, store: RedisStore, clock: Clock) -> None:
        self.settings, self.store, self.clock = settings, store, clock
        self.app = create_app(settings, store, clock, seed=0)
        self.services: Services = self.app.extensions["feed"]
        self.services.keeper.refresh()
        self.client: FlaskClient = self.app.test_client()
        self.worker = Worker(store, settings)

    def publish(self, count: int, **fields: Any) -> list[str]:
        """Send articles a0, a1 ..., the first the newest; return their ids."""
        articles = [article(n, self.clock.now, **fields) for n in range(count)]
        answer = self.client.post("/v1/articles", json={"articles": articles})
        assert answer.status_code == 200, answer.json
        return [a["article_id"] for a in articles]

    def feed(self, user_id: str = "reader", **query: Any) -> dict[str, Any]:
        """Return a feed that must be answered 200."""
        answer = self.client.get("/v1/feed", query_string={"user_id": user_id, **query})
        assert answer.status_code == 200, answer.json
        body: dict[str, Any] = answer.json
        return body

    def send(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Send events that must be answered 202."""
        answer = self.client.post("/v1/events", json={"events": list(events)})
        assert answer.status_code == 202, answer.json
        body: dict[str, Any] = answer.json
        return body

    def work(self) -> None:
        """Let the worker count, and this process look."""
        while self.worker.tick(self.clock.now).counted:
            pass
        self.services.keeper.refresh()


def article(number: int, now: float, **fields: Any) -> dict[str, Any]:
    """Return the JSON of article a<number>, published so many minutes ago."""
    return {
        "article_id": f"a{number}",
        "title": f"Title {number}",
        "published_at": format_time(now - 60 * number),
        "section": f"section-{number % 4}",
        "language": "en",
        **fields,
    }


def ids_of(page: dict[str, Any]) -> list[str]:
    """Return the article ids of a feed page, in its order."""
    return [item["article"]["article_id"] for item in page["items"]]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def settings(store_settings: Settings) -> Settings:
    return replace(store_settings, encoder="none", request_budget_ms=10_000)


@pytest.fixture
def make_site(store: RedisStore, clock: Clock) -> Callable[[Settings], Site]:
    return lambda settings: Site(settings, store, clock)


@pytest.fixture
def site(make_site: Callable[[Settings], Site], settings: Settings) -> Site:
    return make_site(settings)
