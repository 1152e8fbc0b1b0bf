"""With nothing but a site key: a stranger reads, signs in, keeps what was theirs, signs out."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Page, expect

from .conftest import SITE_KEY, TOKEN_SECRET, WRITE_KEY, Newsroom, Visit, Visitor
from .test_access import assert_fits_the_width, assert_sound

pytestmark = pytest.mark.browser

ASK = """
async ([method, path, body]) => {
  const { token } = JSON.parse(localStorage.getItem("feed-client-guest"));
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  return response.status;
}
"""

EXPORT = """
async () => {
  const { token } = JSON.parse(localStorage.getItem("feed-client-guest"));
  const { sub } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  const headers = { Authorization: `Bearer ${token}` };
  return (await fetch(`/v1/users/${sub}/export`, { headers })).json();
}
"""


def make_token(user_id: str, lasts_s: float = 600) -> str:
    now = time.time()
    claims = {"sub": user_id, "iat": int(now), "exp": int(now + lasts_s)}
    return jwt.encode(claims, TOKEN_SECRET, algorithm="HS256")


def arrive(visit: Visit) -> None:
    visit.page.goto(visit.site)
    visit.page.wait_for_selector(".card:not(.skeleton)")


def account_button(page: Page) -> Any:
    return page.locator("#reader-button")


def paste_token(page: Page, token: str) -> None:
    account_button(page).click()
    page.get_by_label("A reader's token").fill(token)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(visit: Visit, user_id: str) -> None:
    with visit.page.expect_response(lambda response: "/v1/feed?" in response.url):
        paste_token(visit.page, make_token(user_id))
        expect(account_button(visit.page)).to_have_text(f"Reading as {user_id}")
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")


def sign_out(visit: Visit) -> None:
    account_button(visit.page).click()
    with visit.page.expect_response(lambda response: "/v1/feed?" in response.url):
        visit.page.get_by_role("button", name="Sign out").click()
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")


def guest_of(visit: Visit) -> str:
    record = json.loads(visit.page.evaluate("localStorage.getItem('feed-client-guest')"))
    claims = jwt.decode(record["token"], options={"verify_signature": False})
    return str(claims["sub"])


def read_one(visit: Visit) -> tuple[str, str]:
    """Read the second article; return its id and title."""
    article_id, title = visit.article_ids()[1], visit.card(1).locator("h2").inner_text()
    visit.card(1).locator("h2 a").click()
    expect(visit.page.locator("#article .body p").first).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#update button")).to_be_visible()
    return article_id, title


def test_a_stranger_reads_and_what_they_read_stays_theirs_when_they_sign_in(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site)
    arrive(visit)
    page = visit.page
    expect(account_button(page)).to_have_text("Reading as a guest")
    assert guest_of(visit).startswith("anon-")
    read_id, title = read_one(visit)
    visit.refresh()
    because = page.locator(".reason", has_text=title)
    expect(because.first).to_be_visible()
    assert read_id not in visit.article_ids()

    sign_in(visit, "alice")
    expect(page.locator("#account-note")).to_contain_text("What you read as a guest is kept")
    expect(because.first).to_be_visible()
    assert read_id not in visit.article_ids()
    page.reload()
    expect(account_button(page)).to_have_text("Reading as alice")
    expect(because.first).to_be_visible()

    sign_out(visit)
    expect(account_button(page)).to_have_text("Reading as a guest")
    expect(because).to_have_count(0)
    expect(page.locator(".card.read")).to_have_count(0)


def test_a_guest_is_the_same_after_a_reload_and_another_after_signing_out(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site)
    arrive(visit)
    guest = guest_of(visit)
    visit.page.reload()
    visit.page.wait_for_selector(".card:not(.skeleton)")
    assert guest_of(visit) == guest
    sign_in(visit, "bob")
    sign_out(visit)
    assert guest_of(visit) != guest


def test_what_is_done_last_leaves_with_the_page_and_its_token(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site)
    arrive(visit)
    page = visit.page
    statuses: list[int] = []
    page.on("response", lambda r: "/v1/events" in r.url and statuses.append(r.status))
    liked = visit.article_ids()[3]
    visit.card(3).get_by_role("button", name=re.compile("^Like")).click()
    page.reload()
    page.wait_for_selector(".card:not(.skeleton)")
    assert set(statuses) <= {202}
    (event,) = visit.sent("like")
    assert event["article_id"] == liked
    assert "user_id" not in event
    held = page.evaluate(EXPORT)
    assert held["store"]["reactions"] == {liked: "like"}


def test_nobody_elses_feed_preferences_or_events_are_within_reach(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site, expected_complaints=("403",))
    arrive(visit)
    event = {"event_id": "e-1", "user_id": "alice", "article_id": "a", "kind": "click"}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/v1/feed?user_id=alice", None),
        ("POST", "/v1/events", {"events": [event]}),
        ("GET", "/v1/users/alice/preferences", None),
        ("PUT", "/v1/users/alice/preferences", {"personalization": False}),
        ("GET", "/v1/users/alice/export", None),
        ("DELETE", "/v1/users/alice", None),
        ("POST", "/v1/articles", {"articles": []}),
        ("POST", "/v1/users/alice/merge", {"token": make_token("alice")}),
    ]
    for method, path, body in asked:
        assert visit.page.evaluate(ASK, [method, path, body]) == 403, (method, path)
    assert visit.page.evaluate(ASK, ["GET", "/v1/feed", None]) == 200


def test_the_page_holds_no_api_key_and_asks_no_third_party(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site)
    addresses: list[str] = []
    credentials: list[str] = []
    loaded: list[str] = []
    page = visit.page
    page.on("request", lambda r: addresses.append(r.url))
    page.on("request", lambda r: credentials.append(r.headers.get("authorization", "")))
    page.on("response", lambda r: r.request.resource_type != "fetch" and loaded.append(r.text()))
    arrive(visit)
    read_one(visit)
    sign_in(visit, "carol")
    assert all(address.startswith(f"{guarded_site}/") for address in addresses)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    everything = "\n".join([*addresses, *credentials, *loaded, kept, page.content()])
    assert WRITE_KEY not in everything
    assert TOKEN_SECRET not in everything
    assert SITE_KEY in everything
    assert not [address for address in addresses if SITE_KEY in address or "eyJ" in address]


def test_the_ten_lines_of_the_guide_embed_a_feed_in_another_site(
    visitor: Visitor, guarded_site: str, newsroom: Newsroom
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "front-end.md").read_text()
    embed = re.search(r"```html\n(.*?)```", guide, re.DOTALL)
    assert embed
    html = embed[1].replace("https://feed.example", guarded_site)
    newsroom.page = html.replace("any-text-you-like", SITE_KEY)
    page = visitor(at=newsroom.address).page
    page.goto(newsroom.address)
    expect(page.locator("#feed a")).to_have_count(20)
    with page.expect_response("**/v1/events") as answer:
        page.locator("#feed a").first.dispatch_event("click")
    assert answer.value.status == 202


def test_a_token_that_is_refused_says_why_and_changes_nothing(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site, expected_complaints=("401",))
    arrive(visit)
    guest = guest_of(visit)
    forged = jwt.encode({"sub": "alice", "exp": 4e9}, "x" * 40, algorithm="HS256")
    for token, words in ((forged, "signature"), ("open sesame", "not a JWT")):
        paste_token(visit.page, token)
        expect(visit.page.locator("#account .message")).to_contain_text(words)
        visit.page.keyboard.press("Escape")
        expect(account_button(visit.page)).to_have_text("Reading as a guest")
    visit.refresh()
    assert guest_of(visit) == guest


def test_a_sign_in_that_has_ended_says_so_and_offers_both_ways_on(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site, expected_complaints=("401",))
    page = visit.page
    expired = make_token("dora", lasts_s=-600)
    page.add_init_script(
        f"sessionStorage.getItem('once') || sessionStorage.setItem("
        f"'feed-reader-token', '{expired}'); sessionStorage.setItem('once', '1')"
    )
    page.goto(guarded_site)
    expect(page.get_by_role("heading", name="Your sign-in has ended")).to_be_visible()
    page.locator("#feed-state").get_by_role("button", name="Sign in").click()
    page.get_by_label("A reader's token").fill(make_token("dora"))
    page.locator("#account").get_by_role("button", name="Sign in").click()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)
    expect(account_button(page)).to_have_text("Reading as dora")
    page.evaluate("token => sessionStorage.setItem('feed-reader-token', token)", expired)
    page.reload()
    page.get_by_role("button", name="Read on as a guest").click()
    expect(page.locator(".card:not(.skeleton)")).to_have_count(20)
    expect(account_button(page)).to_have_text("Reading as a guest")


def test_a_guest_can_set_preferences_export_and_be_forgotten(
    visitor: Visitor, guarded_site: str
) -> None:
    visit = visitor(at=guarded_site, expected_complaints=("403",))
    arrive(visit)
    page, guest = visit.page, guest_of(visit)
    page.get_by_role("button", name="Preferences").click()
    page.locator("#preferences .topic").first.get_by_role("button", name="Follow").click()
    expect(page.locator("#preferences .message")).to_have_text("Saved.")
    page.get_by_text("How the feed is ordered").click()
    expect(page.locator("#preferences .about-ranking")).to_contain_text("does not publish")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save what is held on me").click()
    assert json.loads(download.value.path().read_text())["user_id"] == guest
    page.get_by_role("button", name="Erase everything held on me").click()
    page.get_by_role("button", name="Press again to erase for good").click()
    page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    expect(page.locator("#account-note")).to_be_visible()
    assert guest_of(visit) != guest


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_account_is_sound_for_everyone(
    visitor: Visitor, guarded_site: str, scheme: str
) -> None:
    visit = visitor(at=guarded_site, color_scheme=scheme, viewport={"width": 390, "height": 840})
    arrive(visit)
    account_button(visit.page).click()
    assert_sound(visit.page)
    assert_fits_the_width(visit.page)
    visit.page.keyboard.press("Escape")
    sign_in(visit, "a-reader-with-quite-a-long-name-of-their-own")
    assert_sound(visit.page)
    account_button(visit.page).click()
    assert_sound(visit.page)
    assert_fits_the_width(visit.page)
