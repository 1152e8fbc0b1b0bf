"""Who gets into the desk, and which forms it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.catalogue.decisions import Editor
from feed.catalogue.pinning import add_pin
from feed.config import Settings
from feed.domain import ConflictError, Pin
from feed.service.access_table import desk_rows
from feed.service.api_keys import hash_key
from feed.service.credentials import Scope
from feed.service.desk.undo import undo_entry
from feed.storage.records import AuditEntry
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


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_no_other_site_signs_somebody_in(keyed: Site, headers: dict[str, str]) -> None:
    refused = keyed.client.post("/desk/sign-in", data={"key": "ed" * 9}, headers=headers)
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers


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


def test_what_was_signed_for_another_purpose_opens_nothing(keyed: Site) -> None:
    held = {"key": "boss", "digest": hash_key("boss" * 9)[:16], "token": "0"}
    for purpose, status in (("messages", 303), ("attempt", 303), ("session", 200)):
        text = keyed.services.desk.sign(held, purpose)
        keyed.client.set_cookie("feed_desk", text, path="/")
        assert keyed.client.get("/desk/audit").status_code == status


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
    assert keyed.client.get("/desk/audit").status_code == 303
    assert [e.action for e in keyed.store.read_audit(5, "desk")] == ["signed out", "signed in"]


def test_a_copied_cookie_opens_nothing_after_its_owner_has_signed_out(keyed: Site) -> None:
    sign_in(keyed, "ann")
    cookie = keyed.client.get_cookie("feed_desk", path="/")
    assert cookie is not None
    token = token_of(keyed.client.get("/desk/audit").text)
    sign_in(keyed, "ann")
    other = keyed.client.get_cookie("feed_desk", path="/")
    assert other is not None
    keyed.client.set_cookie("feed_desk", cookie.value, path="/")
    assert keyed.client.post("/desk/sign-out", data={"form_token": token}).status_code == 303
    keyed.client.set_cookie("feed_desk", cookie.value, path="/")
    assert keyed.client.get("/desk/audit").status_code == 303
    asked = {"X-Form-Token": token}
    assert keyed.client.get("/v1/experiments", headers=asked).status_code == 401
    keyed.client.set_cookie("feed_desk", other.value, path="/")
    assert keyed.client.get("/desk/audit").status_code == 200, "another session of hers goes on"


def test_a_session_counts_for_the_api_with_the_token_of_its_page(keyed: Site) -> None:
    sign_in(keyed, "ann")
    token = {"X-Form-Token": token_of(keyed.client.get("/desk/audit").text)}
    assert keyed.client.get("/v1/experiments").status_code == 401
    assert keyed.client.get("/v1/experiments", headers={"X-Form-Token": "0"}).status_code == 401
    for strange in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}):
        refused = keyed.client.get("/v1/experiments", headers={**token, **strange})
        assert refused.status_code == 401
    own = {**token, "Sec-Fetch-Site": "same-origin"}
    assert keyed.client.get("/v1/experiments", headers=own).status_code == 200
    assert keyed.client.get("/v1/experiments", headers=token).status_code == 200
    assert keyed.client.put("/v1/pins", json={"pins": []}, headers=own).status_code == 403
    sign_in(keyed, "ed")
    assert keyed.client.put("/v1/pins", json={"pins": []}, headers=own).status_code == 401
    token = {"X-Form-Token": token_of(keyed.client.get("/desk/audit").text)}
    assert keyed.client.put("/v1/pins", json={"pins": []}, headers=token).status_code == 200


def test_the_page_about_experiments_has_the_session_of_the_desk(keyed: Site) -> None:
    page = keyed.client.get("/experiments")
    assert page.status_code == 200
    assert "form-token" not in page.text
    assert 'href="/desk/sign-in?next=/experiments"' in page.text
    assert sign_in(keyed, "ann", "/experiments").location == "/experiments"
    page = keyed.client.get("/experiments")
    assert 'meta name="form-token"' in page.text
    assert 'href="/experiments" aria-current="page"' in page.text
    assert page.headers["Cache-Control"] == "private, no-store"


def test_every_page_and_form_asks_for_the_role_that_the_table_says(keyed: Site) -> None:
    wrong, rows = [], desk_rows(keyed.app)
    for method, path, role in rows:
        for name in ("ann", "ed", "boss"):
            key = next(key for key in keyed.services.access.keys.all() if key.name == name)
            text = keyed.services.desk.begin(key)
            visitor = keyed.services.desk.read(text, keyed.services.access.keys)
            assert visitor is not None
            keyed.client.set_cookie("feed_desk", text, path="/")
            place = re.sub(r"{\w+}", "none", path)
            form = {"form_token": visitor.token} if method == "POST" else {}
            status = keyed.client.open(place, method=method, data=form).status_code
            if (status == 403) is (role is None or visitor.may(role)):
                wrong.append(f"{method} {path} as {visitor.role}: {status}")
        keyed.client.delete_cookie("feed_desk", path="/")
        status = keyed.client.open(place, method=method).status_code
        if role and status != (303 if method == "GET" else 401):
            wrong.append(f"{method} {path} as nobody: {status}")
    assert [line for line in wrong if "sign-in" not in line] == []
    assert len(rows) > 5


def test_rooms_that_somebody_may_not_enter_are_not_named(keyed: Site) -> None:
    sign_in(keyed, "ed")
    assert "/desk/readers" not in keyed.client.get("/desk/audit").text
    sign_in(keyed, "boss")
    assert "/desk/readers" in keyed.client.get("/desk/audit").text


def test_pages_are_never_framed_kept_or_given_to_other_sites(keyed: Site) -> None:
    sign_in(keyed, "ann")
    headers = keyed.client.get("/desk/audit").headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "'unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_an_open_desk_answers_to_names_of_this_machine_alone(
    site: Site, keyed: Site, host: str
) -> None:
    for path in ("/desk/audit", "/v1/keys"):
        refused = site.client.get(path, headers={"Host": host})
        assert refused.status_code == 403
        assert "the Host header must be localhost" in refused.json["detail"]
    for own in ("localhost:8000", "127.0.0.1", "[::1]:8000", "feed.localhost"):
        assert site.client.get("/desk/audit", headers={"Host": own}).status_code == 200
    assert keyed.client.get("/desk/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "proto", "secure"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "http", False), ("", "https", False)],
)
def test_a_cookie_is_for_https_alone_where_a_trusted_proxy_says_so(
    make_site: Callable[[Settings], Site],
    settings: Settings,
    proxies: str,
    proto: str,
    *,
    secure: bool,
) -> None:
    key = f"ann:read:{hash_key('ann' * 9)}"
    site = make_site(replace(settings, api_keys=key, trusted_proxies=proxies))
    headers = {"X-Forwarded-Proto": proto, "Host": "desk.example"}
    done = site.client.post("/desk/sign-in", data={"key": "ann" * 9}, headers=headers)
    assert done.status_code == 303
    assert ("Secure" in done.headers["Set-Cookie"]) is secure


def test_undo_removes_no_key_that_was_made_since(keyed: Site) -> None:
    keys = keyed.services.access.keys
    keys.add("guest", Scope.READ, Editor("boss", 1.0))
    (made,) = keyed.store.read_audit(1, "keys")
    keys.remove("guest", Editor("boss", 2.0))
    keys.add("guest", Scope.WRITE, Editor("boss", 3.0))
    (again,) = keyed.store.read_audit(1, "keys")
    with pytest.raises(ConflictError, match="made anew"):
        undo_entry(keyed.services, made.id, "boss")
    undo_entry(keyed.services, again.id, "boss")
    assert keyed.store.read_keys() == []


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


def test_a_person_s_entries_are_found(keyed: Site) -> None:
    for name in ("ann", "ed", "ann"):
        sign_in(keyed, name)
    page = keyed.client.get("/desk/audit?by=ed").text
    assert page.count("Signed in") == 1
    assert keyed.client.get("/desk/audit?subject=pins").text.count("Signed in") == 0
    assert keyed.client.get("/desk/audit?subject=desk").text.count("Signed in") == 3


def test_admins_alone_see_who_looked_at_which_reader(keyed: Site) -> None:
    keyed.store.append_audit(AuditEntry(1.0, "boss", "looked at", "readers/r-17"))
    for name, sees in (("ann", False), ("ed", False), ("boss", True)):
        sign_in(keyed, name)
        for query in ("", "?subject=readers/r-17", "?by=boss"):
            page = keyed.client.get(f"/desk/audit{query}").text
            assert ('Looked at: <a href="/desk/readers/r-17">reader r-17</a>' in page) is sees
        key = {"Authorization": f"Bearer {name * 9}"}
        entries = keyed.client.get("/v1/audit?by=boss", headers=key).json["entries"]
        assert ("readers/r-17" in [entry["subject"] for entry in entries]) is sees
        assert all(len(entry["id"]) == 16 for entry in entries)


def test_the_log_has_pages(site: Site) -> None:
    for number in range(120):
        entry = AuditEntry(float(number), "ann", "changed", f"keys/{number}")
        site.store.append_audit(entry)
    first = site.client.get("/desk/audit?by=ann").text
    assert "key 119" in first
    assert ": key 69" not in first
    assert 'href="/desk/audit?by=ann&amp;start=50"' in first
    last = site.client.get("/desk/audit?by=ann&start=100").text
    assert "Entries 101 to 120" in last
    assert 'rel="next"' not in last
    assert 'href="/desk/audit?by=ann&amp;start=50"' in last


def test_the_log_names_things_in_words_and_leads_to_their_pages(site: Site) -> None:
    site.publish(1, title="A calm night")
    for number, (action, subject, after) in enumerate(
        [
            ("pinned", "pins/a0", {"slot": 1}),
            ("added", "sources/f00", {"name": "The Paper", "address": "https://paper.example"}),
            ("made live", "models", {"live": "v1"}),
            ("signed in", "desk", None),
        ]
    ):
        entry = AuditEntry(1_790_000_000.0 + number, "ann", action, subject, None, after)
        site.store.append_audit(entry)
    page = site.client.get("/desk/audit?by=ann").text
    assert 'Pinned: <a href="/desk/articles/a0">pin of “A calm night”</a>' in page
    assert 'Added: <a href="/desk/sources">source The Paper</a>' in page
    assert 'Made live: <a href="/desk/models">models</a>' in page
    assert "Signed in <a" in page
    assert '<time datetime="2026-09-21T14:13:20.000Z"' in page
    assert ">21 Sep 2026, 14:13</time>" in page


def test_undo_names_what_it_took_back(site: Site) -> None:
    site.publish(1, title="A calm night")
    now = site.clock.now
    pin = Pin(article_id="a0", slot=0, starts_at=now, ends_at=now + 3600)
    add_pin(site.store, pin, Editor("ann", now))
    (entry,) = site.store.read_audit(1, "pins")
    token = token_of(site.client.get("/desk/audit").text)
    site.client.post("/desk/undo", data={"form_token": token, "entry": entry.id})
    assert "Taken back: the change to the pin of “A calm night”." in site.client.get("/desk").text
