"""A store that fails half-way through a refresh takes nothing of what it told before."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from feed.domain import Article, StoreUnavailableError
from feed.features.ids import IdMap
from feed.service.app import create_app
from feed.service.followers import CatalogueFollower
from feed.storage.records import StoredArticle
from feed.storage.redis_store import RedisStore


class Failing:
    """A store of which single methods can be made to fail once."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.failing: str | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if name == self.failing:
                self.failing = None
                raise StoreUnavailableError("made to fail")
            return method(*arguments, **named)

        return call if name == self.failing else method


def write_article(store: RedisStore, article_id: str) -> None:
    article = Article(article_id=article_id, title=article_id, published_at=time.time() - 60)
    vector = np.zeros(0, np.float32)
    store.write_articles([StoredArticle(article, vector, "none", "h", time.time())])


@pytest.mark.parametrize(
    "step",
    [
        "catalogue_position",
        "scan_articles",
        "changes_after",
        "read_deltas",
        "read_blob",
        "read_experiments",
        "read_pins",
    ],
)
def test_a_first_refresh_that_failed_at_any_step_is_made_good_by_the_next(step, settings, store):
    flaky = Failing(store)
    keeper = create_app(settings, flaky).extensions["feed"].keeper
    write_article(store, "early")
    flaky.failing = step
    with pytest.raises(StoreUnavailableError):
        keeper.refresh()
    assert keeper.refresh().live_articles == 1


@pytest.mark.parametrize(
    "step", ["changes_after", "read_deltas", "read_blob", "read_experiments", "read_pins"]
)
def test_a_later_refresh_that_failed_at_any_step_loses_no_change(step, settings, store):
    flaky = Failing(store)
    keeper = create_app(settings, flaky).extensions["feed"].keeper
    write_article(store, "early")
    keeper.refresh()
    write_article(store, "late")
    flaky.failing = step
    with pytest.raises(StoreUnavailableError):
        keeper.refresh()
    assert keeper.refresh().live_articles == 2
    assert keeper.current().knows("late")


def test_a_retracted_article_that_went_during_a_gap_is_not_awaited_any_more(store):
    store.change_log_max = 3
    article = Article(article_id="a", title="a", published_at=time.time() - 60, retracted=True)
    no_vector = np.zeros(0, np.float32)
    store.write_articles([StoredArticle(article, no_vector, "", "h", time.time())])
    follower = CatalogueFollower(store, IdMap())
    follower.follow()
    assert follower._builder.removable_ids() == ["a"]
    store.delete_articles(["a"])
    for name in ("b", "c", "d", "e", "f"):
        write_article(store, name)
    follower.follow()
    assert follower._builder.removable_ids() == ["b", "c", "d", "e", "f"]
