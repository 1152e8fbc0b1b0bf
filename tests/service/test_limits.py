"""The newsroom's limits over HTTP, and in the feeds of readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import Settings
from feed.service.api_keys import hash_key
from tests.service.conftest import Site, ids_of

CAP = {"rule": "at_most", "of": "section", "share": 0.3, "within": 10}
LOCAL = {"rule": "at_least", "of": "section", "value": "Local", "count": 1, "within": 10}


def put(site: Site, *limits: dict[str, Any], version: int = 0, status: int = 200) -> Any:
    answer = site.client.put("/v1/limits", json={"version": version, "limits": limits})
    assert answer.status_code == status, answer.json
    return answer.json


@pytest.fixture
def stocked(site: Site) -> Site:
    """Forty articles of four sections, and an older one of a fifth."""
    site.publish(40)
    local = {"article_id": "local", "title": "Local", "section": "local"}
    site.client.post(
        "/v1/articles", json={"articles": [local | {"published_at": "2026-09-19T12:00:00Z"}]}
    )
    site.work()
    return site


def test_limits_are_kept_with_their_version(site: Site) -> None:
    assert site.client.get("/v1/limits").json == {"version": 0, "limits": []}
    kept = put(site, CAP, LOCAL)
    assert kept.pop("hints") == ["No article has the section Local now."]
    assert kept["version"] == 1
    assert [one["text"] for one in kept["limits"]] == [
        "At most 30 % of the first 10 articles are of one section",
        "At least 1 of the first 10 articles is of the section Local",
    ]
    assert site.client.get("/v1/limits").json == kept
    entry = site.store.read_audit(1, "limits")[0]
    assert (entry.action, entry.by, entry.before) == ("changed", "open access", {"limits": []})
    assert len(entry.after["limits"]) == 2
    assert put(site, *kept["limits"], version=1)["limits"] == kept["limits"], "sent back as read"


def test_a_change_of_limits_that_were_changed_meanwhile_is_refused(site: Site) -> None:
    put(site, CAP)
    put(site, LOCAL, version=0, status=409)
    assert put(site, LOCAL, version=1)["version"] == 2


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ([CAP, CAP], "limits.1"),
        ([CAP | {"share": 0.0}], "limits.0.share"),
        ([CAP | {"share": 0.05}], "limits.0.share"),
        ([CAP | {"count": 1}], "limits.0.count"),
        ([CAP | {"of": "sponsored", "value": "x"}], "limits.0.value"),
        ([CAP | {"of": "age"}], "limits.0.hours"),
        ([CAP | {"hours": 2}], "limits.0.hours"),
        ([LOCAL | {"count": 11}], "limits.0.count"),
        ([LOCAL | {"value": ""}], "limits.0.value"),
        ([LOCAL | {"of": "sponsored", "value": ""}], "limits.0.of"),
        ([LOCAL | {"share": 0.5}], "limits.0.share"),
        ([CAP, LOCAL | {"count": 4}], "limits.1.count"),
        ([LOCAL | {"count": 6}, LOCAL | {"value": "Sport", "count": 5}], "limits.0.count"),
        ([LOCAL | {"within": n} for n in range(1, 22)], "limits"),
        ([LOCAL | {"within": 0}], "limits.0.within"),
    ],
)
def test_limits_that_nothing_can_meet_are_refused(
    site: Site, limits: list[dict[str, Any]], field: str
) -> None:
    problem = put(site, *limits, status=422)
    assert problem["errors"][0]["field"] == field
    assert site.client.get("/v1/limits").json["version"] == 0


def test_only_who_may_write_changes_limits(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    keys = ",".join(f"{n}:{n}:{hash_key(n * 9)}" for n in ("read", "write"))
    site = make_site(replace(settings, api_keys=keys))
    for name, status in (("read", 403), ("write", 200)):
        answer = site.client.put(
            "/v1/limits",
            json={"version": 0, "limits": [CAP]},
            headers={"Authorization": f"Bearer {name * 9}"},
        )
        assert answer.status_code == status
    assert site.store.read_audit(1)[0].by == "write"


def test_a_front_page_keeps_the_limits_and_says_so(stocked: Site) -> None:
    assert "limits" not in stocked.feed(limit=10)
    assert "local" not in ids_of(stocked.feed(limit=10))
    put(stocked, CAP, LOCAL)
    page = stocked.feed(limit=10)
    sections = [item["article"]["section"] for item in page["items"]]
    assert max(sections.count(s) for s in set(sections)) <= 3
    assert "local" in ids_of(page)
    reason = next(i["reasons"][0] for i in page["items"] if i["article"]["article_id"] == "local")
    assert reason["code"] == "editors_limit"
    assert [(one["met"], one["limit"]) for one in page["limits"]] == [(True, CAP), (True, LOCAL)]
    assert page["limits"][1]["moved"] == 1
    following = stocked.feed(limit=10, cursor=page["next_cursor"])
    assert following["limits"] == page["limits"]


@pytest.mark.parametrize(
    "query", [{"section": "section-1"}, {"page_article_id": "a3"}, {"mode": "latest"}]
)
def test_what_is_no_front_page_has_no_limits(stocked: Site, query: dict[str, str]) -> None:
    put(stocked, CAP, LOCAL)
    assert "limits" not in stocked.feed(**query)


def test_a_limit_that_no_article_meets_is_stated(stocked: Site) -> None:
    put(stocked, LOCAL | {"value": "nowhere"})
    page = stocked.feed()
    assert [one["met"] for one in page["limits"]] == [False]
    assert len(page["items"]) == 20


def test_the_description_of_the_ranking_names_the_limits(stocked: Site) -> None:
    put(stocked, LOCAL)
    assert stocked.client.get("/v1/about-ranking").json["limits"] == [
        "At least 1 of the first 10 articles is of the section Local"
    ]


def test_a_limit_on_a_name_that_no_article_has_is_taken_and_hinted_at(stocked: Site) -> None:
    named = {"rule": "at_least", "count": 1, "within": 10}
    limits = [
        {**named, "of": "section", "value": "Section-1"},
        {**named, "of": "source", "value": "Nobody's News"},
    ]
    answer = stocked.client.put("/v1/limits", json={"version": 0, "limits": limits})
    assert answer.json["hints"] == ["No article has the source Nobody's News now."]
    page = stocked.client.get("/desk/front-page").text
    assert page.count("No article has the") == 1


@pytest.mark.parametrize("value", ["ne\x00ws", "ne\x1bws", "new\u2028s"])
def test_a_limit_or_pin_whose_name_holds_control_characters_is_refused(
    site: Site, value: str
) -> None:
    limit = {"rule": "at_least", "of": "section", "value": value, "count": 1, "within": 10}
    refused = site.client.put("/v1/limits", json={"version": 0, "limits": [limit]})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "limits.0.value"
    times = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}
    pin = {"article_id": "a1", "slot": 0, "section": value, **times}
    refused = site.client.post("/v1/pins", json=pin)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "section"


def test_pins_say_which_sections_no_article_has(stocked: Site) -> None:
    times = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}
    for section, hints in (("Section-1", []), ("Sprot", ["No article has the section Sprot now."])):
        pin = {"article_id": "a1", "slot": 0, "section": section, **times}
        answer = stocked.client.post("/v1/pins", json=pin)
        assert (answer.status_code, answer.json["hints"]) == (201, hints)
    sent_back = {name: stocked.client.get("/v1/pins").json[name] for name in ("pins", "version")}
    assert sent_back == stocked.client.get("/v1/pins").json, "what is read can be sent back"
