"""Retractions and erasures hold; several sources of one article settle."""

from __future__ import annotations

from typing import Any

import pytest

from feed.catalogue.merging import MAX_ORIGINS
from feed.domain import NotFoundError

SPORT, LOCAL = "https://paper.example/sport", "https://paper.example/local"


def test_a_retraction_holds_against_sources(catalogue: Any) -> None:
    catalogue.send(SPORT)
    catalogue.service.retract("a", catalogue.editor)
    for fields in ({}, {"retracted": False}, {"title": "New"}):
        catalogue.send(SPORT, **fields)
        catalogue.send(LOCAL, **fields)
        assert catalogue.article().retracted
    assert catalogue.service.restore("a", catalogue.editor)
    catalogue.send(SPORT, retracted=True)
    assert not catalogue.article().retracted


def test_a_retraction_by_the_source_holds_too(catalogue: Any) -> None:
    catalogue.send(SPORT)
    catalogue.send(SPORT, retracted=True)
    catalogue.send(SPORT, retracted=False)
    assert catalogue.article().retracted


def test_an_erased_article_stays_erased_until_it_is_restored(catalogue: Any) -> None:
    catalogue.send(SPORT)
    catalogue.service.erase("a", catalogue.editor)
    assert catalogue.send(SPORT) == catalogue.send() == "erased"
    assert catalogue.send(SPORT, article_id="b") == "created"
    with pytest.raises(NotFoundError):
        catalogue.article()
    with pytest.raises(NotFoundError):
        catalogue.service.retract("a", catalogue.editor)
    assert catalogue.service.restore("a", catalogue.editor)
    assert catalogue.send(SPORT) == "created"
    with pytest.raises(NotFoundError):
        catalogue.service.restore("nobody", catalogue.editor)


def test_an_unknown_time_is_that_of_the_first_receipt_until_somebody_knows_it(
    catalogue: Any,
) -> None:
    first = catalogue.now
    catalogue.send(SPORT)
    catalogue.now += 3600
    assert catalogue.send(SPORT) == "unchanged"
    catalogue.send()
    assert catalogue.article().published_at == first
    catalogue.send(LOCAL, published_at=5e8)
    assert catalogue.article().published_at == 5e8
    assert catalogue.send(SPORT) == "unchanged"
    catalogue.send(SPORT, published_at=4e8)
    catalogue.send(LOCAL, published_at=5e8)
    assert catalogue.article().published_at == 4e8


def test_two_section_feeds_make_one_article_and_nothing_flips(catalogue: Any) -> None:
    def poll() -> list[str]:
        of_sport = {"title": "One", "section": "Sport", "tags": ("Rowing", "Oars")}
        of_local = {"title": "Two", "section": "Local", "tags": ("rowing", "Quay"), "author": "Mia"}
        return [catalogue.send(SPORT, **of_sport), catalogue.send(LOCAL, **of_local)]

    assert poll() == ["created", "updated"]
    assert poll() == poll() == ["unchanged", "unchanged"]
    article = catalogue.article()
    assert (article.title, article.section, article.author) == ("One", "Sport", "Mia")
    assert (article.other_sections, article.tags) == (("Local",), ("Rowing", "Oars", "Quay"))
    assert [one.origin for one in catalogue.service.read("a").origins] == [SPORT, LOCAL]


def test_the_section_follows_the_main_source(catalogue: Any) -> None:
    catalogue.send(SPORT, section="Sport")
    catalogue.send(LOCAL, section="local")
    catalogue.send(SPORT, section="Local")
    assert (catalogue.article().section, catalogue.article().other_sections) == ("Local", ())
    catalogue.send(SPORT, section="Culture")
    assert catalogue.article().other_sections == ("local",)


def test_an_editors_section_is_not_joined_by_the_one_it_replaces(catalogue: Any) -> None:
    catalogue.send(SPORT, section="Sport")
    catalogue.patch(section="Local")
    catalogue.send(SPORT, section="Sport")
    catalogue.send(LOCAL, section="Travel")
    article = catalogue.article()
    assert (article.section, article.other_sections) == ("Local", ("Travel",))


def test_what_a_second_source_filled_is_its_own_until_the_main_one_has_it(catalogue: Any) -> None:
    catalogue.send(SPORT, standfirst="")
    catalogue.send(LOCAL, standfirst="L")
    catalogue.send(LOCAL, standfirst="M")
    catalogue.send(SPORT, standfirst="")
    assert catalogue.article().standfirst == "M"
    catalogue.send(SPORT, standfirst="S")
    catalogue.send(LOCAL, standfirst="M")
    assert catalogue.article().standfirst == "S"
    catalogue.send(SPORT, standfirst="")
    assert catalogue.article().standfirst == ""


def test_what_a_source_changes_counts_whichever_source_was_first(catalogue: Any) -> None:
    file, polled = "a file", "https://paper.example/feed"
    catalogue.send(file, title="Ferry sinks", published_at=5e8)
    assert catalogue.send(polled, title="Ferry sinks", published_at=6e8) == "updated"
    assert catalogue.send(polled, title="Ferry raised", published_at=6e8) == "updated"
    assert (catalogue.article().title, catalogue.article().published_at) == ("Ferry raised", 5e8)
    for _ in range(3):
        assert catalogue.send(file, title="Ferry sinks", published_at=5e8) == "unchanged"
        assert catalogue.send(polled, title="Ferry raised", published_at=6e8) == "unchanged"
    catalogue.send(file, title="Ferry scrapped", published_at=5e8)
    assert catalogue.article().title == "Ferry scrapped"


def test_a_new_time_of_change_alone_does_not_bring_an_old_text_back(catalogue: Any) -> None:
    catalogue.send(SPORT, title="One", updated_at=1e8)
    catalogue.send(LOCAL, title="One", updated_at=1e8)
    catalogue.send(LOCAL, title="Two", updated_at=2e8)
    catalogue.send(SPORT, title="One", updated_at=3e8)
    assert catalogue.article().title == "Two"


def test_a_source_gets_back_a_field_that_was_given_back_to_it(catalogue: Any) -> None:
    catalogue.send(SPORT, title="One")
    catalogue.patch(title="Desk")
    catalogue.patch("title")
    assert catalogue.article().title == "Desk"
    catalogue.send(SPORT, title="One")
    assert catalogue.article().title == "One"


def test_an_article_remembers_a_bounded_number_of_sources(catalogue: Any) -> None:
    statuses = [
        catalogue.send(f"https://{n}.example/feed", section=f"s{n}") for n in range(MAX_ORIGINS + 1)
    ]
    assert statuses[-2:] == ["updated", "unchanged"]
    assert len(catalogue.service.read("a").origins) == MAX_ORIGINS


def test_the_sweep_keeps_what_a_source_still_sends(catalogue: Any, store: Any) -> None:
    catalogue.send(SPORT, published_at=catalogue.now)
    catalogue.now += 86_400
    catalogue.send(SPORT, published_at=catalogue.now - 86_400)
    assert store.old_articles(catalogue.now, 10) == []
