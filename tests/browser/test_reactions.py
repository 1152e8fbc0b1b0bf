"""A reader reacts: likes, dislikes, hides, chooses."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Route, expect

from .conftest import Visit, Visitor

pytestmark = pytest.mark.browser


def button_of(visit: Visit, article_id: str, name: str) -> Locator:
    card = visit.page.locator(f".card[data-article={json.dumps(article_id)}]")
    return card.get_by_role("button", name=re.compile(f"^{name}"))


def count_of(button: Locator) -> int:
    return int(button.locator(".count").inner_text())


def kinds_of(visit: Visit) -> list[str]:
    return [event["kind"] for event in visit.events if event["kind"] != "impression"]


def press(visit: Visit, button: Locator) -> None:
    with visit.page.expect_response("**/v1/events"):
        button.click()


def scroll_to(visit: Visit, article_id: str) -> None:
    """Load further pages of the feed until the article is on the page."""
    while article_id not in visit.article_ids():
        loaded = len(visit.article_ids())
        visit.page.mouse.wheel(0, 9000)
        visit.card(loaded).wait_for()


def test_a_like_counts_for_everyone_and_a_second_press_takes_it_back(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    article_id = visit.article_ids()[3]
    like = button_of(visit, article_id, "Like")
    before = count_of(like)
    press(visit, like)
    expect(like).to_have_attribute("aria-pressed", "true")
    assert count_of(like) == before + 1

    other = visitor()
    for _ in range(10):  # the worker counts a moment later
        other.open()
        scroll_to(other, article_id)
        seen_by_other = button_of(other, article_id, "Like")
        if count_of(seen_by_other) == before + 1:
            break
        other.page.wait_for_timeout(300)
    assert count_of(seen_by_other) == before + 1
    expect(seen_by_other).to_have_attribute("aria-pressed", "false")

    press(visit, like)
    expect(like).to_have_attribute("aria-pressed", "false")
    assert count_of(like) == before


def test_a_like_is_still_there_after_a_reload(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    article_id = visit.article_ids()[4]
    like = button_of(visit, article_id, "Like")
    before = count_of(like)
    press(visit, like)
    visit.open()
    scroll_to(visit, article_id)
    expect(like).to_have_attribute("aria-pressed", "true")
    assert count_of(like) == before + 1


def test_liking_what_was_disliked_changes_sides(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    article_id = visit.article_ids()[5]
    like, dislike = (button_of(visit, article_id, name) for name in ("Like", "Dislike"))
    likes, dislikes = count_of(like), count_of(dislike)
    press(visit, dislike)
    press(visit, like)
    assert kinds_of(visit) == ["dislike", "undislike", "like"]
    assert (count_of(like), count_of(dislike)) == (likes + 1, dislikes)


def test_what_is_hidden_is_gone_and_can_come_back(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    article_id = visit.article_ids()[1]
    hide = button_of(visit, article_id, "Not interested")
    press(visit, hide)
    expect(visit.card(1)).to_contain_text("Hidden")
    press(visit, button_of(visit, article_id, "Undo"))
    expect(visit.card(1).locator("h2")).to_be_visible()
    assert kinds_of(visit) == ["hide", "unhide"]

    press(visit, hide)
    visit.refresh()
    assert article_id not in visit.article_ids()


def test_a_muted_section_is_gone(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    section = visit.card(0).locator(".section").inner_text().lower()
    visit.page.get_by_role("button", name="Preferences").click()
    with visit.page.expect_response(lambda response: response.request.method == "PUT"):
        visit.page.get_by_role("button", name=f"Mute {section}").click()
    expect(visit.page.get_by_role("button", name=f"Mute {section}")).to_have_attribute(
        "aria-pressed", "true"
    )
    with visit.page.expect_response(lambda response: "/v1/feed?" in response.url):
        visit.page.keyboard.press("Escape")
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    sections = {text.lower() for text in visit.page.locator(".card .section").all_inner_texts()}
    assert section not in sections


def test_without_personalisation_the_feed_does_not_say_it_is_customized(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.card(0).locator("h2 a").click()
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="Your feed has changed").click()
    expect(visit.page.locator("#notice")).to_contain_text("Your feed is customized.")
    visit.page.get_by_role("button", name="Preferences").click()
    with visit.page.expect_response(lambda response: response.request.method == "PUT"):
        visit.page.get_by_role("switch", name="Personalize my feed").uncheck()
    with visit.page.expect_response(lambda response: "/v1/feed?" in response.url):
        visit.page.keyboard.press("Escape")
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    expect(visit.page.locator("#notice")).not_to_contain_text("Your feed is customized.")


def test_a_dialog_closed_before_its_change_is_saved_still_gives_a_new_feed(
    visitor: Visitor,
) -> None:
    visit = visitor()
    visit.open()
    held: list[Route] = []
    visit.page.route(
        "**/preferences",
        lambda route: held.append(route) if route.request.method == "PUT" else route.continue_(),
    )
    visit.page.get_by_role("button", name="Preferences").click()
    switch = visit.page.get_by_role("switch", name="Personalize my feed")
    expect(switch).to_be_checked()  # the preferences have come
    with visit.page.expect_request(lambda request: request.method == "PUT"):
        switch.uncheck()
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#preferences")).to_be_hidden()
    with visit.page.expect_response(lambda response: "/v1/feed?" in response.url):
        held.pop().continue_()


def test_another_reader_can_sit_down(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.page.get_by_role("button", name="Reading as").click()
    visit.page.get_by_label("Any reader, by id").fill("somebody-else")
    with visit.page.expect_request(lambda request: "user_id=somebody-else" in request.url):
        visit.page.get_by_role("button", name="Read", exact=True).click()
    assert "reader=somebody-else" in visit.page.url
    visit.page.get_by_role("button", name="Reading as").click()
    with visit.page.expect_request(lambda request: "user_id=reader-" in request.url):
        visit.page.get_by_role("button", name="Start as a new reader").click()
