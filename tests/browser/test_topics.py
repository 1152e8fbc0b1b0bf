"""A new reader chooses topics, or skips the step; nobody else is asked, and nobody twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Visit, Visitor

pytestmark = pytest.mark.browser


def follow(visit: Visit, *sections: str) -> None:
    """Choose sections in the step, by the keyboard alone, and send them."""
    step = visit.page.get_by_role("region", name="What do you like to read?")
    for name in sections:
        choice = step.get_by_role("button", name=name, exact=True)
        choice.focus()
        visit.page.keyboard.press("Space")
        expect(choice).to_have_attribute("aria-pressed", "true")
    step.get_by_role("button", name="Show my feed").focus()
    with (
        visit.page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok),
        visit.page.expect_response("**/v1/feed?**"),
    ):
        visit.page.keyboard.press("Enter")


def test_what_a_new_reader_chooses_leads_the_next_feed_and_says_why(visitor: Visitor) -> None:
    visit = visitor(was_asked=False)
    visit.open()
    expect(visit.page.locator("#topics")).to_be_visible()
    follow(visit, "science")
    expect(visit.page.locator("#topics")).to_be_hidden()
    expect(visit.page.locator("#feed")).to_be_focused()
    expect(visit.card(0).locator(".section")).to_have_text("science")
    expect(visit.card(0).locator(".reason").first).to_have_text(
        "From science, a section you follow"
    )
    visit.page.get_by_role("button", name="Preferences", exact=True).click()
    followed = visit.page.get_by_role("button", name="Follow science")
    expect(followed).to_have_attribute("aria-pressed", "true")


def test_the_step_can_be_skipped_and_does_not_come_back(visitor: Visitor) -> None:
    visit = visitor(was_asked=False)
    visit.open()
    ids = visit.article_ids()
    visit.page.get_by_role("button", name="Show my feed").click()
    expect(visit.page.locator("#topics .message")).to_contain_text("or skip this step")
    visit.page.get_by_role("button", name="Skip", exact=True).click()
    expect(visit.page.locator("#topics")).to_be_hidden()
    assert visit.article_ids() == ids
    open_again(visit)


def test_whoever_does_not_answer_is_not_asked_again(visitor: Visitor) -> None:
    visit = visitor(was_asked=False)
    visit.open()
    expect(visit.page.locator("#topics")).to_be_visible()
    open_again(visit)


def test_a_reader_with_a_past_is_not_asked(visitor: Visitor) -> None:
    visit = visitor(was_asked=False)
    visit.open()
    visit.card(1).locator("h2 a").click()
    with visit.page.expect_response("**/v1/events"):
        visit.page.get_by_role("button", name="Back to the feed").click()
    elsewhere = visitor(was_asked=False)
    elsewhere.reader = visit.reader
    open_again(elsewhere)


def test_a_reader_who_follows_something_is_not_asked_on_another_device(visitor: Visitor) -> None:
    visit = visitor(was_asked=False)
    visit.open()
    follow(visit, "sport")
    elsewhere = visitor(was_asked=False)
    elsewhere.reader = visit.reader
    open_again(elsewhere)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_step_fits_a_phone(visitor: Visitor, scheme: str) -> None:
    visit = visitor(was_asked=False, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    visit.open()
    expect(visit.page.locator("#topics")).to_be_visible()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in visit.page.locator("#topics button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def open_again(visit: Visit) -> None:
    """Open the page, and see that it does not ask."""
    visit.open()
    visit.page.wait_for_load_state("networkidle")
    expect(visit.page.locator("#topics")).to_be_hidden()
