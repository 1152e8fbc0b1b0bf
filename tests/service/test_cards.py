"""The shelf holds no more cards than it may, and the ones asked for last."""

from __future__ import annotations

from typing import Any

from feed.service.cards import CardShelf


def test_a_full_shelf_lets_the_oldest_cards_go(site: Any) -> None:
    ids = site.publish(12)
    shelf = CardShelf(site.store, capacity=5)
    shelf.sync()
    for article_id in ids:
        (card,) = shelf.take([article_id])
        assert card is not None
    held = [card.article_id for card in shelf.held(ids) if card]
    assert held == ids[-5:]


def test_one_large_request_does_not_overfill_the_shelf(site: Any) -> None:
    ids = site.publish(12)
    shelf = CardShelf(site.store, capacity=5)
    shelf.sync()
    assert all(shelf.take(ids))
    assert sum(card is not None for card in shelf.held(ids)) == 5
