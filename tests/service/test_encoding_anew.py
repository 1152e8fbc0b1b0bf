"""Articles are encoded anew while the old vectors serve; then all new ones serve at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feed.catalogue.article_service import ArticleService

NAMES = [f"a{n}" for n in range(8)]
OF_OLD = {name: f"a{n ^ 1}" for n, name in enumerate(NAMES)}
"""The old encoder finds a0 like a1, a2 like a3 ..."""
OF_NEW = {name: f"a{n ^ 4}" for n, name in enumerate(NAMES)}
"""The new one finds a0 like a4, a1 like a5 ..."""


class PairEncoder:
    """Gives two articles the same vector, all others others; every name is a space of its own."""

    dimensions = 8

    def __init__(self, name: str, bit: int) -> None:
        self.name, self._bit = name, bit

    def encode(self, texts: Any) -> Any:
        numbers = [int(text.split()[1]) & ~self._bit for text in texts]
        return np.eye(8, dtype=np.float32)[numbers]


def catalogue(site: Any, name: str, bit: int) -> ArticleService:
    return ArticleService(site.store, lambda: PairEncoder(name, bit), lambda: None)


def alike(site: Any) -> dict[str, str]:
    """Return the article of the nearest text of each article, as callers get it."""
    site.services.keeper.refresh()
    found = {}
    for name in NAMES:
        items = site.client.get(f"/v1/articles/{name}/related").json["items"]
        found |= {name: items[0]["article"]["article_id"]} if items else {}
    return found


@pytest.fixture
def encoded(site: Any) -> Any:
    """A site whose articles have vectors of an old encoder."""
    assert site.publish(8)
    assert catalogue(site, "old", 1).encode(NAMES) == 8
    assert alike(site) == OF_OLD
    return site


def test_old_vectors_serve_until_the_last_article_is_encoded(encoded: Any) -> None:
    service = catalogue(encoded, "new", 4)
    for name in NAMES[:-1]:
        assert service.encode([name]) == 1
        assert alike(encoded) == OF_OLD
    assert service.encode(NAMES) == 1, "what is encoded is not encoded again"
    assert alike(encoded) == OF_NEW


@pytest.mark.parametrize("done", range(1, 8))
def test_a_process_that_starts_in_the_middle_serves_all_old_vectors(
    encoded: Any, make_site: Any, settings: Any, done: int
) -> None:
    catalogue(encoded, "new", 4).encode(NAMES[:done])
    other = make_site(settings)
    assert alike(other) == OF_OLD
    catalogue(encoded, "new", 4).encode(NAMES)
    assert alike(other) == alike(encoded) == OF_NEW
    assert alike(make_site(settings)) == OF_NEW


def test_the_first_vector_is_kept_when_the_encoder_changes_twice(
    encoded: Any, make_site: Any, settings: Any
) -> None:
    catalogue(encoded, "other", 2).encode(NAMES[:3])
    catalogue(encoded, "new", 4).encode(NAMES[:5])
    assert alike(encoded) == alike(make_site(settings)) == OF_OLD


def test_the_worker_that_leads_drops_earlier_vectors_after_the_change(encoded: Any) -> None:
    encoded.worker.tick(encoded.clock.now)
    catalogue(encoded, "new", 4).encode(NAMES[:7])
    for moment, kept in ((10, 7), (20, 7)):
        encoded.worker.tick(encoded.clock.now + moment)
        assert len([*encoded.store.earlier_vectors()]) == kept
    catalogue(encoded, "new", 4).encode(NAMES)
    encoded.worker.tick(encoded.clock.now + 30)
    assert [*encoded.store.earlier_vectors()] == []


def test_an_earlier_vector_goes_with_its_article(encoded: Any) -> None:
    catalogue(encoded, "new", 4).encode(NAMES[:3])
    encoded.store.delete_articles(["a1"])
    kept = {one.article.article_id: one.encoder for one in encoded.store.earlier_vectors()}
    assert kept == {"a0": "old", "a2": "old"}


def test_a_new_article_waits_for_its_space(encoded: Any) -> None:
    service = catalogue(encoded, "new", 4)
    service.encode(NAMES[:4])
    late = {"article_id": "late", "title": "Title 4", "language": "en"}
    late["published_at"] = "2026-09-21T00:00:00Z"
    assert encoded.client.post("/v1/articles", json={"articles": [late]}).status_code == 200
    service.encode(["late"])
    encoded.services.keeper.refresh()
    answer = encoded.client.get("/v1/articles/late/related").json
    assert [i for i in answer["items"] if i["source"] == "similar_text"] == []
    service.encode(NAMES)
    encoded.services.keeper.refresh()
    items = encoded.client.get("/v1/articles/late/related").json["items"]
    assert {i["article"]["article_id"] for i in items} == {"a0", "a4"}


def test_a_retracted_article_holds_nothing_up(encoded: Any) -> None:
    assert encoded.client.delete("/v1/articles/a7").status_code == 200
    catalogue(encoded, "new", 4).encode(NAMES[:7])
    assert alike(encoded)["a0"] == OF_NEW["a0"]
