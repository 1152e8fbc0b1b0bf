"""Finds what the age of an article counts from: its publication, or its last real change."""

from __future__ import annotations

import re
from collections import Counter

from feed.domain import AgeFrom, Article
from feed.storage.records import StoredArticle

NEW_WORDS = 3
"""A change is real if it brings this many words that the earlier version did not have."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
"""A word; in Chinese and Japanese, which write no spaces, each character counts as one."""


def fresh_since(
    previous: StoredArticle | None,
    article: Article,
    updated_at: float | None,
    now: float,
    age_from: AgeFrom | None,
) -> float:
    """Return the time from which an article's age counts, epoch seconds, not later than now.

    Args:
        previous: the article before the change; None if it is new.
        article: the article after the change.
        updated_at: the time of the change according to the sender; None if the sender names none.
        now: epoch seconds.
        age_from: `updated` lets a real change make the article young again, `published` does
            not; None: the sender has no say in this article's age.
    """
    published_at = min(now, article.published_at)
    if previous is None:
        is_counted = age_from is AgeFrom.UPDATED and updated_at is not None
        return max(published_at, min(now, updated_at or 0.0)) if is_counted else published_at
    fresh_at, was_published_at = previous.fresh_at, previous.article.published_at
    never_moved = fresh_at <= was_published_at
    if age_from is AgeFrom.PUBLISHED and not never_moved:
        return published_at
    if never_moved and was_published_at != article.published_at:
        fresh_at = published_at
    if age_from is AgeFrom.UPDATED and is_real_change(previous.article, article):
        fresh_at = max(fresh_at, min(now, now if updated_at is None else updated_at))
    return fresh_at


def is_real_change(before: Article, after: Article) -> bool:
    """Return whether a version has at least three words that the one before did not have."""
    old, new = _text(before), _text(after)
    return old != new and (Counter(_words(new)) - Counter(_words(old))).total() >= NEW_WORDS


def _text(article: Article) -> str:
    return f"{article.title}\n{article.standfirst}\n{article.body}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
