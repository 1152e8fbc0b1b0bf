"""A reader reads: what they do is sent, and the next feed is another one."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import Visitor

pytestmark = pytest.mark.browser


def test_cards_say_what_when_and_why(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    assert len(visit.article_ids()) == 20
    for card in visit.page.locator(".card").all()[:5]:
        expect(card.locator("h2")).not_to_be_empty()
        assert re.match(r"\d{4}-\d\d-\d\dT", card.locator("time").get_attribute("datetime") or "")
        expect(card.locator(".reason").first).not_to_be_empty()
        expect(card.locator(".reaction")).to_have_count(2)
    expect(visit.page.locator(".label-ai_generated").first).to_have_text("AI-generated")


def test_reading_an_article_changes_the_next_feed(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    read_id = visit.article_ids()[1]
    title = visit.card(1).locator("h2").inner_text()
    visit.card(1).locator("h2 a").click()
    expect(visit.page.locator("#article .body p").first).to_be_visible()
    expect(visit.page.locator("#article")).to_contain_text("Generative AI is experimental.")
    visit.page.keyboard.press("Escape")
    expect(visit.card(1)).to_have_class(re.compile(r"\bread\b"))

    visit.page.get_by_role("button", name="Your feed has changed").click()
    expect(visit.page.locator(".reason", has_text=title).first).to_be_visible()
    assert read_id not in visit.article_ids()
    expect(visit.page.locator("#notice")).to_contain_text("Your feed is customized.")


def test_click_and_read_say_from_where_and_how_long(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    article_id = visit.article_ids()[2]
    request_id = visit.card(2).get_attribute("data-request")
    visit.card(2).locator("h2 a").click()
    visit.page.wait_for_timeout(400)
    with visit.page.expect_response("**/v1/events"):
        visit.page.get_by_role("button", name="Back to the feed").click()
    for kind in ("click", "read"):
        (event,) = visit.sent(kind)
        assert event["article_id"] == article_id
        assert event["request_id"] == request_id
        assert event["position"] == 2
        assert event["user_id"] == visit.reader
    assert 0.3 <= visit.sent("read")[0]["dwell_s"] <= 10


def test_impressions_are_sent_for_cards_that_were_really_in_view(visitor: Visitor) -> None:
    visit = visitor(viewport={"width": 1280, "height": 800})
    visit.open()
    visit.page.wait_for_timeout(300)
    assert visit.sent("impression") == []
    visit.page.wait_for_timeout(1200)
    with visit.page.expect_request("**/v1/events"):
        visit.page.evaluate("dispatchEvent(new Event('pagehide'))")
    seen = {event["position"]: event for event in visit.sent("impression")}
    assert 0 in seen
    assert seen[0]["request_id"] == visit.card(0).get_attribute("data-request")
    assert 19 not in seen


def test_an_article_over_the_feed_stops_the_counting_of_impressions(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.card(0).locator("h2 a").click()
    visit.page.wait_for_timeout(1500)
    visit.page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert visit.sent("impression") == []


def test_an_article_has_an_address_and_the_way_back_closes_it(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.card(0).locator("h2 a").click()
    address = visit.page.url
    assert "#article=" in address
    visit.page.go_back()
    expect(visit.page.locator("#article")).to_be_hidden()
    expect(visit.card(0).locator("h2 a")).to_be_focused()

    other = visitor()
    other.page.goto(address)
    expect(other.page.locator("#article h2")).to_be_visible()
    other.page.keyboard.press("Escape")
    expect(other.page.locator("#article")).to_be_hidden()


def test_read_next_leads_to_a_related_article(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.card(0).locator("h2 a").click()
    link = visit.page.locator(".related a").first
    title = link.inner_text()
    link.click()
    expect(visit.page.locator("#article h2")).to_have_text(title)
    expect(visit.page.locator("#article .body p").first).to_be_visible()
    clicks = visit.sent("click")
    assert clicks[1]["context"]["page_article_id"] == clicks[0]["article_id"]
    assert len(visit.sent("read")) == 1


def test_scrolling_to_the_end_repeats_nothing(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    end = visit.page.locator(".end")
    for _ in range(30):
        if end.is_visible():
            break
        visit.page.mouse.wheel(0, 6000)
        visit.page.wait_for_timeout(150)
    expect(end).to_be_visible()
    ids = visit.article_ids()
    assert len(ids) > 60
    assert len(set(ids)) == len(ids)


def test_latest_is_ordered_by_time(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.page.get_by_role("button", name="Latest", exact=True).click()
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    times = [time.get_attribute("datetime") for time in visit.page.locator(".card time").all()]
    assert times == sorted(times, reverse=True)  # type: ignore[type-var]


def test_a_section_shows_only_its_articles(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.page.locator("#sections").get_by_role("button", name="science").click()
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    sections = visit.page.locator(".card .section").all_inner_texts()
    assert {section.lower() for section in sections} == {"science"}
