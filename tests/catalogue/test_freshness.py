"""The age of an article counts from its publication or its last real change."""

from __future__ import annotations

from typing import Any

import pytest

from feed.catalogue.freshness import is_real_change
from feed.domain import AgeFrom, Article

BLOG, OTHER = "https://paper.example/live", "https://paper.example/all"
HOUR_S = 3600.0


def text(title: str, body: str = "") -> Article:
    return Article(article_id="a", title=title, published_at=0.0, body=body)


@pytest.mark.parametrize(
    ("before", "after", "is_real"),
    [
        ("one two", "one two three four five", True),
        ("one two", "one two three four", False),
        ("one two", "ONE, two!", False),
        ("one two three", "three two one", False),
        ("no no", "no no no no no", True),
        ("one two three four five", "one two", False),
        ("船が来た。", "船が来た。霧が晴れた。", True),
    ],
)
def test_three_new_words_are_a_real_change(before: str, after: str, *, is_real: bool) -> None:
    assert is_real_change(text("Title", before), text("Title", after)) is is_real
    assert is_real_change(text(before), text("", after)) is is_real


def test_a_live_blog_is_as_young_as_its_last_real_change(catalogue: Any) -> None:
    start = catalogue.now
    old = start - 96 * HOUR_S
    catalogue.send(BLOG, body="It begins.", published_at=old, updated_at=start - HOUR_S)
    assert catalogue.fresh_at() == start - HOUR_S
    catalogue.now += 600
    catalogue.send(BLOG, body="It begins!", published_at=old, updated_at=catalogue.now)
    assert catalogue.fresh_at() == start - HOUR_S
    more = {"body": "It begins. Now three words.", "published_at": old}
    catalogue.send(BLOG, **more, updated_at=catalogue.now - 60)
    assert catalogue.fresh_at() == catalogue.now - 60
    catalogue.now += 600
    assert catalogue.send(BLOG, **more, updated_at=catalogue.now - 660) == "unchanged"
    catalogue.send(BLOG, **{**more, "body": "Something else entirely, without a time."})
    assert catalogue.fresh_at() == catalogue.now
    assert catalogue.article().published_at == old


def test_no_time_lies_ahead(catalogue: Any) -> None:
    later = catalogue.now + 24 * HOUR_S
    catalogue.send(BLOG, published_at=later, updated_at=later)
    assert catalogue.fresh_at() == catalogue.now
    catalogue.now += 60
    assert catalogue.send(BLOG, published_at=later, updated_at=later) == "unchanged"
    catalogue.send(BLOG, body="One two three", published_at=later, updated_at=later)
    assert catalogue.fresh_at() == catalogue.now


def test_a_corrected_time_of_publication_counts_unless_the_article_was_changed(
    catalogue: Any,
) -> None:
    catalogue.send(BLOG)
    catalogue.send(BLOG, published_at=5e8)
    assert catalogue.fresh_at() == 5e8
    catalogue.send(BLOG, body="One two three", published_at=5e8)
    catalogue.send(BLOG, body="One two three", published_at=4e8)
    assert catalogue.fresh_at() == catalogue.now


def test_a_source_may_count_from_the_publication(catalogue: Any) -> None:
    def send(**fields: Any) -> None:
        one = catalogue.submission(published_at=5e8, updated_at=catalogue.now, **fields)
        catalogue.service.upsert([one], catalogue.now, BLOG, AgeFrom.PUBLISHED)

    send()
    send(body="One two three")
    assert catalogue.fresh_at() == 5e8
    catalogue.send(BLOG, body="Four five six seven", published_at=5e8)
    assert catalogue.fresh_at() == catalogue.now
    send(body="Four five six seven")
    assert catalogue.fresh_at() == 5e8


def test_a_second_source_makes_nothing_young_and_an_editor_does(catalogue: Any) -> None:
    catalogue.send(BLOG, published_at=5e8)
    catalogue.send(OTHER, body="One two three", updated_at=catalogue.now)
    assert catalogue.fresh_at() == 5e8
    catalogue.patch(body="Four five six")
    assert catalogue.fresh_at() == catalogue.now
