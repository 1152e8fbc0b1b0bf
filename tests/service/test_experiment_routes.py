"""The routes of an experiment's life, and the audit log of who did what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import Settings
from feed.experiments.design.lifecycle import set_override
from feed.service.api_keys import hash_key, make_key

DESIGN: dict[str, Any] = {
    "name": "calmer",
    "hypothesis": "Less of what trends brings readers back more often.",
    "owner": "desk",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "off", "share": 0.5, "overrides": {"trending_boost": 0.0}},
    ],
    "traffic": 0.1,
    "ramp": [{"after_days": 2, "traffic": 0.5}],
}
LIFE = "/v1/experiments/calmer"


def post(site: Any, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = site.client.post(path, json=body) if body is not None else site.client.post(path)
    assert answer.status_code == status, answer.json
    found: dict[str, Any] = answer.json
    return found


def names(site: Any, query: str = "") -> list[str]:
    found = site.client.get(f"/v1/experiments{query}").json["experiments"]
    return [experiment["name"] for experiment in found]


def test_an_experiment_ramps_over_http_and_its_readers_stay(site: Any) -> None:
    site.publish(5)
    site.work()
    post(site, "/v1/experiments", DESIGN, 201)
    post(site, f"{LIFE}/start")

    def variants() -> dict[str, str]:
        site.services.keeper.refresh()
        pages = {f"r{n}": site.feed(f"r{n}")["experiments"] for n in range(120)}
        return {user: found["calmer"] for user, found in pages.items() if found}

    before = variants()
    site.clock.now += 3600
    grown = post(site, f"{LIFE}/ramp", {"traffic": 0.5})["experiments"][0]
    assert [step["traffic"] for step in grown["steps"]] == [0.1, 0.5]
    after = variants()
    assert before.items() <= after.items()
    assert 40 < len(after) < 80
    refused = post(site, f"{LIFE}/ramp", {"traffic": 0.2}, 409)
    assert "never shrinks" in refused["detail"]


@pytest.mark.parametrize("body", [{}, {"traffic": 0}, {"traffic": 1.5}, {"traffic": 0.5, "x": 1}])
def test_a_ramp_needs_a_share(site: Any, body: dict[str, Any]) -> None:
    post(site, "/v1/experiments", DESIGN, 201)
    post(site, f"{LIFE}/ramp", body, 422)


def test_what_is_no_finite_number_is_refused_and_not_taken_as_left_out(site: Any) -> None:
    text = json.dumps({**DESIGN, "alpha": float("nan")})
    answer = site.client.post("/v1/experiments", data=text, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "alpha", "rule": "must be a finite number"}]


def test_a_copy_is_a_draft_without_the_past(site: Any) -> None:
    post(site, "/v1/experiments", DESIGN, 201)
    post(site, f"{LIFE}/start")
    set_override(site.store, "calmer", "qa", "off", now=site.clock.now, by="desk")
    copy = post(site, f"{LIFE}/duplicate", {"name": "calmer-2"}, 201)["experiments"][0]
    for field in ("variants", "traffic", "ramp", "hypothesis", "guardrails"):
        assert copy[field] == site.client.get(LIFE).json["experiments"][0][field]
    fresh = {"status": "draft", "version": 1, "started_at": None, "overrides": {}, "excluded": []}
    assert copy.items() >= (fresh | {"steps": [], "buckets": [0, 0], "reserved": [0, 0]}).items()
    post(site, f"{LIFE}/duplicate", {"name": "calmer-2"}, 409)
    post(site, f"{LIFE}/duplicate", {"name": "Not A Name"}, 422)
    post(site, "/v1/experiments/nothing/duplicate", {"name": "x"}, 404)


def test_archived_experiments_are_hidden_unless_asked_for(site: Any) -> None:
    for name in ("calmer", "other"):
        post(site, "/v1/experiments", {**DESIGN, "name": name}, 201)
    post(site, "/v1/experiments/other/start")
    assert post(site, f"{LIFE}/archive")["experiments"][0]["archived"] is True
    post(site, f"{LIFE}/archive", status=409)
    post(site, f"{LIFE}/start", status=409)
    post(site, "/v1/experiments/other/archive", status=409)
    assert names(site) == ["other"]
    assert names(site, "?archived=true") == ["calmer", "other"]
    assert names(site, "?archived=true&status=draft") == ["calmer"]
    assert names(site, "?status=running") == ["other"]
    assert site.client.get("/v1/experiments?status=paused").status_code == 422
    assert site.client.get(LIFE).json["experiments"][0]["name"] == "calmer"
    post(site, f"{LIFE}/unarchive")
    post(site, f"{LIFE}/unarchive", status=409)
    assert names(site) == ["calmer", "other"]


def test_a_new_experiment_is_a_draft(site: Any) -> None:
    refused = site.client.post("/v1/experiments", json={**DESIGN, "status": "running"})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json["errors"]] == ["status"]
    assert names(site) == []
    post(site, "/v1/experiments", {**DESIGN, "status": "draft"}, 201)


def test_every_act_is_in_the_audit_log_with_what_it_changed(site: Any) -> None:
    post(site, "/v1/experiments", DESIGN, 201)
    post(site, "/v1/experiments", {**DESIGN, "alpha": 0.1}, 201)
    post(site, f"{LIFE}/start")
    post(site, f"{LIFE}/ramp", {"traffic": 0.2})
    set_override(site.store, "calmer", "qa", "off", now=site.clock.now, by="desk")
    set_override(site.store, "calmer", "qa", None, now=site.clock.now, by="desk")
    post(site, f"{LIFE}/stop")
    post(site, f"{LIFE}/archive")
    post(site, f"{LIFE}/unarchive")
    post(site, f"{LIFE}/duplicate", {"name": "calmer-2"}, 201)
    post(site, f"{LIFE}/stop", status=409)
    entries = site.client.get("/v1/audit").json["entries"]
    assert [entry["action"] for entry in reversed(entries)] == [
        "created", "changed", "started", "ramped", "override set", "override removed", "stopped",
        "archived", "unarchived", "duplicated",
    ]  # fmt: skip
    found = {entry["action"]: entry for entry in entries}
    assert found["created"]["before"] is None
    assert found["created"]["after"]["hypothesis"] == DESIGN["hypothesis"]
    assert found["changed"]["before"]["alpha"] == 0.05
    assert found["changed"]["after"]["alpha"] == 0.1
    assert found["started"]["after"]["status"] == "running"
    assert [step["traffic"] for step in found["ramped"]["after"]["steps"]] == [0.1, 0.2]
    assert found["override set"]["after"] == {"variant": "off"}
    assert found["override removed"]["before"] == {"variant": "off"}
    assert found["archived"]["after"] == {"archived": True}
    assert found["duplicated"]["after"]["copy_of"] == "calmer"
    assert found["duplicated"]["subject"] == "experiments/calmer-2"
    assert "qa" not in str(entries)
    assert {entry["by"] for entry in entries} == {"open access", "desk"}
    only = site.client.get("/v1/audit?subject=experiments/calmer-2&limit=5").json["entries"]
    assert [entry["action"] for entry in only] == ["duplicated"]
    assert site.client.get("/v1/audit?limit=0").status_code == 422


def test_the_audit_log_names_the_key_and_only_admins_act(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    admin, reader = make_key(), make_key()
    keys = f"front-page-desk:admin:{hash_key(admin)},shop:read:{hash_key(reader)}"
    site = make_site(replace(settings, api_keys=keys))
    as_admin = {"Authorization": f"Bearer {admin}"}
    made = site.client.post("/v1/experiments", json=DESIGN, headers=as_admin)
    assert made.status_code == 201
    entries = site.client.get("/v1/audit", headers=as_admin).json["entries"]
    assert [entry["by"] for entry in entries] == ["front-page-desk"]
    as_reader = {"Authorization": f"Bearer {reader}"}
    seen = site.client.get("/v1/audit", headers=as_reader).json["entries"]
    assert seen == entries
    assert site.client.get(LIFE, headers=as_reader).status_code == 200
    for act in ("ramp", "duplicate", "archive", "unarchive"):
        answer = site.client.post(f"{LIFE}/{act}", json={}, headers=as_reader)
        assert answer.status_code == 403
