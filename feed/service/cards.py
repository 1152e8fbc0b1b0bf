"""Serialised articles, cached until they change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from feed.domain import AiGenerated, Article, format_time
from feed.storage.catalogue_part import CataloguePart

CAPACITY = 6_000
"""Cards one process keeps; 6,000 articles of 4 kB are 24 MB."""
TITLES = 50_000
"""Titles one process keeps, 10 MB: far more articles are named in reasons than are shown."""

_NONE_YET = "0-0"


@dataclass(frozen=True, slots=True)
class Card:
    """One article, serialised once; answers contain `json` unchanged."""

    article_id: str
    title: str
    json: orjson.Fragment
    ai_generated: AiGenerated
    sponsored: bool


class CardCache:
    """A cache of the cards of recently shown articles, invalidated by the catalogue's change log.

    When nothing has changed, `sync` costs one small read. Otherwise it drops exactly the cards
    whose articles have changed. A card that `take` returns was up to date at the last `sync`, and
    so was what `titles` holds, by article id: reasons name articles that are seldom shown, so
    titles are kept without their cards.
    """

    def __init__(self, store: CataloguePart, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._titles: OrderedDict[str, str] = OrderedDict()
        self.titles: Mapping[str, str] = self._titles
        self._position = _NONE_YET
        self._lock = threading.Lock()

    def sync(self, position: str | None = None) -> bool:
        """Forget every card whose article changed; return whether anything has.

        Args:
            position: the catalogue's newest, if the caller has just read it.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        position = position or self._store.catalogue_position()
        if position == self._position:
            return False
        with self._lock:
            if not self._cards and not self._titles:
                self._position = position
                return True
            batch = self._store.changes_after(self._position)
            if batch.gap:
                self._cards.clear()
                self._titles.clear()
            for change in batch.changes:
                self._cards.pop(change.article_id, None)
                self._titles.pop(change.article_id, None)
                if change.stored is not None and not change.stored.article.retracted:
                    self._titles[change.article_id] = change.stored.article.title
            self._bound()
            self._position = position if batch.gap else batch.position
        return True

    def learn_titles(self, titles: Mapping[str, str], position: str) -> bool:
        """Keep titles that were read elsewhere, if the cache is just as new or empty.

        Args:
            titles: of articles that may be shown, by article id.
            position: of the change log, at which all of them were right.

        Returns:
            Whether they are kept.
        """
        with self._lock:
            if position != self._position and (self._cards or self._titles):
                return False
            self._titles.update(titles)
            self._position = position
            self._bound()
        return True

    def take(self, article_ids: Sequence[str]) -> list[Card | None]:
        """Return the cards of articles, None for those that are gone or retracted.

        Raises:
            StoreUnavailableError: a card is missing here and the store does not answer.
        """
        cards = self.held(article_ids)
        missing = [i for i, card in enumerate(cards) if card is None]
        if missing:
            before = self._position
            stored = self._store.read_articles([article_ids[i] for i in missing])
            for i, entry in zip(missing, stored, strict=True):
                if entry is not None and not entry.article.retracted:
                    cards[i] = make_card(entry.article)
            self._keep((card for i in missing if (card := cards[i])), before)
        return cards

    def held(self, article_ids: Iterable[str]) -> list[Card | None]:
        """Return the cards that are cached, without asking the store."""
        get = self._cards.get
        return [get(article_id) for article_id in article_ids]

    def _keep(self, cards: Iterable[Card], position: str) -> None:
        with self._lock:
            if position != self._position:
                return
            for card in cards:
                self._cards[card.article_id] = card
                self._titles[card.article_id] = card.title
            self._bound()

    def _bound(self) -> None:
        while len(self._cards) > self._capacity:
            self._cards.popitem(last=False)
        while len(self._titles) > TITLES:
            self._titles.popitem(last=False)


def make_card(article: Article) -> Card:
    """Return the card of an article."""
    return Card(
        article_id=article.article_id,
        title=article.title,
        json=orjson.Fragment(_exact(orjson.dumps(article_fields(article)))),
        ai_generated=article.ai_generated,
        sponsored=article.sponsored,
    )


def _exact(text: bytes) -> bytes:
    """Return a copy without the spare room that orjson leaves behind what it writes.

    For what is kept, that room counts: with texts of 2 kB it is four times the text.
    """
    return memoryview(text).tobytes()


def article_fields(article: Article) -> dict[str, Any]:
    """Return an article as callers see it: every field but the vector, times in ISO 8601."""
    return {
        "article_id": article.article_id,
        "title": article.title,
        "standfirst": article.standfirst,
        "body": article.body,
        "url": article.url,
        "image_url": article.image_url,
        "section": article.section,
        "other_sections": list(article.other_sections),
        "tags": list(article.tags),
        "source": article.source,
        "author": article.author,
        "language": article.language,
        "published_at": format_time(article.published_at),
        "updated_at": _time(article.updated_at),
        "expires_at": _time(article.expires_at),
        "ai_generated": article.ai_generated.value,
        "human_reviewed": article.human_reviewed,
        "sponsored": article.sponsored,
        "retracted": article.retracted,
    }


def _time(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else format_time(epoch_s)
