"""What a newsroom knows of its readers: who may say it, and what it is used for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from reader_tokens import SECRET, bearer, token_for

from feed.service.api_keys import hash_key
from feed.service.operations import mark_slashes
from feed.storage.archive import Archive

PATH = "/v1/users/reader/attributes"


def put(site: Any, **attributes: Any) -> Any:
    return site.client.put(PATH, json={"attributes": attributes})


def start(site: Any, **accepted: list[str]) -> None:
    """Start an experiment for readers with some attributes."""
    design = {
        "name": "paywall",
        "hypothesis": "h",
        "owner": "o",
        "variants": [{"name": "control", "share": 0.5}, {"name": "treatment", "share": 0.5}],
        "equal_arms": True,
        "audience": {"attributes": accepted},
    }
    answer = site.client.post("/v1/experiments", json=design)
    assert answer.status_code == 201, answer.json
    assert site.client.post("/v1/experiments/paywall/start").status_code == 200
    site.services.keeper.refresh()


def archived(site: Any) -> list[tuple[str, str, dict[str, str]]]:
    """Reader, request and attributes of every served feed in the archive."""
    site.work()
    site.clock.now += 120  # the archive is written some seconds after the records were counted
    site.work()
    with Archive(site.settings.data_dir / "archive").query() as connection:
        rows = connection.execute(
            "SELECT DISTINCT user_id, request_id, attributes FROM served ORDER BY ALL"
        ).fetchall()
    return [(user, request, json.loads(text)) for user, request, text in rows]


def test_they_are_set_read_replaced_and_forgotten(site: Any) -> None:
    assert site.client.get(PATH).json == {"user_id": "reader", "attributes": {}}
    answer = put(site, subscriber=" YES ", region="Nørd")
    assert answer.json["attributes"] == {"subscriber": "yes", "region": "nørd"}
    assert site.client.get(PATH).json == answer.json
    assert put(site, plan="b").json["attributes"] == {"plan": "b"}
    assert site.client.get(PATH).json["attributes"] == {"plan": "b"}
    assert site.client.delete(PATH).status_code == 200
    assert site.client.get(PATH).json["attributes"] == {}


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"Region": "north"}, "attributes.Region"),
        ({"": "north"}, "attributes."),
        ({"x" * 33: "north"}, "attributes." + "x" * 33),
        ({"region": ""}, "attributes.region"),
        ({"region": "x" * 65}, "attributes.region"),
        ({"region": "a,b"}, "attributes.region"),
        ({"region": "a\nb"}, "attributes.region"),
        ({"region": 7}, "attributes.region"),
        ({f"a{n}": "x" for n in range(17)}, "attributes"),
    ],
)
def test_a_broken_rule_is_named(site: Any, attributes: dict[str, Any], field: str) -> None:
    answer = site.client.put(PATH, json={"attributes": attributes})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field
    assert site.client.get(PATH).json["attributes"] == {}


@pytest.mark.parametrize(
    "text",
    ["region", "region:", ":north", "region:a,region:b", "Region:a", "region:a,", "x" * 2000],
)
def test_a_feed_request_with_a_broken_rule_is_refused(site: Any, text: str) -> None:
    site.publish(3)
    query = {"user_id": "reader", "attributes": text}
    answer = site.client.get("/v1/feed", query_string=query)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"].startswith("attributes")


def test_an_audience_is_chosen_by_them(site: Any) -> None:
    site.publish(12)
    site.work()
    start(site, subscriber=["YES"], region=["north", ""])

    def joins(text: str = "") -> bool:
        return "paywall" in site.feed(attributes=text)["experiments"]

    assert not joins()
    assert joins("subscriber:Yes")
    assert joins("region:NORTH,subscriber:yes")
    assert not joins("region:south,subscriber:yes")
    put(site, subscriber="no")
    assert not joins("subscriber:yes")  # what the newsroom stored counts before it
    put(site, subscriber="yes")
    assert joins("subscriber:no")


def test_a_later_page_keeps_what_its_first_page_had(site: Any) -> None:
    site.publish(30)
    site.work()
    start(site, subscriber=["yes"])
    first = site.feed(attributes="subscriber:yes", limit=5)
    put(site, subscriber="no")
    second = site.feed(cursor=first["next_cursor"], limit=5)
    assert second["experiments"] == first["experiments"] != {}
    assert archived(site) == [("reader", first["request_id"], {"subscriber": "yes"})]


def test_the_archive_has_what_is_known_of_the_reader(site: Any) -> None:
    site.publish(12)
    site.work()
    put(site, subscriber="yes")
    known = site.feed(attributes="subscriber:no,region:north")["request_id"]
    latest = site.feed(attributes="region:north", mode="latest")["request_id"]
    nothing = site.feed("other")["request_id"]
    assert {request: attributes for _, request, attributes in archived(site)} == {
        known: {"subscriber": "yes", "region": "north"},
        latest: {"subscriber": "yes", "region": "north"},
        nothing: {},
    }


def test_nothing_of_a_reader_without_personalisation_is_used_or_archived(site: Any) -> None:
    site.publish(12)
    site.work()
    start(site, subscriber=["yes"])
    put(site, subscriber="yes")
    site.client.put("/v1/users/reader/preferences", json={"personalization": False})
    assert site.feed(attributes="region:north")["experiments"] == {}
    ((user, _, attributes),) = archived(site)
    assert (user, attributes) == ("", {})
    assert site.client.get(PATH).json["attributes"] == {"subscriber": "yes"}


def test_a_feed_after_personalisation_was_switched_off_has_none(site: Any) -> None:
    site.publish(30)
    site.work()
    put(site, subscriber="yes")
    site.feed(limit=5)
    site.client.put("/v1/users/reader/preferences", json={"personalization": False})
    second = site.feed(limit=5)
    site.feed(cursor=second["next_cursor"], limit=5)
    assert {user: known for user, _, known in archived(site)} == {
        "reader": {"subscriber": "yes"},
        "": {},
    }


def test_they_are_exported_and_erased(site: Any) -> None:
    put(site, subscriber="yes")
    export = site.client.get("/v1/users/reader/export").json
    assert export["store"]["attributes"] == {"subscriber": "yes"}
    site.client.delete("/v1/users/reader")
    assert site.client.get(PATH).json["attributes"] == {}


def test_what_is_known_of_the_reader_counts_before_what_was_known_of_the_guest(site: Any) -> None:
    put(site, subscriber="yes")
    guest = {"subscriber": "no", "region": "north"}
    site.client.put("/v1/users/guest/attributes", json={"attributes": guest})
    site.client.post("/v1/users/reader/merge", json={"from": "guest"})
    assert site.client.get(PATH).json["attributes"] == {"subscriber": "yes", "region": "north"}


def test_a_login_adds_those_of_the_guest_up_to_the_limit(site: Any) -> None:
    put(site, subscriber="yes", **{f"a{n:02}": "x" for n in range(13)})
    guest = "/v1/users/guest/attributes"
    others = {"subscriber": "no", "region": 'n/ø"', "city": "y", "zone": "z"}
    site.client.put(guest, json={"attributes": others})
    assert site.client.post("/v1/users/reader/merge", json={"from": "guest"}).status_code == 200
    found = site.client.get(PATH).json["attributes"]
    assert len(found) == 16
    assert found["subscriber"] == "yes"
    added = found.keys() & {"region", "city", "zone"}
    assert len(added) == 2
    assert {name: found[name] for name in added} == {name: others[name] for name in added}
    site.client.put(guest, json={"attributes": {"plan": "b"}})  # the id is the reader's now
    assert site.client.get(PATH).json["attributes"] == {"plan": "b"}


def test_a_new_account_that_the_newsroom_described_keeps_the_guests_experiments(site: Any) -> None:
    site.publish(3)
    put(site, subscriber="yes")
    site.client.post("/v1/users/reader/merge", json={"from": "guest"})
    assert site.store.read_choices("reader").unit == "guest"


def test_a_readers_own_token_reads_its_own_and_sets_none(make_site: Any, settings: Any) -> None:
    keys = {scope: f"the-{scope}-key" for scope in ("read", "write")}
    configured = ",".join(f"{scope}:{hash_key(key)}" for scope, key in keys.items())
    site = make_site(replace(settings, api_keys=configured, token_secret=SECRET))
    token = token_for("reader", site.clock.now)

    def status(method: str, credential: str, path: str = PATH) -> int:
        body = None if method == "get" else {"attributes": {"subscriber": "yes"}}
        call = getattr(site.client, method)
        code: int = call(path, json=body, headers=bearer(credential)).status_code
        return code

    assert [status(m, keys["write"]) for m in ("get", "put", "delete")] == [200, 200, 200]
    assert [status(m, keys["read"]) for m in ("get", "put", "delete")] == [200, 403, 403]
    assert [status(m, token) for m in ("get", "put", "delete")] == [200, 403, 403]
    assert status("get", token, "/v1/users/other/attributes") == 403


def test_an_id_may_end_as_a_route_does(site: Any) -> None:
    for path in ("joe", "joe%2Fattributes"):
        body = {"attributes": {"subscriber": "yes"}}
        assert site.client.put(f"/v1/users/{path}/attributes", json=body).status_code == 200
    erased = site.client.delete("/v1/users/joe%2fattributes")
    assert (erased.status_code, erased.json["user_id"]) == (202, "joe/attributes")
    held = {
        path: site.client.get(f"/v1/users/{path}/attributes").json
        for path in ("joe", "joe/attributes")
    }
    assert held["joe"]["attributes"] == {"subscriber": "yes"}
    assert held["joe/attributes"]["attributes"] == {}
    assert site.client.delete("/v1/users/joe%1Fattributes").status_code == 422
    assert site.client.delete("/v1/users/joe%1Fa%2Fattributes").status_code == 422
    article = {"article_id": "x1/related", "title": "Ends as a route does"}
    site.client.post("/v1/articles", json={"articles": [article]})
    found = site.client.get("/v1/articles/x1%2Frelated")
    assert (found.status_code, found.json["article_id"]) == (200, "x1/related")
    assert site.client.get("/v1/articles/x1/related").status_code == 404


@pytest.mark.parametrize(
    ("path", "sent", "marked"),
    [
        ("a/b", "/a/b?c=%2F", "a/b"),
        ("a/b", "/a%2fb?c=%2F", "a\x1fb"),
        ("a/b", "/prefix/a%2Fb", "a\x1fb"),
        ("a/b", "http://host/a%2Fb", "a\x1fb"),
        ("ä/ö", "/%C3%A4%2F%C3%B6", "ä\x1fö"),
        ("a%2Fb", "/a%252Fb", "a%2Fb"),
        ("a\x1fb/c", "/a%1Fb%2Fc", "a\x1eb\x1fc"),
        ("elsewhere", "/a%2Fb", "elsewhere"),
        ("a/b", "", "a/b"),
    ],
)
def test_slashes_that_were_sent_encoded_are_marked(path: str, sent: str, marked: str) -> None:
    assert mark_slashes(path, sent) == marked
