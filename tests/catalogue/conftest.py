"""A catalogue on the real store, and what is sent to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from feed.catalogue.article_service import ArticleService
from feed.catalogue.decisions import Editor
from feed.domain import Article, Submission
from feed.storage.redis_store import RedisStore

NOW = 1_790_000_000.0


@dataclass
class Catalogue:
    """One web process's way into the catalogue, at a time that the test sets."""

    service: ArticleService
    now: float = NOW

    def submission(self, article_id: str = "a", **fields: Any) -> Submission:
        """Return an article of which exactly the given fields, and a title, are sent."""
        given = {"title": "Title", **fields}
        article = Article(article_id=article_id, **{"published_at": 0.0, **given})
        return Submission(article, frozenset(given))

    def send(self, origin: str = "", article_id: str = "a", **fields: Any) -> str:
        """Send one article; return its status."""
        sent = [self.submission(article_id, **fields)]
        return self.service.upsert(sent, self.now, origin)[0]

    def patch(self, *released: str, article_id: str = "a", **fields: Any) -> str:
        """Set fields of an article, and release others."""
        article = Article(article_id=article_id, **{"title": "", "published_at": 0.0, **fields})
        submission = Submission(article, frozenset(fields))
        changed = self.service.patch(submission, self.editor, frozenset(released))
        return "updated" if changed else "unchanged"

    @property
    def editor(self) -> Editor:
        """Return who acts by hand."""
        return Editor("ed", self.now)

    def article(self, article_id: str = "a") -> Article:
        """Return an article as it is now, with its vector."""
        stored = self.service.read(article_id)
        (state,) = self.service._store.read_states([article_id])
        assert state.stored == replace(stored, article=state.stored.article)
        return state.stored.article

    def fresh_at(self) -> float:
        """Return from when the age of article a counts."""
        return self.service.read("a").fresh_at


@pytest.fixture
def catalogue(store: RedisStore) -> Catalogue:
    return Catalogue(ArticleService(store, lambda: None, lambda: None))
