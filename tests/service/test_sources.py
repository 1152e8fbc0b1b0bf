"""`/v1/sources`: who is polled, and what nobody may see."""

from __future__ import annotations

from typing import Any

import pytest

LOGIN = "https://desk:very-secret@paper.example/feed"


def add(site: Any, *addresses: str, **fields: Any) -> list[dict[str, Any]]:
    body = {"sources": [{"address": address, **fields} for address in addresses]}
    answer = site.client.post("/v1/sources", json=body)
    assert answer.status_code == 200, answer.json
    results: list[dict[str, Any]] = answer.json["results"]
    return results


def test_a_source_is_added_once_and_listed(site: Any) -> None:
    (first,) = add(site, "https://paper.example/feed#top", name="The Paper", zone="Europe/Berlin")
    (again,) = add(site, "https://paper.example/feed")
    assert (first["status"], again["status"]) == ("added", "known")
    assert first["source_id"] == again["source_id"]
    (listed,) = site.client.get("/v1/sources").json["sources"]
    assert (listed["name"], listed["zone"]) == ("The Paper", "Europe/Berlin")
    assert (listed["status"], listed["checked_at"]) == ("active", None)


def test_a_login_is_kept_and_never_shown(site: Any) -> None:
    (added,) = add(site, LOGIN)
    source = site.services.sources.get(added["source_id"])[0]
    assert source.address == LOGIN
    shown = [added, site.client.get("/v1/sources").json]
    shown.append(site.client.post(f"/v1/sources/{added['source_id']}/pause").json)
    assert "secret" not in str(shown)
    assert "desk" not in str(shown)
    assert "https://***@paper.example/feed" in str(shown[0])
    (without,) = add(site, "https://paper.example/feed")
    assert without["status"] == "known"


def test_a_source_is_paused_resumed_checked_and_removed(site: Any) -> None:
    (added,) = add(site, "https://paper.example/feed")
    path = f"/v1/sources/{added['source_id']}"
    assert site.client.post(f"{path}/pause").json["status"] == "paused"
    resumed = site.client.post(f"{path}/resume").json
    assert (resumed["status"], resumed["check_pending"]) == ("active", True)
    assert site.client.post(f"{path}/check").json["check_pending"]
    assert site.client.delete(path).json == {"sources": []}
    for method, action in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/check")):
        assert site.client.open(path + action, method=method).status_code == 404


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"address": "paper.example"}, "sources.1.address"),
        ({"address": "file:///etc/passwd"}, "sources.1.address"),
        ({"address": "http://"}, "sources.1.address"),
        ({"address": "http://127.0.0.1/feed"}, "sources.1.address"),
        ({"address": "http://[::1]/feed"}, "sources.1.address"),
        ({"address": "http://localhost:6379/"}, "sources.1.address"),
        ({"address": "https://a.example:99999/"}, "sources.1.address"),
        ({"address": "https://a.example:0/"}, "sources.1.address"),
        ({"address": "https://a.example", "zone": "Berlin"}, "sources.1.zone"),
        ({"address": "https://a.example", "age_from": "now"}, "sources.1.age_from"),
        ({"address": "https://a.example", "min_minutes": 0}, "sources.1.min_minutes"),
        (
            {"address": "https://a.example", "min_minutes": 9, "max_minutes": 8},
            "sources.1.min_minutes",
        ),
    ],
)
def test_a_wrong_source_is_refused_with_field_and_rule(
    site: Any, source: dict[str, Any], field: str
) -> None:
    body = {"sources": [{"address": "https://right.example/feed"}, source]}
    answer = site.client.post("/v1/sources", json=body)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field
    assert site.client.get("/v1/sources").json == {"sources": []}


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (
            {"address": "http://127.0.0.1/feed"},
            "sources.0.address is at 127.0.0.1, which is not a public address",
        ),
        (
            {"address": "https://a.example", "zone": "Mars/X"},
            "sources.0.zone is not a time zone such as Europe/Berlin",
        ),
    ],
)
def test_field_and_rule_are_one_sentence(site: Any, source: dict[str, Any], detail: str) -> None:
    answer = site.client.post("/v1/sources", json={"sources": [source]})
    assert answer.json["detail"].partition(":")[0] == detail
