"""Every route with every credential, and what an installation without any allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reader_tokens import SECRET, bearer, token_for

from feed.config import Settings
from feed.domain import InvalidInputError, format_time
from feed.service.access import check_access_settings
from feed.service.access_table import AccessRow, access_rows
from feed.service.addresses import is_loopback
from feed.service.api_keys import hash_key

ME, OTHER = "me", "somebody-else"
KEYS = {scope: f"the-{scope}-key" for scope in ("site", "read", "write", "admin", "metrics")}
CONFIGURED = ",".join(f"{scope}-desk:{scope}:{hash_key(key)}" for scope, key in KEYS.items())


@pytest.fixture
def closed(make_site: Callable[[Settings], Any], settings: Settings) -> Any:
    site = make_site(
        replace(settings, api_keys=CONFIGURED, token_secret=SECRET, anonymous_per_minute=0)
    )
    published = site.client.post(
        "/v1/articles",
        json={
            "articles": [{"article_id": "a", "title": "T", "published_at": "2026-01-01T08:00:00Z"}]
        },
        headers=bearer(KEYS["write"]),
    )
    assert published.status_code == 200
    return site


def credentials(now: float) -> dict[str, tuple[str, str]]:
    """Return every credential by name, with the column of the table it belongs to."""
    mine = token_for(ME, now)
    return {
        "none": ("", "nobody"),
        "an unknown key": ("unknown", "nobody"),
        "the site key": (KEYS["site"], "site"),
        "my token": (mine, "reader"),
        "another reader's token": (token_for(OTHER, now), "another"),
        "an expired token": (token_for(ME, now, lifetime_s=-3600), "nobody"),
        "a token of another algorithm": (token_for(ME, now, algorithm="HS512"), "nobody"),
        "an unsigned token": (token_for(ME, now, secret=None, algorithm="none"), "nobody"),
        "a token of another secret": (token_for(ME, now, secret="x" * 40), "nobody"),
        "a token with a changed body": (tampered(mine, now), "nobody"),
        "a read key": (KEYS["read"], "read"),
        "a write key": (KEYS["write"], "write"),
        "an admin key": (KEYS["admin"], "admin"),
        "a metrics key": (KEYS["metrics"], "metrics"),
    }


def tampered(token: str, now: float) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{token_for('admin', now).split('.')[1]}.{signature}"


def test_a_reader_reaches_no_article_before_its_time(closed: Any) -> None:
    early = {"title": "T", "published_at": format_time(closed.clock.now + 7200)}
    key, mine = bearer(KEYS["write"]), bearer(token_for(ME, closed.clock.now))
    closed.client.put("/v1/articles/early", json=early, headers=key)

    def ask(credential: dict[str, str]) -> set[int]:
        paths = ("/v1/articles/early", "/v1/articles/early/related")
        return {closed.client.get(path, headers=credential).status_code for path in paths}

    assert (ask(mine), ask(key)) == ({404}, {200})
    closed.clock.now += 7200 - 60
    assert ask(bearer(token_for(ME, closed.clock.now))) == {200}


def call(site: Any, row: AccessRow, credential: str) -> int:
    """Ask for something about the reader `me`; the bodies are wrong or empty on purpose."""
    path = row.path.replace("{user_id}", ME).replace("{article_id}", "a")
    path = path.replace("{name}", "trial").replace("{filename}", "style.css")
    query = {"user_id": ME} if row.path == "/v1/feed" else {}
    body = {"json": {"events": [event(ME)]} if row.path == "/v1/events" else {}}
    answer = site.client.open(
        path,
        method=row.method,
        query_string=query,
        headers=bearer(credential),
        **({} if row.method in {"GET", "DELETE"} else body),
    )
    answer.close()
    return int(answer.status_code)


def event(user_id: str) -> dict[str, Any]:
    return {"event_id": f"e-{user_id}", "user_id": user_id, "article_id": "a", "kind": "click"}


def test_every_route_with_every_credential_answers_as_the_table_says(closed: Any) -> None:
    wrong = []
    for row in access_rows(closed.app):
        for name, (credential, column) in credentials(closed.clock.now).items():
            status = call(closed, row, credential)
            if (expected := refusal(row, column)) is None:
                expected_text = "neither 401 nor 403"
                right = status not in {401, 403} or (row.path, name) in INNER_RULES
            else:
                expected_text = str(expected)
                right = status == expected
            if not right:
                wrong.append(f"{row.method} {row.path} with {name}: {status}, not {expected_text}")
    assert wrong == []


INNER_RULES = {("/v1/anonymous", "my token"), ("/v1/anonymous", "another reader's token")}
"""Only an anonymous reader's token is renewed there."""


def refusal(row: AccessRow, column: str) -> int | None:
    """Return the status a caller must be refused with, None for one who may."""
    if row.access["nobody"]:
        return None
    if column == "nobody":
        return 401
    if column == "another":
        if row.access["reader"] == "own" and row.path != "/v1/anonymous":
            return 403
        column = "reader"
    return None if row.access[column] else 403


def test_the_walk_covers_the_routes_that_matter(closed: Any) -> None:
    access = {(row.method, row.path): row.access for row in access_rows(closed.app)}
    assert access["GET", "/v1/feed"]["reader"] == "own"
    assert access["POST", "/v1/events"]["reader"] == "own"
    assert access["GET", "/v1/trending"]["reader"] == "yes"
    assert access["POST", "/v1/articles"]["reader"] == ""
    assert access["GET", "/metrics"] == {
        **dict.fromkeys(access["GET", "/metrics"], ""),
        "admin": "yes",
        "metrics": "yes",
    }
    assert len(access) > 25


