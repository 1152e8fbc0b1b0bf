"""A reader asks for more, for fewer, and for none of a story, sees it, and takes it back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Visit, Visitor

pytestmark = pytest.mark.browser


def wish(visit: Visit, place: int, words: str) -> str:
    """Open what can be wished about one article, and press a button; return the article's id."""
    article_id = visit.article_ids()[place]
    card = visit.card(place)
    card.locator("summary", has_text="More or fewer").click()
    with (
        visit.page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok),
        visit.page.expect_response("**/v1/feed?**"),
    ):
        card.get_by_role("button", name=words).click()
    return article_id


def open_preferences(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Preferences", exact=True).click()
    expect(visit.page.locator("#personalization")).to_be_enabled()


def test_a_wish_shows_in_the_preferences_and_can_be_withdrawn(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    title = visit.card(2).locator("h2").inner_text()
    wish(visit, 2, "More like this")
    open_preferences(visit)
    line = visit.page.locator(".wishes li")
    expect(line).to_contain_text(f"More like “{title}”, until ")
    stronger = line.get_by_role("button", name="Strongly")
    expect(stronger).to_have_attribute("aria-pressed", "false")
    stronger.click()
    expect(stronger).to_have_attribute("aria-pressed", "true")
    line.get_by_role("button", name="Withdraw").click()
    expect(line).to_have_count(0)
    expect(visit.page.locator(".wishes-part")).to_be_hidden()


def test_asking_for_more_says_so_where_it_counted(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    wish(visit, 1, "More like this")
    wish(visit, 0, "More like this")
    expect(visit.page.locator(".reason", has_text="You asked for more like").first).to_be_visible()


def test_a_muted_story_is_gone(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    muted = wish(visit, 3, "Mute this story for 3 days")
    visit.refresh()
    assert muted not in visit.article_ids()
    open_preferences(visit)
    expect(visit.page.locator(".wishes li")).to_contain_text(", until ")
