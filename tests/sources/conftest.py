"""A loopback server, and a poller that a test drives by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from feed_server import NOW

from feed.catalogue.article_service import ArticleService
from feed.config import Settings
from feed.sources.checking import SourceChecker
from feed.sources.directory import Addition, SourceDirectory
from feed.sources.poller import SourcePoller
from feed.sources.reach import AllowedHosts
from feed.sources.subscription import Source, SourceState
from feed.storage.redis_store import RedisStore

LIMIT_S = 1.0


class Desk:
    """A newsroom's sources, polled by hand."""

    def __init__(self, store: RedisStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.directory = SourceDirectory(store)
        self.now = NOW
        self.poller = self.make_poller("first")

    def make_poller(self, owner: str) -> SourcePoller:
        articles = ArticleService(self.store, lambda: None, lambda: None)
        checker = SourceChecker(AllowedHosts(self.settings.source_networks).check, limit_s=LIMIT_S)
        return SourcePoller(self.store, articles, self.settings, owner, lambda: 0.0, checker)

    def add(self, address: str, **fields: Any) -> str:
        source = Source(address=address, **fields)
        assert self.directory.add([source]) == [Addition.ADDED]
        return source.source_id

    def poll(self, after_s: float = 0.0) -> None:
        """Let time pass, and then check everything that is due."""
        self.now += after_s
        self.poller.tick(self.now)
        self.poller.finish(self.now)

    def poll_when_due(self, source_id: str) -> SourceState:
        """Check a source at the time at which it is due; return its state afterwards."""
        self.poll(max(0.0, self.state(source_id).next_at - self.now))
        return self.state(source_id)

    def state(self, source_id: str) -> SourceState:
        return self.directory.get(source_id)[1]

    def titles(self) -> list[str]:
        return sorted(stored.article.title for stored in self.store.scan_articles())


@pytest.fixture
def desk(store: RedisStore, store_settings: Settings) -> Desk:
    return Desk(store, replace(store_settings, encoder="none", source_networks="127.0.0.1"))