@pytest.mark.parametrize("query", [{}, {"user_id": ME}])
def test_a_token_gives_its_own_reader_a_feed(closed: Any, query: dict[str, str]) -> None:
    mine = bearer(token_for(ME, closed.clock.now))
    assert closed.client.get("/v1/feed", query_string=query, headers=mine).status_code == 200


@pytest.mark.parametrize(
    "query", ["user_id=other", "user_id=me&user_id=other", "user_id=other&user_id=me"]
)
def test_no_way_of_asking_gives_somebody_else_s_feed(closed: Any, query: str) -> None:
    mine = bearer(token_for(ME, closed.clock.now))
    seen = closed.client.get(f"/v1/feed?{query}", headers=mine)
    if seen.status_code == 200:  # of two names the first counts, and it is the token's
        assert query.startswith("user_id=me&")
    else:
        assert seen.status_code == 403
        assert seen.json["errors"][0]["field"] == "user_id"


def test_events_of_a_token_are_its_reader_s(closed: Any) -> None:
    mine = bearer(token_for(ME, closed.clock.now))
    nameless = {"event_id": "e1", "article_id": "a", "kind": "click"}
    taken = closed.client.post("/v1/events", json={"events": [nameless]}, headers=mine)
    assert taken.json["results"][0]["status"] == "accepted", taken.json
    assert [h.article_id for h in closed.store.read_reader(ME).history] == ["a"]
    mixed = {"events": [{**nameless, "event_id": "e2"}, event(OTHER)]}
    assert closed.client.post("/v1/events", json=mixed, headers=mine).status_code == 403
    assert len(closed.store.read_reader(ME).history) == 1
    assert len(closed.store.read_reader(OTHER).history) == 0


def test_without_a_token_a_reader_must_be_named(site: Any) -> None:
    site.publish(1)
    unnamed = site.client.get("/v1/feed")
    assert unnamed.status_code == 422
    assert unnamed.json["errors"][0]["field"] == "user_id"
    nameless = {"event_id": "e1", "article_id": "a0", "kind": "click"}
    answer = site.client.post("/v1/events", json={"events": [nameless]})
    assert answer.json["results"][0]["status"] == "rejected"
    assert answer.json["results"][0]["detail"].startswith("user_id")


def test_an_open_installation_takes_tokens_too(site: Any) -> None:
    site.publish(1)
    own = site.client.post("/v1/anonymous").json
    answer = site.client.get("/v1/feed", headers=bearer(own["token"]))
    assert answer.status_code == 200
    assert site.client.get("/v1/feed", headers=bearer(own["token"] + "x")).status_code == 401


def test_a_refusal_says_what_is_wrong(closed: Any) -> None:
    get = closed.client.get
    nobody = get("/v1/feed")
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="feed"'
    late = get("/v1/feed", headers=bearer(token_for(ME, closed.clock.now, lifetime_s=-3600)))
    assert late.json["detail"] == "the token has expired"
    assert 'error="invalid_token"' in late.headers["WWW-Authenticate"]
    site_key = get("/v1/feed?user_id=me", headers=bearer(KEYS["site"]))
    assert "/v1/anonymous" in site_key.json["detail"]


def test_a_key_may_come_in_its_own_header(closed: Any) -> None:
    assert closed.client.get("/v1/pins", headers={"X-API-Key": KEYS["read"]}).status_code == 200


def test_metrics_are_open_where_a_setting_opens_them(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, api_keys=CONFIGURED, public_metrics=True))
    for path in ("/metrics", "/v1/about-ranking"):
        assert site.client.get(path).status_code == 200
        assert site.client.get(path, headers=bearer("unknown")).status_code == 200
    assert site.client.get("/v1/pins").status_code == 401


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses_are_told_from_others(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_world_is_served_only_with_a_credential() -> None:
    world = replace(Settings(), host="0.0.0.0")
    with pytest.raises(InvalidInputError, match="FEED_HOST"):
        check_access_settings(world)
    check_access_settings(replace(world, api_keys=CONFIGURED))
    check_access_settings(replace(world, token_secret=SECRET))
    check_access_settings(replace(world, site_key="publishable"))
    check_access_settings(Settings())


def test_an_installation_for_the_world_is_never_open(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, host="0.0.0.0"))
    assert site.client.get("/v1/pins").status_code == 401
    assert site.client.get("/healthz").status_code == 200


def test_requests_over_the_limit_are_told_to_wait(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, rate_per_minute=3))
    codes = [site.client.get("/v1/pins").status_code for _ in range(5)]
    assert codes.count(429) >= 1
    assert codes[0] == 200
    assert site.client.get("/healthz").status_code == 200


def test_each_reader_has_a_limit_of_their_own(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, rate_per_minute=3, token_secret=SECRET))
    site.services.access.tokens.follow()

    def codes(user_id: str) -> list[int]:
        own = bearer(token_for(user_id, site.clock.now))
        return [site.client.get("/v1/trending", headers=own).status_code for _ in range(7)]

    assert codes("greedy").count(429) >= 1
    assert codes("modest")[0] == 200
