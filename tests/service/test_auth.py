from collections.abc import Callable
from dataclasses import replace

import pytest

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.auth import ApiKeys, Scope, check_binding, hash_key, is_loopback, make_key

READ, WRITE, ADMIN = "read-key", "write-key", "admin-key"
KEYS = ",".join(
    f"{scope}:{hash_key(key)}"
    for scope, key in (("read", READ), ("write", WRITE), ("admin", ADMIN))
)


def test_a_key_has_the_scope_it_was_given() -> None:
    keys = ApiKeys.parse(KEYS)
    assert [keys.scope_of(k) for k in (READ, WRITE, ADMIN, "unknown", "")] == [
        Scope.READ,
        Scope.WRITE,
        Scope.ADMIN,
        Scope.PUBLIC,
        Scope.PUBLIC,
    ]


def test_two_keys_are_valid_at_once() -> None:
    old, new = make_key(), make_key()
    keys = ApiKeys.parse(f"write:{hash_key(old)}, write:{hash_key(new)}")
    assert keys.scope_of(old) == keys.scope_of(new) == Scope.WRITE


@pytest.mark.parametrize(
    "text", ["write", "write:abc", f"root:{hash_key('x')}", "write:" + "g" * 64]
)
def test_a_malformed_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="FEED_API_KEYS"):
        ApiKeys.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses_are_told_from_others(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_world_is_served_only_with_a_key() -> None:
    world = replace(Settings(), host="0.0.0.0")
    with pytest.raises(InvalidInputError, match="FEED_HOST"):
        check_binding(world)
    check_binding(replace(world, api_keys=KEYS))
    check_binding(Settings())


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        (None, "GET", "/v1/feed?user_id=u", 401),
        ("unknown", "GET", "/v1/feed?user_id=u", 401),
        (READ, "GET", "/v1/feed?user_id=u", 200),
        (READ, "POST", "/v1/events", 403),
        (WRITE, "GET", "/v1/feed?user_id=u", 200),
        (WRITE, "DELETE", "/v1/users/u", 403),
        (ADMIN, "DELETE", "/v1/users/u", 202),
        (None, "GET", "/healthz", 200),
        (None, "GET", "/v1/about-ranking", 200),
    ],
)
def test_a_route_needs_its_scope(
    make_site: Callable[[Settings], object],
    settings: Settings,
    key: str | None,
    method: str,
    path: str,
    status: int,
) -> None:
    site = make_site(replace(settings, api_keys=KEYS))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = site.client.open(path, method=method, headers=headers)  # type: ignore[attr-defined]
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_may_come_in_its_own_header(
    make_site: Callable[[Settings], object], settings: Settings
) -> None:
    site = make_site(replace(settings, api_keys=KEYS))
    answer = site.client.get("/v1/pins", headers={"X-API-Key": READ})  # type: ignore[attr-defined]
    assert answer.status_code == 200


def test_requests_over_the_limit_are_told_to_wait(
    make_site: Callable[[Settings], object], settings: Settings
) -> None:
    site = make_site(replace(settings, rate_per_minute=3))
    codes = [site.client.get("/v1/pins").status_code for _ in range(5)]  # type: ignore[attr-defined]
    assert codes.count(429) >= 1
    assert codes[0] == 200
    assert site.client.get("/healthz").status_code == 200  # type: ignore[attr-defined]
