"""A poller is there as soon as there is a source, and not before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from feed_server import FeedServer, rss

from feed.catalogue.article_service import ArticleService
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.sources.late_poller import LatePoller
from feed.sources.subscription import Source


def late_poller(desk: Any, settings: Settings) -> LatePoller:
    articles = ArticleService(desk.store, lambda: None, lambda: None)
    return LatePoller(desk.store, articles, settings)


def test_polling_begins_with_the_first_source(desk: Any, server: FeedServer) -> None:
    settings = replace(desk.settings, sources="")
    poller = late_poller(desk, settings)
    poller.tick(desk.now)
    assert desk.store.lease_holder("sources") is None
    desk.directory.add([Source(address=server.say("/feed", rss("one")))])
    poller.tick(desk.now)
    assert desk.store.lease_holder("sources") is not None
    poller.interrupt()
    poller.stop()
    assert desk.store.lease_holder("sources") is None


def test_one_that_never_polled_can_be_stopped(desk: Any) -> None:
    poller = late_poller(desk, replace(desk.settings, sources=""))
    poller.interrupt()
    poller.stop()


@pytest.mark.parametrize("wrong", [{"sources": "no-such-file"}, {"source_networks": "10.0.0.0/99"}])
def test_settings_that_cannot_be_read_are_refused_at_once(desk: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        late_poller(desk, replace(desk.settings, **wrong))
