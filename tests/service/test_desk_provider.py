"""Signing in to the desk at a real OpenID Connect provider, which runs beside the tests."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
from node_tools import find_package, find_tool

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.access import check_access_settings
from feed.service.desk.provider_settings import read_roles
from feed.service.desk.visitors import Role
from tests.service.conftest import Clock, Site

HERE = Path(__file__).parents[1] / "desk"
CALLBACK = "http://localhost/desk/sign-in/done"
ROLES = "groups: editors=editor, admins=admin"
WITHOUT_LIBRARY = """
import sys, time
sys.modules["authlib"] = None  # as where the extra is not installed
from feed.config import Settings
from feed.service.desk.provider import IdentityProvider, SignInRefusedError
try:
    IdentityProvider(Settings(oidc_issuer="https://id.example"), time.time).begin("", "")
except SignInRefusedError as refusal:
    print(refusal.status, refusal)
"""


@contextmanager
def running_provider(*arguments: str) -> Iterator[str]:
    find_package(HERE, "oidc-provider")
    command = [find_tool("node"), "provider.mjs", CALLBACK, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=HERE, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # so that the provider ends, and not only what started it
            process.wait(10)


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_provider() as issuer:
        yield issuer


@pytest.fixture
def make_newsroom(
    make_site: Callable[[Settings], Site], settings: Settings, clock: Clock, provider: str
) -> Callable[..., Site]:
    clock.now = time.time()
    own = {
        "oidc_issuer": provider,
        "oidc_client_id": "the-desk",
        "oidc_client_secret": "a-secret-of-the-desk",
        "oidc_roles": ROLES,
    }
    return lambda **changes: make_site(replace(settings, **{**own, **changes}))


@pytest.fixture
def newsroom(make_newsroom: Callable[..., Site]) -> Site:
    return make_newsroom()


def sign_in_at_provider(site: Site, account: str, target: str = "/desk/audit") -> dict[str, str]:
    """Go to the provider, fill in its pages, and return the query with which it sends us back."""
    begun = site.client.get("/desk/sign-in/provider", query_string={"next": target})
    assert begun.status_code == 303, begun.text
    with httpx.Client() as browser:
        answer = browser.get(begun.location)
        for _ in range(12):
            if answer.is_redirect:
                location = urljoin(str(answer.url), answer.headers["Location"])
                if location.startswith(CALLBACK):
                    query = parse_qs(urlsplit(location).query)
                    return {name: values[0] for name, values in query.items()}
                answer = browser.get(location)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action, answer.text
            assert prompt, answer.text
            form = {"prompt": prompt.group(1), "login": account, "password": "any"}
            answer = browser.post(urljoin(str(answer.url), action.group(1)), data=form)
    return pytest.fail("the provider never sent us back")


def come_back(site: Site, answer: dict[str, str]) -> Any:
    return site.client.get("/desk/sign-in/done", query_string=answer)


def change_attempt(site: Site, **changes: str) -> None:
    """Have the browser remember another attempt than the one that it made."""
    cookie = site.client.get_cookie("feed_desk_attempt", path="/")
    assert cookie is not None
    kept = site.services.desk.unsign(cookie.value, 600, "attempt")
    text = site.services.desk.sign({**kept, **changes}, "attempt")
    site.client.set_cookie("feed_desk_attempt", text, path="/")


@pytest.mark.parametrize(
    ("account", "signature"),
    [
        ("anna", "anna@paper.example, editor"),
        ("otto", "otto@paper.example, admin"),
        ("twin", "twin at 127.0.0.1, editor"),  # claims an address that nobody has verified
    ],
)
def test_somebody_with_a_role_is_let_in_and_named(
    newsroom: Site, account: str, signature: str
) -> None:
    assert "Sign in with your account" in newsroom.client.get("/desk/sign-in").text
    done = come_back(newsroom, sign_in_at_provider(newsroom, account, "/desk/audit?by=x"))
    assert (done.status_code, done.location) == (303, "/desk/audit?by=x")
    assert signature in newsroom.client.get("/desk/audit").text
    entry = newsroom.store.read_audit(1, "desk")[0]
    assert (entry.by, entry.action) == (signature.rpartition(",")[0], "signed in")
    assert newsroom.client.get_cookie("feed_desk_attempt", path="/") is None


def test_claims_may_be_in_the_id_token(make_newsroom: Callable[..., Site]) -> None:
    with running_provider("all-in-the-id-token") as issuer:
        site = make_newsroom(oidc_issuer=issuer)
        assert come_back(site, sign_in_at_provider(site, "anna")).status_code == 303


def test_somebody_without_a_role_stays_outside(newsroom: Site) -> None:
    refused = come_back(newsroom, sign_in_at_provider(newsroom, "guest"))
    assert refused.status_code == 403
    assert "guest at 127.0.0.1 has no role here" in refused.text
    assert newsroom.client.get("/desk/audit").status_code == 303
    assert newsroom.store.read_audit(1) == []


@pytest.mark.parametrize("change", [{"state": "another"}, {"state": ""}])
def test_an_answer_to_another_attempt_is_refused(newsroom: Site, change: dict[str, str]) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    refused = come_back(newsroom, {**answer, **change})
    assert refused.status_code == 403
    assert "belongs to no sign-in of this browser" in refused.text
    again = come_back(newsroom, answer)  # an attempt counts once
    assert again.status_code == 403


def test_an_answer_without_any_attempt_is_refused(newsroom: Site) -> None:
    refused = come_back(newsroom, {"state": "", "code": "any"})
    assert refused.status_code == 403


def test_a_token_for_another_attempt_is_refused(newsroom: Site) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    change_attempt(newsroom, nonce="another")
    refused = come_back(newsroom, answer)
    assert refused.status_code == 403
    assert "is not valid" in refused.text


def test_a_code_counts_only_with_the_verifier_of_its_attempt(newsroom: Site) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    change_attempt(newsroom, verifier="another" * 8)
    refused = come_back(newsroom, answer)
    assert refused.status_code == 502
    assert newsroom.client.get("/desk/audit").status_code == 303


def test_an_old_token_is_refused(newsroom: Site) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    newsroom.clock.now += 2 * 3600
    refused = come_back(newsroom, answer)
    assert refused.status_code == 403
    assert "too old" in refused.text


def test_a_token_for_another_client_is_refused(
    newsroom: Site, make_newsroom: Callable[..., Site]
) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    refused = come_back(newsroom, {**answer, "iss": "https://evil.example"})
    assert refused.status_code == 403
    assert "another identity provider" in refused.text


def test_a_refusal_at_the_provider_is_told(newsroom: Site) -> None:
    answer = sign_in_at_provider(newsroom, "anna")
    refused = {"state": answer["state"], "iss": answer["iss"], "error": "access_denied"}
    assert "did not let you in" in come_back(newsroom, refused).text


def test_sessions_end_when_the_roles_are_set_anew(
    newsroom: Site, make_newsroom: Callable[..., Site]
) -> None:
    come_back(newsroom, sign_in_at_provider(newsroom, "anna"))
    cookie = newsroom.client.get_cookie("feed_desk", path="/")
    assert cookie is not None
    changed = make_newsroom(oidc_roles="groups: admins=admin")
    changed.client.set_cookie("feed_desk", cookie.value, path="/")
    assert changed.client.get("/desk/audit").status_code == 303
    same = make_newsroom()
    same.client.set_cookie("feed_desk", cookie.value, path="/")
    assert same.client.get("/desk/audit").status_code == 200


def test_a_provider_that_is_down_is_named_as_the_fault(make_newsroom: Callable[..., Site]) -> None:
    site = make_newsroom(oidc_issuer="http://127.0.0.1:9")
    refused = site.client.get("/desk/sign-in/provider")
    assert refused.status_code == 502
    assert "identity provider does not answer" in refused.text
    assert "API key" in refused.text


def test_behind_a_proxy_that_speaks_https_people_come_back_by_https(
    make_newsroom: Callable[..., Site],
) -> None:
    site = make_newsroom(trusted_proxies="127.0.0.1")
    begun = site.client.get(
        "/desk/sign-in/provider",
        headers={"X-Forwarded-Proto": "https", "Host": "desk.example"},
    )
    query = urlencode({"redirect_uri": "https://desk.example/desk/sign-in/done"})
    assert query in begun.location
    assert "Secure" in begun.headers["Set-Cookie"]


def test_with_a_provider_nothing_is_open(newsroom: Site) -> None:
    assert newsroom.client.get("/desk/audit").status_code == 303
    assert newsroom.client.get("/v1/keys").status_code == 401


def test_without_the_library_the_page_says_how_to_install_it() -> None:
    command = [sys.executable, "-c", WITHOUT_LIBRARY]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("503 ")
    assert "pip install 'feed[oidc]'" in said


def test_roles_are_read_from_a_claim() -> None:
    rule = read_roles("groups: the editors=editor, CN=admins=admin")
    assert rule.role_of({"groups": ["the editors", "CN=admins"]}) is Role.ADMIN
    assert rule.role_of({"groups": "the editors"}) is Role.EDITOR
    assert rule.role_of({"groups": ["others", 3, {}]}) is None
    assert rule.role_of({}) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oidc_issuer": "http://id.example"}, "FEED_OIDC_ISSUER"),
        ({"oidc_issuer": "id.example"}, "FEED_OIDC_ISSUER"),
        ({"oidc_client_id": ""}, "FEED_OIDC_CLIENT_ID"),
        ({"oidc_roles": ""}, "FEED_OIDC_ROLES"),
        ({"oidc_roles": "groups"}, "FEED_OIDC_ROLES"),
        ({"oidc_roles": "groups: editors=king"}, "FEED_OIDC_ROLES"),
        ({"oidc_roles": "groups: =editor"}, "FEED_OIDC_ROLES"),
    ],
)
def test_settings_that_let_nobody_in_are_refused(changes: dict[str, str], named: str) -> None:
    good = Settings(oidc_issuer="https://id.example", oidc_client_id="desk", oidc_roles=ROLES)
    check_access_settings(good)
    with pytest.raises(InvalidInputError, match=named):
        check_access_settings(replace(good, **changes))
