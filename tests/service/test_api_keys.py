"""API keys: in the settings and in the store, with names and the time of their last use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reader_tokens import bearer

from feed.catalogue.decisions import Editor
from feed.config import Settings
from feed.domain import ConflictError, InvalidInputError
from feed.service.api_keys import KeyRing, hash_key, make_key, parse_keys
from feed.service.credentials import KEY_SCOPES, Scope
from feed.storage.redis_store import RedisStore

NOW = 1_790_000_000.0
ADMIN = "admin-key"
ADMIN_ENTRY = f"boss:admin:{hash_key(ADMIN)}"


@pytest.fixture
def closed(make_site: Callable[[Settings], Any], settings: Settings) -> Any:
    return make_site(replace(settings, api_keys=ADMIN_ENTRY))


def test_keys_of_the_settings_have_names_and_scopes() -> None:
    plain, named = parse_keys(f"read:{hash_key('a')}, desk:write:{hash_key('b')}")
    assert (plain.name, plain.scope) == (f"key-{hash_key('a')[:8]}", Scope.READ)
    assert (named.name, named.scope) == ("desk", Scope.WRITE)


@pytest.mark.parametrize(
    "text",
    [
        "write",
        "write:abc",
        f"root:{hash_key('x')}",
        f"public:{hash_key('x')}",
        "write:" + "g" * 64,
        f"a:b:write:{hash_key('x')}",
        f"two words:write:{hash_key('x')}",
        f"a:read:{hash_key('x')},a:read:{hash_key('y')}",
    ],
)
def test_a_malformed_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="FEED_API_KEYS"):
        parse_keys(text)


def test_a_key_is_found_by_what_was_presented(store: RedisStore) -> None:
    old, new = make_key(), make_key()
    configured = parse_keys(f"write:{hash_key(old)},write:{hash_key(new)}")
    ring = KeyRing(configured, "publishable", store)
    assert ring.find(old) == configured[0]
    assert ring.find(new) == configured[1]
    found = ring.find("publishable")
    assert found is not None
    assert found.scope is Scope.SITE
    assert ring.find("") is None
    assert ring.find("unknown") is None


def test_scopes_include_what_is_below_them() -> None:
    assert KEY_SCOPES[Scope.READ] < KEY_SCOPES[Scope.WRITE] < KEY_SCOPES[Scope.ADMIN]
    assert Scope.METRICS not in KEY_SCOPES[Scope.WRITE]
    assert KEY_SCOPES[Scope.SITE] == {Scope.SITE}


def test_a_key_is_added_used_listed_and_revoked_without_a_restart(closed: Any) -> None:
    boss = bearer(ADMIN)
    made = closed.client.post("/v1/keys", json={"name": "app", "scope": "read"}, headers=boss)
    assert made.status_code == 201
    key = made.json["key"]
    assert closed.client.get("/v1/pins", headers=bearer(key)).status_code == 200
    assert closed.client.put("/v1/pins", json={"pins": []}, headers=bearer(key)).status_code == 403
    listed = {k["name"]: k for k in closed.client.get("/v1/keys", headers=boss).json["keys"]}
    assert listed["app"]["scope"] == "read"
    assert listed["app"]["kept_in"] == "store"
    assert listed["app"]["last_used_at"].startswith("2026-")
    assert listed["boss"]["kept_in"] == "settings"
    assert key not in closed.client.get("/v1/keys", headers=boss).text
    assert closed.client.delete("/v1/keys/app", headers=boss).status_code == 200
    assert closed.client.get("/v1/pins", headers=bearer(key)).status_code == 401


def test_another_process_learns_of_a_key_at_its_next_look(
    closed: Any, make_site: Callable[[Settings], Any]
) -> None:
    other = make_site(closed.settings)
    boss = bearer(ADMIN)
    key = closed.client.post("/v1/keys", json={"name": "app", "scope": "read"}, headers=boss).json[
        "key"
    ]
    assert other.client.get("/v1/pins", headers=bearer(key)).status_code == 401
    other.services.keeper.refresh()
    assert other.client.get("/v1/pins", headers=bearer(key)).status_code == 200
    closed.client.delete("/v1/keys/app", headers=boss)
    other.services.keeper.refresh()
    assert other.client.get("/v1/pins", headers=bearer(key)).status_code == 401


def test_uses_reach_the_store_at_most_once_a_minute(store: RedisStore) -> None:
    ring = KeyRing([], "", store)
    ring.note_use("app", NOW)
    ring.follow(NOW)
    assert store.read_key_uses() == {"app": NOW}
    ring.note_use("app", NOW + 20)
    ring.follow(NOW + 30)
    assert store.read_key_uses() == {"app": NOW}
    assert ring.last_uses() == {"app": NOW + 20}
    ring.follow(NOW + 61)
    assert store.read_key_uses() == {"app": NOW + 20}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "boss", "scope": "read"}, 409),
        ({"name": "app", "scope": "public"}, 422),
        ({"name": "app", "scope": "root"}, 422),
        ({"name": "two words", "scope": "read"}, 422),
        ({"name": "", "scope": "read"}, 422),
        ({"name": "app"}, 422),
    ],
)
def test_a_wrong_key_is_refused(closed: Any, body: dict[str, str], status: int) -> None:
    assert closed.client.post("/v1/keys", json=body, headers=bearer(ADMIN)).status_code == status


def test_names_are_taken_once_and_settings_are_not_revoked(closed: Any) -> None:
    boss, body = bearer(ADMIN), {"name": "app", "scope": "write"}
    assert closed.client.post("/v1/keys", json=body, headers=boss).status_code == 201
    assert closed.client.post("/v1/keys", json=body, headers=boss).status_code == 409
    assert closed.client.delete("/v1/keys/boss", headers=boss).status_code == 409
    assert closed.client.delete("/v1/keys/nothing", headers=boss).status_code == 404


def test_the_first_key_in_the_store_closes_an_open_installation(site: Any) -> None:
    assert site.client.get("/v1/pins").status_code == 200
    key = site.client.post("/v1/keys", json={"name": "app", "scope": "read"}).json["key"]
    assert site.client.get("/v1/pins").status_code == 401
    assert site.client.get("/v1/pins", headers=bearer(key)).status_code == 200


def test_two_additions_of_one_name_make_one_key(store: RedisStore) -> None:
    first, second = KeyRing([], "", store), KeyRing([], "", store)
    first.add("app", Scope.READ, Editor("boss", NOW))
    with pytest.raises(ConflictError):
        second.add("app", Scope.ADMIN, Editor("boss", NOW))
    assert [k.scope for k in store.read_keys()] == ["read"]


def test_no_key_is_kept_in_clear(store: RedisStore) -> None:
    key = KeyRing([], "", store).add("app", Scope.READ, Editor("boss", NOW))
    kept = store._link.call("k", "HGETALL", store._keys.catalogue("keys"))
    assert key.encode() not in b"".join(kept)
    assert re.search(hash_key(key).encode(), b"".join(kept))
