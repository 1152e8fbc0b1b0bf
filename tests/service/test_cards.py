"""The cache never holds more cards than its capacity, and keeps those used last."""

from __future__ import annotations

import tracemalloc
from typing import Any

from feed.domain import Article
from feed.service.cards import CardCache, make_card


def test_a_full_cache_drops_the_oldest_cards(site: Any) -> None:
    ids = site.publish(12)
    card_cache = CardCache(site.store, capacity=5)
    card_cache.sync()
    for article_id in ids:
        (card,) = card_cache.take([article_id])
        assert card is not None
    held = [card.article_id for card in card_cache.held(ids) if card]
    assert held == ids[-5:]


def test_one_large_request_does_not_overfill_the_card_cache(site: Any) -> None:
    ids = site.publish(12)
    card_cache = CardCache(site.store, capacity=5)
    card_cache.sync()
    assert all(card_cache.take(ids))
    assert sum(card is not None for card in card_cache.held(ids)) == 5


def test_titles_stay_when_their_cards_are_dropped_until_the_article_changes(site: Any) -> None:
    ids = site.publish(12)
    card_cache = CardCache(site.store, capacity=5)
    card_cache.sync()
    cards = card_cache.take(ids)
    assert card_cache.titles == {card.article_id: card.title for card in cards if card}
    site.client.patch(f"/v1/articles/{ids[0]}", json={"title": "Another title"})
    site.client.delete(f"/v1/articles/{ids[1]}")
    card_cache.sync()
    assert set(card_cache.titles) == set(ids[2:])


def test_a_card_takes_no_more_memory_than_its_text() -> None:
    article = Article(article_id="a1", title="A title", published_at=0.0, body="A sentence. " * 200)
    cards = [make_card(article) for _ in range(3)]
    tracemalloc.start()
    try:
        cards += [make_card(article) for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 100 < 1.5 * len(article.body) + 1000
