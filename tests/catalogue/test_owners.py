"""What the API sets stays; what it has not set follows the source."""

from __future__ import annotations

from typing import Any

import pytest

from feed.domain import ALL_FIELDS, AiGenerated, NotFoundError

SITE = "https://paper.example/feed"


@pytest.mark.parametrize(
    ("field", "of_desk", "of_source"),
    [
        ("title", "Better", "Worse"),
        ("standfirst", "Better", "Worse"),
        ("section", "Local", "Sport"),
        ("other_sections", ("Local",), ("Sport",)),
        ("tags", ("ferry",), ("quay",)),
        ("expires_at", 2_000_000_000.0, None),
        ("published_at", 1_700_000_000.0, 1_700_000_100.0),
        ("ai_generated", AiGenerated.GENERATED, AiGenerated.NONE),
        ("sponsored", True, False),
        ("embedding", (0.0, 1.0), (1.0, 0.0)),
    ],
)
def test_what_the_api_created_is_not_overwritten(
    catalogue: Any, field: str, of_desk: Any, of_source: Any
) -> None:
    catalogue.send(**{field: of_desk})
    catalogue.send(SITE, **{field: of_source}, author="Source")
    assert getattr(catalogue.article(), field) == of_desk
    assert catalogue.article().author == "Source"


def test_an_editor_who_puts_an_article_back_owns_only_what_changed(catalogue: Any) -> None:
    catalogue.send(SITE, title="One", standfirst="Two", published_at=1_700_000_000.1239)
    was = catalogue.article()
    whole = {name: getattr(was, name) for name in ALL_FIELDS}
    put_back = {**whole, "sponsored": True, "published_at": 1_700_000_000.123}
    assert catalogue.send(**put_back) == "updated"
    assert catalogue.service.read("a").owned == {"sponsored"}
    catalogue.send(SITE, title="One more", standfirst="Two", sponsored=False)
    assert (catalogue.article().title, catalogue.article().sponsored) == ("One more", True)


def test_the_api_replaces_an_article_and_the_source_fills_what_it_left_out(catalogue: Any) -> None:
    catalogue.send(SITE, standfirst="S", tags=("t",), published_at=5e8)
    assert catalogue.send(author="Desk") == "updated"
    assert (catalogue.article().standfirst, catalogue.article().published_at) == ("", 5e8)
    catalogue.send(SITE, standfirst="S", tags=("t",), author="Source")
    article = catalogue.article()
    assert (article.standfirst, article.tags, article.author) == ("S", ("t",), "Desk")


def test_fields_that_a_source_does_not_give_stay(catalogue: Any) -> None:
    catalogue.send(SITE, standfirst="S", sponsored=True)
    catalogue.send(SITE, title="New")
    assert (catalogue.article().standfirst, catalogue.article().sponsored) == ("S", True)
    catalogue.send(SITE, standfirst="")
    assert catalogue.article().standfirst == ""


def test_a_patch_sets_fields_and_a_release_gives_them_back(catalogue: Any) -> None:
    catalogue.send(SITE, title="Source", standfirst="S")
    assert catalogue.patch(title="Desk") == "updated"
    assert catalogue.patch(title="Desk") == "unchanged"
    catalogue.send(SITE, title="Source", standfirst="T")
    assert (catalogue.article().title, catalogue.article().standfirst) == ("Desk", "T")
    catalogue.patch("title")
    assert catalogue.article().title == "Desk"
    catalogue.send(SITE, title="Source", standfirst="T")
    assert catalogue.article().title == "Source"
    with pytest.raises(NotFoundError):
        catalogue.patch(article_id="nobody", title="T")
