"""The desk while the store is away: every page opens or says what is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import Settings
from feed.service.access_table import desk_rows
from feed.service.api_keys import hash_key
from feed.service.app import create_app
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from tests.service.conftest import NOW, Clock, Site
from tests.service.test_desk_access import sign_in, token_of
from tests.service.test_followers import Failing

PARTS = {
    "/desk/now/day",
    "/desk/models/runs",
    "/desk/front-page/live",
    "/desk/front-page/price",
}
"""Parts of pages that need nothing from the store: the page around them says that it is away."""


def paths() -> list[str]:
    """Return the addresses of all pages of the desk; of those about one thing, one of them."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0")  # nothing is asked for here
    app = create_app(settings, RedisStore(settings), time.time)
    found = [path for method, path, _ in desk_rows(app) if method == "GET"]
    provider = {"/desk/sign-in/provider", "/desk/sign-in/done"}
    one = {"/desk/article": "/desk/article?id=."}
    return [re.sub(r"{\w+}", "a0", one.get(path, path)) for path in found if path not in provider]


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose admin has signed in, and whose store is gone."""
    directory: Path = tmp_path_factory.mktemp("lonely")
    key = f"boss:admin:{hash_key('boss' * 9)}"
    with EmbeddedStore(directory / "own") as server:
        settings = Settings(
            redis_url=server.url,
            data_dir=directory,
            encoder="none",
            api_keys=key,
            store_timeout_ms=500,
        )
        store = RedisStore(replace(settings, request_budget_ms=10_000))
        Site(replace(settings, api_keys=""), store, Clock(NOW)).publish(3)
        site = Site(settings, store, Clock(NOW))
        sign_in(site, "boss")
        site.form_token = token_of(site.client.get("/desk").text)  # type: ignore[attr-defined]
    site.clock.now += 10  # older than what is kept of the present state
    yield site
    store.close()


@pytest.mark.parametrize("path", paths())
def test_every_page_opens_and_says_that_the_store_is_away(lonely: Site, path: str) -> None:
    answer = lonely.client.get(path, follow_redirects=path == "/desk/sign-in")
    assert answer.mimetype == "text/html"
    assert answer.status_code in {200, 404, 503}
    if path not in PARTS and answer.status_code != 404:
        assert "The store does not answer" in answer.text


def test_signing_out_ends_the_session_of_the_browser_and_says_what_it_cannot_end(
    lonely: Site,
) -> None:
    cookie = lonely.client.get_cookie("feed_desk", path="/")
    assert cookie is not None
    form = {"form_token": lonely.form_token}  # type: ignore[attr-defined]
    assert lonely.client.post("/desk/sign-out", data=form).status_code == 303
    page = lonely.client.get("/desk/sign-in").text
    assert "stays valid for up to 12 hours" in page
    assert lonely.client.get("/desk").status_code == 303
    lonely.client.set_cookie("feed_desk", cookie.value, path="/")
    assert lonely.client.get("/desk").status_code == 200, "people must see what is wrong"


def test_one_slow_answer_of_the_store_is_no_outage(store: RedisStore, settings: Settings) -> None:
    slow = Failing(store)
    app = create_app(settings, slow, Clock(NOW))  # type: ignore[arg-type]
    app.extensions["feed"].keeper.refresh()
    slow.failing = "ping"
    page = app.test_client().get("/desk/audit")
    assert slow.failing is None, "the store was asked"
    assert page.status_code == 200
    assert "The store does not answer" not in page.text
