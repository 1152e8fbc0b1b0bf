"""Every way to name a section means the same, and readers see the publisher's spelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import Settings
from feed.domain import InvalidInputError, format_time
from feed.service.setting_checks import check_ranking

SPELLINGS = ("Sport", "sport", "football", "News")
SPORT = {"a0", "a1", "a2"}


@pytest.fixture
def paper(make_site: Callable[[Settings], Any], settings: Settings) -> Any:
    """A site with three articles on sport, each under another name, and one of news."""
    site = make_site(replace(settings, section_aliases="football=Sport"))
    articles = [
        {
            "article_id": f"a{number}",
            "title": f"Title {number}",
            "published_at": format_time(site.clock.now - 60 * number),
            "section": section,
        }
        for number, section in enumerate(SPELLINGS)
    ]
    assert site.client.post("/v1/articles", json={"articles": articles}).status_code == 200
    return site


def prefer(site: Any, **preferences: Any) -> None:
    answer = site.client.put("/v1/users/reader/preferences", json=preferences)
    assert answer.status_code == 200, answer.json


def ids_of(page: dict[str, Any]) -> set[str]:
    return {item["article"]["article_id"] for item in page["items"]}


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
@pytest.mark.parametrize("asked", ["sport", "SPORT", " Football "])
def test_a_section_is_found_under_each_of_its_names(paper: Any, mode: str, asked: str) -> None:
    page = paper.feed(mode=mode, section=asked)
    assert ids_of(page) == SPORT
    shown = {item["article"]["article_id"]: item["article"]["section"] for item in page["items"]}
    assert shown == {"a0": "Sport", "a1": "sport", "a2": "football"}


def test_a_mute_holds_for_each_spelling(paper: Any) -> None:
    prefer(paper, muted_sections=["SPORT"])
    assert ids_of(paper.feed()) == {"a3"}


def test_a_follow_holds_for_each_spelling_and_is_told_in_that_of_the_article(paper: Any) -> None:
    prefer(paper, followed_sections=["Football"])
    reasons = {
        item["article"]["article_id"]: item["reasons"][0].get("section")
        for item in paper.feed()["items"]
    }
    assert reasons == {"a0": "Sport", "a1": "sport", "a2": "football", "a3": None}


def test_a_pin_for_a_section_holds_under_each_of_its_names(paper: Any) -> None:
    now = paper.clock.now
    pin = {
        "article_id": "a1",
        "slot": 0,
        "section": "sport",
        "starts_at": format_time(now - 60),
        "ends_at": "2040-01-01T00:00:00Z",
    }
    assert paper.client.put("/v1/pins", json={"pins": [pin]}).status_code == 200
    paper.services.keeper.refresh()
    first = paper.feed(section="Football")["items"][0]
    assert first["article"]["article_id"] == "a1"
    assert "editors_pick" in first["labels"]


def test_wrong_aliases_stop_the_start() -> None:
    with pytest.raises(InvalidInputError, match="FEED_SECTION_ALIASES"):
        check_ranking(Settings(section_aliases="football"))
