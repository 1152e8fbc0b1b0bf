"""Who may merge an anonymous reader, and what the merged id's own token is worth afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reader_tokens import SECRET, bearer, token_for

from feed.config import Settings
from feed.service.api_keys import hash_key

KEYS = {scope: f"the-{scope}-key" for scope in ("site", "read", "write", "admin")}
CONFIGURED = ",".join(f"{scope}:{hash_key(key)}" for scope, key in KEYS.items())


@pytest.fixture
def closed(make_site: Callable[[Settings], Any], settings: Settings) -> Any:
    site = make_site(replace(settings, api_keys=CONFIGURED, token_secret=SECRET))
    articles = [
        {"article_id": f"a{n}", "title": "T", "published_at": "2026-09-20T08:00:00Z"}
        for n in range(4)
    ]
    answer = site.client.post(
        "/v1/articles", json={"articles": articles}, headers=bearer(KEYS["write"])
    )
    assert answer.status_code == 200
    return site


@pytest.fixture
def stranger(closed: Any) -> dict[str, str]:
    """An anonymous reader who clicked a1."""
    made: dict[str, str] = closed.client.post("/v1/anonymous", headers=bearer(KEYS["site"])).json
    click = {"event_id": "e1", "article_id": "a1", "kind": "click"}
    answer = closed.client.post(
        "/v1/events", json={"events": [click]}, headers=bearer(made["token"])
    )
    assert answer.json["accepted"] == 1
    return made


def merge(site: Any, body: dict[str, Any], credential: str, into: str = "ada") -> Any:
    return site.client.post(f"/v1/users/{into}/merge", json=body, headers=bearer(credential))


def ada(site: Any) -> str:
    return token_for("ada", site.clock.now)


def test_the_tokens_of_both_merge(closed: Any, stranger: dict[str, str]) -> None:
    answer = merge(closed, {"token": stranger["token"]}, ada(closed))
    assert answer.status_code == 200
    assert answer.json == {"user_id": "ada", "merged": stranger["user_id"], "status": "merged"}
    assert closed.store.read_reader("ada").read_ids == {"a1"}
    again = merge(closed, {"token": stranger["token"]}, ada(closed))
    assert again.json["status"] == "already_merged"


def test_a_write_key_merges_by_id(closed: Any, stranger: dict[str, str]) -> None:
    assert merge(closed, {"from": stranger["user_id"]}, KEYS["write"]).json["status"] == "merged"


@pytest.mark.parametrize("credential", ["", KEYS["site"], KEYS["read"]])
def test_less_than_that_merges_nothing(
    closed: Any, stranger: dict[str, str], credential: str
) -> None:
    for body in ({"from": stranger["user_id"]}, {"token": stranger["token"]}):
        assert merge(closed, body, credential).status_code in {401, 403}
    assert closed.store.read_reader("ada").read_ids == frozenset()


def test_a_reader_s_token_alone_merges_nobody(closed: Any, stranger: dict[str, str]) -> None:
    assert merge(closed, {"from": stranger["user_id"]}, ada(closed)).status_code == 403
    other = token_for("bob", closed.clock.now)
    assert merge(closed, {"token": other}, ada(closed)).status_code == 403
    assert merge(closed, {"token": stranger["token"]}, other).status_code == 403
    forged = token_for(stranger["user_id"], closed.clock.now, secret="x" * 40, anonymous=True)
    assert merge(closed, {"token": forged}, ada(closed)).status_code == 422
    assert closed.store.read_reader("ada").read_ids == frozenset()


@pytest.mark.parametrize(
    "body", [{}, {"from": "a", "token": "b"}, {"from": "a b"}, {"token": ""}, {"from": 7}]
)
def test_a_wrong_body_is_refused(closed: Any, body: dict[str, Any]) -> None:
    assert merge(closed, body, KEYS["write"]).status_code == 422


def test_a_merged_id_s_token_reads_nothing_and_its_late_events_count(
    closed: Any, stranger: dict[str, str]
) -> None:
    merge(closed, {"token": stranger["token"]}, ada(closed))
    own, user_id = bearer(stranger["token"]), stranger["user_id"]
    for method, path in [
        ("GET", "/v1/feed"),
        ("GET", "/v1/feed?mode=latest"),
        ("GET", f"/v1/users/{user_id}/preferences"),
        ("GET", f"/v1/users/{user_id}/export"),
        ("DELETE", f"/v1/users/{user_id}"),
    ]:
        refused = closed.client.open(path, method=method, headers=own)
        assert refused.status_code == 403, path
        assert "signed in" in refused.json["detail"]
    assert closed.client.post("/v1/anonymous", headers=own).status_code == 403
    put = closed.client.put(f"/v1/users/{user_id}/preferences", json={}, headers=own)
    assert put.status_code == 403
    late = {"event_id": "e2", "article_id": "a2", "kind": "click"}
    taken = closed.client.post("/v1/events", json={"events": [late]}, headers=own)
    assert taken.json["accepted"] == 1
    assert closed.store.read_reader("ada").read_ids == {"a1", "a2"}


def test_a_key_is_led_from_a_merged_id_to_its_reader(closed: Any, stranger: dict[str, str]) -> None:
    merge(closed, {"token": stranger["token"]}, ada(closed))
    followed = closed.client.get(
        f"/v1/feed?user_id={stranger['user_id']}", headers=bearer(KEYS["read"])
    )
    assert followed.status_code == 200
    shown = {item["article"]["article_id"] for item in followed.json["items"]}
    assert "a1" not in shown
