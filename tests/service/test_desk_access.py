"""Who gets into the desk, and which forms it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.catalogue.decisions import Editor
from feed.config import Settings
from feed.service.api_keys import hash_key
from tests.service.conftest import Site

BOSS = Editor("boss", 0.0)
KEYS = {"ann": "read", "ed": "write", "boss": "admin", "scraper": "metrics"}


@pytest.fixture
def keyed(make_site: Callable[[Settings], Site], settings: Settings) -> Site:
    keys = ",".join(f"{name}:{scope}:{hash_key(name * 9)}" for name, scope in KEYS.items())
    return make_site(replace(settings, api_keys=keys))


def sign_in(site: Site, name: str, target: str = "/desk/audit") -> Any:
    return site.client.post("/desk/sign-in", data={"key": name * 9, "next": target})


def token_of(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found, page
    return found.group(1)


def test_without_keys_the_desk_is_open_and_says_so(site: Site) -> None:
    page = site.client.get("/desk/audit")
    assert page.status_code == 200
    assert "Open to everybody on this machine" in page.text


def test_with_keys_a_page_asks_for_one_and_comes_back(keyed: Site) -> None:
    asked = keyed.client.get("/desk/audit?subject=pins")
    assert asked.status_code == 303
    assert asked.location == "/desk/sign-in?next=/desk/audit%3Fsubject%3Dpins"
    done = sign_in(keyed, "ann", "/desk/audit?subject=pins")
    assert (done.status_code, done.location) == (303, "/desk/audit?subject=pins")
    cookie = done.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    page = keyed.client.get("/desk/audit")
    assert "ann, analyst" in page.text
    assert [e.action for e in keyed.store.read_audit(5, "desk")] == ["signed in"]


@pytest.mark.parametrize("name", ["nobody", "scraper"])
def test_other_keys_open_nothing(keyed: Site, name: str) -> None:
    refused = sign_in(keyed, name)
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers
    assert keyed.client.get("/desk/audit").status_code == 303


def test_a_session_ends_with_its_key(keyed: Site) -> None:
    made = keyed.services.access.keys
    from_store = made.add("guest", next(k.scope for k in made.all() if k.name == "ann"), BOSS)
    keyed.client.post("/desk/sign-in", data={"key": from_store})
    assert keyed.client.get("/desk/audit").status_code == 200
    made.remove("guest", BOSS)
    assert keyed.client.get("/desk/audit").status_code == 303


def test_a_changed_or_old_cookie_opens_nothing(keyed: Site) -> None:
    sign_in(keyed, "boss")
    cookie = keyed.client.get_cookie("feed_desk", path="/")
    assert cookie is not None
    keyed.client.set_cookie("feed_desk", cookie.value[:-2] + "AA", path="/")
    assert keyed.client.get("/desk/audit").status_code == 303


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/desk\\@evil", "/x"])
def test_signing_in_leads_to_the_desk_alone(keyed: Site, target: str) -> None:
    assert sign_in(keyed, "ann", target).location == "/desk"


def test_a_form_of_another_page_is_refused(keyed: Site) -> None:
    sign_in(keyed, "ann")
    token = token_of(keyed.client.get("/desk/audit").text)
    assert keyed.client.post("/desk/sign-out").status_code == 403
    assert keyed.client.post("/desk/sign-out", data={"form_token": "0" * 32}).status_code == 403
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    answer = keyed.client.post("/desk/sign-out", data={"form_token": token}, headers=elsewhere)
    assert answer.status_code == 403
    assert keyed.client.post("/desk/sign-out", data={"form_token": token}).status_code == 303
    assert "ann has signed out." in keyed.client.get("/desk/sign-in").text


def test_an_analyst_takes_nothing_back(keyed: Site) -> None:
    sign_in(keyed, "ann")
    token = token_of(keyed.client.get("/desk/audit").text)
    refused = keyed.client.post("/desk/undo", data={"form_token": token, "entry": "0"})
    assert refused.status_code == 403
    assert "This needs the role editor" in refused.text


def test_only_so_many_tries_a_minute(keyed: Site) -> None:
    for _ in range(10):
        assert "not known" in sign_in(keyed, "nobody").text
    assert "too many tries" in sign_in(keyed, "ann").text
