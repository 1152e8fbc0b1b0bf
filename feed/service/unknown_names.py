"""Hints about decisions that name what is not there: they are taken, and do nothing yet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feed.domain import Pin
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.ranking.front_page_limits import groups_of
from feed.service.snapshot import LiveSnapshot
from feed.storage.catalogue_part import CataloguePart
from feed.storage.records import StoredArticle


def hints_for_limits(limits: Iterable[Limit], snapshot: LiveSnapshot | None) -> list[str]:
    """Return a sentence for each name that no article has now; none before the first snapshot."""
    named = ((limit.of, limit.value) for limit in limits if limit.value)
    return _hints(named, snapshot)


def hints_for_pins(pins: Iterable[Pin], snapshot: LiveSnapshot | None) -> list[str]:
    """Return a sentence for each section of a pin that no article has now."""
    return _hints(((LimitOf.SECTION, pin.section) for pin in pins if pin.section), snapshot)


def hints_for_articles(article_ids: Iterable[str], store: CataloguePart, now: float) -> list[str]:
    """Return a sentence for each article that is not there or that no feed can show.

    Raises:
        StoreUnavailableError: the store does not answer.
    """
    ids = list(dict.fromkeys(article_ids))
    found = zip(ids, store.read_articles(ids), strict=True)
    return [hint for article_id, stored in found if (hint := _hint(article_id, stored, now))]


def _hint(article_id: str, stored: StoredArticle | None, now: float) -> str:
    if stored is None:
        return f"There is no article {article_id} now."
    if stored.article.retracted:
        return f"The article {article_id} is retracted."
    expires_at = stored.article.expires_at
    return f"The article {article_id} has expired." if expires_at and expires_at <= now else ""


def _hints(names: Iterable[tuple[LimitOf, str]], snapshot: LiveSnapshot | None) -> list[str]:
    if snapshot is None:
        return []
    pool, rows = snapshot.view.pool, np.flatnonzero(snapshot.index.live)
    found = []
    for of, value in dict.fromkeys(names):
        wanted = Limit(rule=LimitRule.AT_LEAST, of=of, value=value)
        if not (groups_of(wanted, pool, rows, snapshot.taken_at) >= 0).any():
            found.append(f"No article has the {of} {value} now.")
    return found
