"""Three plays at the desk: an editor's morning, a support case, and a night when much is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from feed.config import DAY_S
from feed.domain import format_time
from feed.models.bundle import empty_bundle
from feed.models.registry import ModelRegistry, with_manifest

from .conftest import Visitor, run_beside, running_site

PATIENCE_S = 30.0
READER = "morning-reader"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plays")


@pytest.fixture(scope="module")
def desk(directory: Path) -> Iterator[str]:
    """The address of an open service of its own, so that no other test sees what is decided."""
    with running_site(directory, source_networks="127.0.0.1") as address:
        yield address


@pytest.fixture
def closed_paper() -> Iterator[str]:
    """The address of a feed whose server says that it is gone for good."""

    def answer(environ: Any, start_response: Any) -> Any:
        return Response("gone", status=410)(environ, start_response)

    with ExitStack() as stack:
        http = make_server("127.0.0.1", 0, answer, threaded=True)
        stack.callback(http.server_close)
        run_beside(stack, http.serve_forever, http.shutdown)
        yield f"http://127.0.0.1:{http.server_port}/feed"


def first_page(desk: str, reader: str = READER) -> list[dict[str, Any]]:
    query = {"user_id": reader, "limit": 20}
    answer = httpx.get(f"{desk}/v1/feed", params=query).raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def ids_of(items: list[dict[str, Any]]) -> list[str]:
    return [item["article"]["article_id"] for item in items]


def wait_for(desk: str, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Ask for feeds until one is as it should be; a decision needs a moment to get there."""
    end = time.monotonic() + PATIENCE_S
    while not condition(first_page(desk)):
        assert time.monotonic() < end, ids_of(first_page(desk))
        time.sleep(0.1)


def undo(page: Page) -> None:
    said = page.get_by_role("status")
    said.get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Taken back")


def test_an_editors_morning(visitor: Visitor, desk: str) -> None:
    """Find an article, pin it, bury another, set a limit, and take each back."""
    page: Page = visitor(at=desk).page
    before = first_page(desk)
    low, top = before[-1]["article"], before[0]["article"]

    page.goto(f"{desk}/desk/articles")
    page.get_by_label("Words of the title").fill(low["title"])
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name=low["title"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(low["title"])
    page.get_by_label("Place").fill("1")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("pin", ignore_case=True)
    wait_for(desk, lambda items: ids_of(items)[0] == low["article_id"])
    assert first_page(desk)[0]["reasons"][0]["code"] == "editors_pick"
    undo(page)
    wait_for(desk, lambda items: ids_of(items)[0] != low["article_id"])

    page.goto(f"{desk}/desk/articles?text={top['article_id']}")
    page.get_by_role("link", name=top["title"]).click()
    lowest = (
        page.get_by_label("Move it")
        .locator("option")
        .evaluate_all("options => options.map(o => o.value).sort((a, b) => a - b)[0]")
    )
    page.get_by_label("Move it").select_option(lowest)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status")).to_be_visible()
    wait_for(desk, lambda items: top["article_id"] not in ids_of(items)[:10])
    undo(page)
    wait_for(desk, lambda items: top["article_id"] in ids_of(items)[:10])

    section = top["section"]
    page.goto(f"{desk}/desk/front-page")
    page.get_by_label("Rule").select_option(label="At most")
    page.get_by_label("How many").fill("5")
    page.get_by_label("Of what").select_option(label="section")
    page.get_by_label("Which one").fill(section)
    page.get_by_role("button", name="Add the limit").click()
    expect(page.get_by_role("status")).to_be_visible()
    wait_for(desk, lambda items: [i["article"]["section"] for i in items].count(section) <= 1)
    undo(page)
    expect(page.get_by_text("There is no limit yet")).to_be_visible()

    page.goto(f"{desk}/desk/audit")
    assert page.get_by_role("row").count() >= 7  # the head, and three decisions taken and undone


def test_a_support_case(visitor: Visitor, desk: str) -> None:
    """Why does a reader see this, and why not that?"""
    seen = first_page(desk)[0]["article"]
    click = {
        "event_id": "support-1",
        "user_id": READER,
        "article_id": seen["article_id"],
        "kind": "click",
        "occurred_at": format_time(time.time()),
    }
    httpx.post(f"{desk}/v1/events", json={"events": [click]}).raise_for_status()

    page: Page = visitor(at=desk).page
    page.goto(f"{desk}/desk/readers")
    page.get_by_label("Reader id").fill(READER)
    page.get_by_role("button", name="Look at this reader").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(READER)
    shown = page.get_by_role("listitem").first
    shown.locator("summary").first.click()
    expect(shown).to_contain_text("score", ignore_case=True)
    page.get_by_label("Article id").fill(seen["article_id"])
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("main")).to_contain_text("read", ignore_case=True)

    looks = httpx.get(f"{desk}/v1/audit", params={"subject": f"readers/{READER}"}).json()
    assert {entry["action"] for entry in looks["entries"]} == {"looked at"}
    assert len(looks["entries"]) >= 2


def test_a_night(visitor: Visitor, directory: Path, desk: str, closed_paper: str) -> None:
    """A source is gone, the model is too old and the store is full: the desk says what to do."""
    closed = {"address": closed_paper, "name": "The Night Post"}
    httpx.post(f"{desk}/v1/sources", json={"sources": [closed]}).raise_for_status()
    registry = ModelRegistry(directory / "models")
    trained = format_time(time.time() - 9 * DAY_S)
    bundle = with_manifest(replace(empty_bundle(), version="v-night"), created_at=trained)
    registry.publish(bundle)
    registry.set_live("v-night")
    page: Page = visitor(at=desk).page
    page.goto(f"{desk}/desk")
    main = page.get_by_role("main")
    expect(main).to_contain_text("The model is 9 days old", timeout=PATIENCE_S * 1000)
    expect(main).to_contain_text("feed retrain")
    expect(main).to_contain_text("The source The Night Post is gone", timeout=PATIENCE_S * 1000)
    expect(main).to_contain_text("feed sources")
    socket = next(directory.rglob("*.sock"))
    with redis.Redis(unix_socket_path=str(socket)) as store:
        store.config_set("maxmemory", "1mb")
        try:
            expect(main).to_contain_text("The store refuses writes", timeout=PATIENCE_S * 1000)
            expect(main).to_contain_text("FEED_STORE_MEMORY_MB")
        finally:
            store.config_set("maxmemory", "0")
    expect(main).not_to_contain_text("The store refuses writes", timeout=PATIENCE_S * 1000)
    main.get_by_role("link", name="Go to Sources").click()
    line = page.get_by_role("row").filter(has_text="The Night Post")
    expect(line).to_contain_text("gone")
    expect(line.get_by_role("button", name="Remove")).to_be_visible()
