from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from receiver import SECRET, Receiver
from watched_desk import Desk

from feed.config import Settings
from feed.storage.redis_store import RedisStore


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.running() as running:
        yield running


@pytest.fixture
def desk(store: RedisStore, store_settings: Settings, receiver: Receiver) -> Desk:
    settings = replace(
        store_settings,
        alert_url=receiver.url,
        alert_secret=SECRET,
        public_url="https://feed.example/",
    )
    return Desk(store, settings, receiver)
