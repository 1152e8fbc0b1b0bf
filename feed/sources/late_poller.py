"""A poller that is not there before there is a source."""

from __future__ import annotations

import importlib
from typing import Any

from feed.catalogue.article_service import ArticleService
from feed.config import Settings
from feed.sources.reach import AllowedHosts
from feed.storage.redis_store import RedisStore

POLLER = "feed.sources.poller"


class LatePoller:
    """Polls sources as `SourcePoller` does, which is imported when there is a first one.

    What reads feeds takes 5 MB of a worker, and many installations only ever get articles sent.

    Args:
        store: of sources and articles.
        articles: takes the articles in.
        settings: `sources` and `source_networks`.

    Raises:
        InvalidInputError: these settings cannot be read.
    """

    def __init__(self, store: RedisStore, articles: ArticleService, settings: Settings) -> None:
        self._store, self._articles, self._settings = store, articles, settings
        self._poller: Any = None
        AllowedHosts(settings.source_networks)
        if settings.sources:
            self._make()

    def tick(self, now: float) -> None:
        """Do what is due, if there are sources.

        Raises:
            StoreUnavailableError: the store does not answer; call again later.
        """
        if self._poller is None and self._store.count_sources():
            self._make()
        if self._poller is not None:
            self._poller.tick(now)

    def interrupt(self) -> None:
        """Make a `tick` that takes in a large document end soon; callable from any thread."""
        if self._poller is not None:
            self._poller.interrupt()

    def stop(self) -> None:
        """Let another poller go on."""
        if self._poller is not None:
            self._poller.stop()

    def _make(self) -> None:
        library = importlib.import_module(POLLER)
        self._poller = library.SourcePoller(self._store, self._articles, self._settings)
