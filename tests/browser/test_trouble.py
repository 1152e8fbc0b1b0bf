"""When things go wrong: hostile articles, outages, lost connections, lists that expired."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from .conftest import HOSTILE_TEXT, Visitor

pytestmark = pytest.mark.browser


def problem(status: int, detail: str) -> dict[str, Any]:
    body = {"type": "about:blank", "title": "Trouble", "status": status, "detail": detail}
    return {
        "status": status,
        "body": json.dumps(body),
        "content_type": "application/problem+json",
    }


def test_scripts_in_every_field_stay_text(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    page = visit.page
    page.get_by_role("button", name="Latest", exact=True).click()
    card = page.locator(".card", has_text=f"{HOSTILE_TEXT} title")
    expect(card).to_contain_text(f"{HOSTILE_TEXT} standfirst")
    expect(card.locator("img, script")).to_have_count(0)
    card.get_by_role("button", name=re.compile("^Like")).click()
    card.locator("h2 a").click()
    article = page.locator("#article")
    expect(article).to_contain_text(f"{HOSTILE_TEXT} body")
    expect(article.locator("img, script, a[href^='javascript']")).to_have_count(0)
    page.reload()
    expect(article).to_contain_text(f"{HOSTILE_TEXT} body")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Preferences").click()
    expect(page.locator("#preferences .topic").first).to_be_visible()
    assert page.evaluate("window.pwned === undefined")


def test_a_pause_that_the_service_asks_for_is_kept_and_ends(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("503",))
    page = visit.page
    busy = {**problem(503, "the store does not answer"), "headers": {"Retry-After": "1"}}
    page.route("**/v1/feed?*", lambda route: route.fulfill(**busy), times=1)
    page.goto(f"{visit.site}/?reader={visit.reader}")
    expect(page.get_by_text("The service asks for a short pause")).to_be_visible()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)


def test_an_error_says_so_and_offers_another_try(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("500",))
    page = visit.page
    page.route("**/v1/feed?*", lambda route: route.fulfill(**problem(500, "oh dear")), times=1)
    page.goto(f"{visit.site}/?reader={visit.reader}")
    expect(page.get_by_text("oh dear")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)


def test_an_empty_feed_says_so(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.page

    def empty(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json={**answer, "items": [], "next_cursor": None})

    page.route("**/v1/feed?*", empty)
    page.goto(f"{visit.site}/?reader={visit.reader}")
    expect(page.get_by_role("heading", name="Nothing new")).to_be_visible()


def test_what_is_done_offline_is_kept_and_sent_later(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("ERR_INTERNET_DISCONNECTED",))
    visit.open()
    page = visit.page
    ids = visit.article_ids()
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline")).to_be_visible()
    visit.card(7).get_by_role("button", name=re.compile("^Like")).click()
    page.click("#refresh-button")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert visit.article_ids() == ids
    page.context.set_offline(False)
    with page.expect_response(lambda response: response.status == 202):
        page.get_by_role("button", name="Try again").click()
    kinds = [event["kind"] for event in visit.sent("like")]
    assert kinds == ["like"]


def test_events_that_were_not_delivered_survive_a_reload(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("503",))
    visit.open()
    page = visit.page
    busy = {**problem(503, "the store does not answer"), "headers": {"Retry-After": "30"}}
    page.route("**/v1/events", lambda route: route.fulfill(**busy))
    with page.expect_response("**/v1/events"):
        visit.card(8).get_by_role("button", name=re.compile("^Like")).click()
    (first,) = visit.sent("like")
    page.unroute("**/v1/events")
    visit.events.clear()
    with page.expect_response(lambda response: response.status == 202):
        page.reload()
    (again,) = visit.sent("like")
    assert again == first


def test_an_expired_cursor_goes_on_with_a_fresh_list(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("410",))
    page = visit.page
    gone = problem(410, "the list behind the cursor is gone")
    page.route("**/v1/feed?*cursor=*", lambda route: route.fulfill(**gone), times=1)
    visit.open()
    before = visit.article_ids()
    with page.expect_response(lambda response: response.status == 410):
        page.mouse.wheel(0, 20000)
    visit.card(20).wait_for()
    ids = visit.article_ids()
    assert ids[:20] == before
    assert len(set(ids)) == len(ids)


def test_a_refused_like_is_taken_back(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()

    def refuse(route: Route) -> None:
        results = [
            {"event_id": event["event_id"], "status": "rejected", "detail": "no such article"}
            for event in route.request.post_data_json["events"]
        ]
        answer = {"accepted": 0, "duplicate": 0, "rejected": len(results), "results": results}
        route.fulfill(status=202, json=answer)

    visit.page.route("**/v1/events", refuse)
    like = visit.card(6).get_by_role("button", name=re.compile("^Like"))
    before = like.locator(".count").inner_text()
    with visit.page.expect_response("**/v1/events"):
        like.click()
    expect(like).to_have_attribute("aria-pressed", "false")
    expect(like.locator(".count")).to_have_text(before)


def test_a_service_that_wants_a_key_gets_it_with_every_request(visitor: Visitor) -> None:
    visit = visitor(expected_complaints=("401",))
    page = visit.page

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer open-sesame":
            route.continue_()
        else:
            route.fulfill(**problem(401, "an API key is needed"))

    page.route("**/v1/**", guard)
    page.goto(f"{visit.site}/?reader={visit.reader}")
    page.get_by_label("This service answers only callers with an API key.").fill("open-sesame")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)
    with page.expect_response(lambda response: response.status == 202):
        visit.card(9).get_by_role("button", name=re.compile("^Like")).click()
    page.reload()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)


def test_events_have_ids_where_the_browser_makes_none(visitor: Visitor) -> None:
    visit = visitor()
    visit.page.add_init_script("crypto.randomUUID = undefined")  # as over plain HTTP
    visit.open()
    with visit.page.expect_response(lambda response: response.status == 202):
        visit.card(3).get_by_role("button", name=re.compile("^Like")).click()
    (event,) = visit.sent("like")
    assert uuid.UUID(event["event_id"]).version == 4
