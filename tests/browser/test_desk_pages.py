"""What holds for every page of the desk; a new room is covered as soon as it has a page."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from node_tools import find_package
from playwright.sync_api import Page, expect

from feed.config import Settings
from feed.service.access_table import desk_rows
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore

from .conftest import Visitor

TESTS = Path(__file__).parents[1]
VIEWS = [
    pytest.param("light", 1280, id="light"),
    pytest.param("dark", 1280, id="dark"),
    pytest.param("light", 390, id="phone"),
    pytest.param("dark", 390, id="dark-phone"),
]
SERIOUS = """
async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" ")}`);
}
"""


def faults_of(page: Page) -> list[str]:
    """Return what axe calls serious or critical, and whether the page is too wide."""
    page.evaluate((find_package(TESTS / "desk", "axe-core") / "axe.min.js").read_text())
    found: list[str] = page.evaluate(SERIOUS)
    is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [*found, "wider than the screen"] if is_wide else found


@pytest.fixture(scope="module")
def patterns() -> list[str]:
    """The paths of all pages, as the application declares them."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0")  # no page is asked for here
    app = create_app(settings, RedisStore(settings), time.time)
    found = [path for method, path, _ in desk_rows(app) if method == "GET"]
    return ["/experiments", "/experiments/new", *found]


@pytest.fixture(scope="module")
def pages(site: str, patterns: list[str]) -> list[str]:
    """An address for each of them: of a page about one thing, the first that another links to."""
    fill_rooms(site)
    found, links = [], set[str]()
    for path in [path for path in patterns if "{" not in path]:
        answer = httpx.get(site + path, follow_redirects=False)
        if answer.status_code == 200 and "<html" in answer.text:
            found.append(path)
            links |= {
                link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]+)"', answer.text)
            }
    for path in [path for path in patterns if "{" in path]:
        shape = re.compile(re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(path)))
        linked = sorted(link for link in links if shape.fullmatch(urlsplit(link).path))
        found += [link for link in linked[:1] if "<html" in httpx.get(site + link).text]
    return found


def fill_rooms(site: str) -> None:
    """Do a few things, so that the rooms have something to show."""
    source = {"address": "https://paper.example/feed", "name": "The Paper"}
    httpx.post(f"{site}/v1/sources", json={"sources": [source]}).raise_for_status()
    articles = httpx.get(f"{site}/v1/feed", params={"user_id": "axe"}).json()["items"]
    assert articles


def test_every_room_is_among_the_pages(pages: list[str]) -> None:
    assert {"/desk/audit", "/desk/sources", "/experiments"} <= set(pages)


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_no_page_has_a_serious_fault(
    visitor: Visitor, site: str, pages: list[str], scheme: str, width: int
) -> None:
    visit = visitor(
        color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    faults: dict[str, list[str]] = {}
    for path in pages:
        visit.page.goto(site + path)
        expect(visit.page.locator("[aria-busy=true]")).to_have_count(0, timeout=30_000)
        faults[path] = faults_of(visit.page)
    assert {path: found for path, found in faults.items() if found} == {}
    assert [url for url in asked if not url.startswith((f"{site}/", "data:", "blob:"))] == []


def test_the_rooms_open_on_a_phone_and_by_keyboard(visitor: Visitor, site: str) -> None:
    page = visitor(viewport={"width": 390, "height": 844}).page
    page.goto(f"{site}/desk/audit")
    rooms = page.get_by_role("navigation", name="Rooms")
    expect(rooms).to_be_hidden()
    page.get_by_role("button", name="Audit log").click()
    expect(rooms.get_by_role("link", name="Audit log")).to_have_attribute("aria-current", "page")
    page.keyboard.press("Escape")
    expect(rooms).to_be_hidden()
    page.keyboard.press("Enter")
    rooms.get_by_role("link", name="Sources").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sources")


def test_a_source_is_removed_and_brought_back_without_scripts(visitor: Visitor, site: str) -> None:
    page: Page = visitor(java_script_enabled=False).page
    page.goto(f"{site}/desk/sources")
    page.get_by_label("Address").fill("https://quay.example/rss")
    page.get_by_role("button", name="Add the source").click()
    said = page.get_by_role("status")
    expect(said).to_contain_text("is a source now")
    line = page.get_by_role("row").filter(has_text="https://quay.example/rss")
    line.get_by_role("button", name="Remove").click()
    expect(said).to_contain_text("was removed")
    expect(line).to_have_count(0)
    said.get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Taken back")
    expect(line).to_have_count(1)
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("Restored")


def test_who_has_signed_in_is_not_asked_for_a_key(visitor: Visitor, guarded_site: str) -> None:
    page = visitor(at=guarded_site, expected_complaints=("401",)).page
    page.goto(f"{guarded_site}/experiments")
    page.get_by_role("dialog").get_by_role("link", name="sign in to the desk").click()
    assert faults_of(page) == []
    page.get_by_label("API key").fill("write-key-that-stays-on-the-servers")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Experiments")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".desk-visitor")).to_contain_text("editor")
