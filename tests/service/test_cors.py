"""Pages of other origins: who may call, and what a browser is told in advance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reader_tokens import SECRET, bearer, token_for

from feed.config import Settings
from feed.service.api_keys import hash_key

NEWS = {"Origin": "https://news.example"}
ASKS = {
    **NEWS,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}
READ = f"read:{hash_key('k')}"


@pytest.fixture
def make_closed(make_site: Callable[[Settings], Any], settings: Settings) -> Callable[[str], Any]:
    return lambda origins: make_site(
        replace(settings, cors_origins=origins, token_secret=SECRET, rate_per_minute=2)
    )


def test_a_listed_origin_may_send_a_token(make_closed: Callable[[str], Any]) -> None:
    site = make_closed("https://news.example/, https://b.example")
    preflight = site.client.options("/v1/feed", headers=ASKS)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://news.example"
    allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Authorization", "Content-Encoding", "Content-Type"} <= {*allowed}
    assert {"GET", "POST", "PUT", "DELETE"} <= set(
        preflight.headers["Access-Control-Allow-Methods"].split(", ")
    )
    assert int(preflight.headers["Access-Control-Max-Age"]) >= 600
    own = bearer(token_for("me", site.clock.now))
    answer = site.client.get("/v1/feed", headers={**NEWS, **own})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://news.example"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]


def test_a_preflight_needs_no_credential_and_counts_for_no_limit(
    make_closed: Callable[[str], Any],
) -> None:
    site = make_closed("https://news.example")
    codes = {site.client.options("/v1/feed", headers=ASKS).status_code for _ in range(8)}
    assert codes == {204}


def test_a_refusal_can_be_read_by_the_page(make_closed: Callable[[str], Any]) -> None:
    site = make_closed("https://news.example")
    answer = site.client.get("/v1/feed", headers=NEWS)
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://news.example"


@pytest.mark.parametrize("origins", ["", "https://news.example"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://news.example.evil"])
def test_any_other_origin_is_told_nothing(
    make_closed: Callable[[str], Any], origins: str, origin: str
) -> None:
    site = make_closed(origins)
    for headers in ({**ASKS, "Origin": origin}, {"Origin": origin}):
        for method in ("OPTIONS", "GET"):
            answer = site.client.open("/v1/trending", method=method, headers=headers)
            assert not [h for h in dict(answer.headers) if h.startswith("Access-Control-")]


def test_credentials_are_never_allowed_least_of_all_with_a_star(
    make_closed: Callable[[str], Any],
) -> None:
    for origins in ("*", "https://news.example"):
        site = make_closed(origins)
        for answer in (
            site.client.options("/v1/feed", headers=ASKS),
            site.client.get("/v1/trending", headers=NEWS),
        ):
            assert "Access-Control-Allow-Credentials" not in answer.headers
            expected = "*" if origins == "*" else "https://news.example"
            assert answer.headers["Access-Control-Allow-Origin"] == expected


@pytest.mark.parametrize(
    ("headers", "listed", "status"),
    [
        ({}, "", 404),  # no browser
        ({"Origin": "http://localhost"}, "", 404),  # this service's own pages
        ({"Origin": "https://feed.example", "Sec-Fetch-Site": "same-origin"}, "", 404),  # by proxy
        (NEWS, "", 403),
        ({"Origin": "null"}, "", 403),
        ({**NEWS, "Sec-Fetch-Site": "cross-site"}, "", 403),
        ({"Origin": "http://localhost:81", "Sec-Fetch-Site": "same-site"}, "", 403),
        ({**NEWS, "Sec-Fetch-Site": "cross-site"}, "https://news.example", 404),
    ],
)
def test_pages_of_other_origins_change_nothing_where_no_credential_is_needed(
    make_site: Callable[[Settings], Any],
    settings: Settings,
    headers: dict[str, str],
    listed: str,
    status: int,
) -> None:
    site = make_site(replace(settings, cors_origins=listed))
    for path in (
        *(f"experiments/none/{act}" for act in ("start", "stop", "archive", "unarchive")),
        *(f"sources/none/{act}" for act in ("pause", "resume", "check")),
        "articles/none/restore",
    ):
        answer = site.client.post(f"/v1/{path}", headers=headers)
        assert answer.status_code == status, path
    assert site.client.get("/v1/experiments", headers=headers).status_code == 200
    if status == 403:
        assert answer.json["errors"][0]["field"] == "Origin"
