"""Makers of the records that tests of storage write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from slates import make_slots

from feed.domain import (
    Article,
    Event,
    EventKind,
    Mode,
    Reason,
    ReasonCode,
    Rung,
    ServedFeed,
)
from feed.storage.records import StoredArticle

NOW = 1_780_000_000.0


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """Make an event; every field may be given."""
    numbers = iter(range(1_000_000))

    def make(kind: str = "click", **fields: Any) -> Event:
        defaults: dict[str, Any] = {
            "event_id": f"event-{next(numbers)}",
            "user_id": "reader",
            "article_id": "article",
            "occurred_at": NOW,
            "received_at": NOW,
        }
        return Event(kind=EventKind(kind), **{**defaults, **fields})

    return make


@pytest.fixture
def make_article() -> Callable[..., StoredArticle]:
    """Make a stored article with a small vector."""

    def make(article_id: str = "article", **fields: Any) -> StoredArticle:
        defaults = {"title": "A title", "published_at": NOW, "body": "A body"}
        article = Article(article_id=article_id, **{**defaults, **fields})
        return StoredArticle(article, np.array([0.6, 0.8, 0.0], np.float32), "tfidf", "hash", NOW)

    return make


@pytest.fixture
def make_served() -> Callable[..., ServedFeed]:
    """Make a served feed of three slots, two of them shown."""

    def make(request_id: str = "request", **fields: Any) -> ServedFeed:
        slots = make_slots(
            ["a0", "a1", "a2"],
            reasons=[(Reason(code=ReasonCode.NEW, text="New today"),)] * 3,
            sources=[("fresh", "trending")] * 3,
            trending=[True, False, False],
            explored=[False, True, False],
            propensities=[1.0, 0.25, 1.0],
        )
        defaults: dict[str, Any] = {
            "user_id": "reader",
            "served_at": NOW,
            "mode": Mode.PERSONALIZED,
            "rung": Rung.WITHOUT_MODEL,
            "personalized": True,
            "model_version": "v1",
            "experiments": {"boost": "treatment"},
            "slots": slots,
            "shown_from": 0,
            "shown_to": 2,
            "language": "en",
            "latency_ms": 3.5,
            "context": {"platform": "web"},
        }
        return ServedFeed(request_id=request_id, **{**defaults, **fields})

    return make
