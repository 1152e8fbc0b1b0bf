"""The cache holds no more cards than its capacity, and knows titles nobody has asked for."""

from __future__ import annotations

import tracemalloc
from typing import Any

from feed.domain import Article
from feed.service.cards import CardCache, make_card
from feed.service.snapshot import SnapshotKeeper


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


def test_titles_stay_when_their_cards_are_dropped_and_follow_the_articles(site: Any) -> None:
    ids = site.publish(12)
    card_cache = CardCache(site.store, capacity=5)
    card_cache.sync()
    cards = card_cache.take(ids)
    titles = {card.article_id: card.title for card in cards if card}
    assert card_cache.titles == titles
    site.client.patch(f"/v1/articles/{ids[0]}", json={"title": "Another title"})
    site.client.delete(f"/v1/articles/{ids[1]}")
    card_cache.sync()
    del titles[ids[1]]
    assert card_cache.titles == {**titles, ids[0]: "Another title"}


def test_titles_read_elsewhere_count_only_where_they_are_as_new_as_the_cache(site: Any) -> None:
    ids = site.publish(3)
    card_cache = CardCache(site.store)
    position = site.store.catalogue_position()
    assert card_cache.learn_titles({ids[0]: "A title"}, position)
    site.client.patch(f"/v1/articles/{ids[0]}", json={"title": "Another title"})
    card_cache.sync()
    assert not card_cache.learn_titles({ids[0]: "A title", ids[1]: "B"}, position)
    assert card_cache.titles == {ids[0]: "Another title"}


def test_a_process_knows_the_titles_of_articles_that_it_has_never_shown(site: Any) -> None:
    ids = site.publish(6)
    site.client.patch(f"/v1/articles/{ids[0]}", json={"retracted": True})
    card_cache = CardCache(site.store, capacity=2)
    keeper = SnapshotKeeper(site.settings, site.store, card_cache, site.clock)
    keeper.refresh()
    assert set(ids[1:]) <= set(card_cache.titles)
    assert ids[0] not in card_cache.titles


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
