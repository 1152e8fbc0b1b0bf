"""The routes for pins, boosts and undo, and what keys and articles leave in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import format_time
from tests.service.conftest import NOW, Site, ids_of

UNTIL = format_time(NOW + 3600)


def actions(site: Site, *subjects: str) -> list[tuple[str, str, str]]:
    return [(e.by, e.action, e.subject) for e in site.store.read_audit(50, subjects or "")]


def undo(site: Site, place: int = 0) -> Any:
    entry = site.store.read_audit(10)[place].id
    answer = site.client.post(f"/v1/audit/{entry}/undo")
    site.services.keeper.refresh()
    return answer


def pin(article_id: str, slot: int, **fields: Any) -> dict[str, Any]:
    times = {"starts_at": format_time(NOW - 60), "ends_at": UNTIL}
    return {"article_id": article_id, "slot": slot, **times, **fields}


def test_a_boost_lifts_an_article_until_it_is_taken_back(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    # A draw of exploration could show any article.
    site = make_site(replace(settings, ranking=RankingConfig(explore_slots=0)))
    site.publish(60)
    before = ids_of(site.feed(limit=20))
    low = f"a{next(n for n in range(59, 0, -1) if f'a{n}' not in before)}"
    answer = site.client.put(f"/v1/boosts/{low}", json={"factor": 20.0, "ends_at": UNTIL})
    assert answer.status_code == 200
    assert [b["factor"] for b in answer.json["boosts"]] == [20.0]
    site.services.keeper.refresh()
    page = site.feed(limit=20)
    item = next(i for i in page["items"] if i["article"]["article_id"] == low)
    assert item["reasons"][0]["code"] == "editors_pick"
    assert not any("trending" in i["labels"] for i in page["items"])
    assert undo(site).status_code == 200
    assert low not in ids_of(site.feed(limit=20))
    assert site.client.delete(f"/v1/boosts/{low}").status_code == 404
    assert actions(site) == [
        ("open access", "taken back", f"articles/{low}"),
        ("open access", "boosted", f"articles/{low}"),
    ]


def test_a_decision_about_an_article_that_no_feed_can_show_is_taken_and_hinted_at(
    site: Site,
) -> None:
    site.publish(3)
    site.client.delete("/v1/articles/a1")
    site.client.patch("/v1/articles/a2", json={"expires_at": format_time(NOW - 1)})
    hints = {
        "a0": [],
        "a1": ["The article a1 is retracted."],
        "a2": ["The article a2 has expired."],
        "later": ["There is no article later now."],
    }
    for article_id, expected in hints.items():
        body = {"factor": 2.0, "ends_at": UNTIL}
        boosted = site.client.put(f"/v1/boosts/{article_id}", json=body)
        assert (boosted.status_code, boosted.json["hints"]) == (200, expected)
        pinned = site.client.put("/v1/pins", json={"pins": [pin(article_id, 0)]})
        assert (pinned.status_code, pinned.json["hints"]) == (200, expected)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"factor": 0.001, "ends_at": UNTIL}, "factor"),
        ({"factor": 2.0, "ends_at": format_time(NOW - 1)}, "ends_at"),
        ({"factor": 2.0, "ends_at": format_time(NOW + 8 * 86_400)}, "ends_at"),
        ({"factor": 2.0}, "ends_at"),
    ],
)
def test_a_boost_that_breaks_a_rule_is_refused(site: Site, body: Any, field: str) -> None:
    answer = site.client.put("/v1/boosts/a1", json=body)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field


def test_single_pins_leave_the_others_alone(site: Site) -> None:
    site.publish(30)
    assert site.client.post("/v1/pins", json=pin("a7", 0)).status_code == 201
    assert site.client.post("/v1/pins", json=pin("a9", 1)).status_code == 201
    site.services.keeper.refresh()
    assert ids_of(site.feed())[:2] == ["a7", "a9"]
    listed = site.client.get("/v1/pins").json
    assert {p["author"] for p in listed["pins"]} == {"open access"}
    old = {"pins": [], "version": "0" * 40}
    assert site.client.put("/v1/pins", json=old).status_code == 409
    new = {"pins": [pin("a3", 0)], "version": listed["version"]}
    assert site.client.put("/v1/pins", json=new).status_code == 200
    assert undo(site).status_code == 200
    assert ids_of(site.feed())[:2] == ["a7", "a9"]
    assert site.client.delete("/v1/pins/a7").status_code == 200
    assert site.client.delete("/v1/pins/a7").status_code == 404
    assert [action for _, action, _ in actions(site, "pins")] == [
        "unpinned",
        "taken back",
        "replaced",
        "pinned",
        "pinned",
    ]


def test_a_pin_for_an_audience_is_for_nobody_else(site: Site) -> None:
    site.publish(30)
    audience = {"platforms": ["ios"], "attributes": {"subscriber": ["yes"]}}
    assert site.client.post("/v1/pins", json=pin("a7", 0, **audience)).status_code == 201
    site.services.keeper.refresh()
    assert ids_of(site.feed(platform="iOS", attributes="subscriber:yes"))[0] == "a7"
    assert ids_of(site.feed("r2", platform="iOS"))[0] != "a7"
    assert ids_of(site.feed("r3", platform="web", attributes="subscriber:yes"))[0] != "a7"
    site.client.put("/v1/users/r4/preferences", json={"personalization": False})
    page = site.feed("r4", platform="ios", attributes="subscriber:yes")
    assert ids_of(page)[0] != "a7", "nothing of this reader may be used"
    wrong = site.client.post("/v1/pins", json=pin("a7", 0, attributes={"Not A Name": ["yes"]}))
    assert wrong.status_code == 422
    assert wrong.json["errors"][0]["field"] == "attributes.Not A Name"


def test_what_is_done_to_articles_by_hand_is_in_the_log_and_taken_back(site: Site) -> None:
    site.publish(30)
    assert site.client.delete("/v1/articles/a2").status_code == 200
    assert "a2" not in ids_of(site.feed(limit=30))
    assert undo(site).status_code == 200
    assert "a2" in ids_of(site.feed("r2", limit=30))
    assert undo(site, 1).status_code == 409
    label = {"sponsored": True, "hold": True}
    assert site.client.patch("/v1/articles/a3", json=label).status_code == 200
    site.publish(30, sponsored=False)
    site.services.keeper.refresh()
    (item,) = (i for i in site.feed(limit=30)["items"] if i["article"]["article_id"] == "a3")
    assert item["labels"] == ["sponsored"]
    assert item["article"] is not None
    assert site.client.get("/v1/articles/a3").json["held_fields"] == ["sponsored"]
    assert undo(site).status_code == 200
    site.publish(30, sponsored=True)
    assert site.client.get("/v1/articles/a3").json["sponsored"], "the newsroom says so itself"
    assert [action for _, action, _ in actions(site)] == [
        "taken back",
        "changed",
        "taken back",
        "retracted",
    ]


def test_keys_are_in_the_log_without_their_secret(site: Site) -> None:
    made = site.client.post("/v1/keys", json={"name": "app", "scope": "admin"}).json["key"]
    headers = {"Authorization": f"Bearer {made}"}
    assert site.client.get("/v1/boosts").status_code == 401
    low = site.client.post("/v1/keys", json={"name": "ed", "scope": "write"}, headers=headers)
    (entry, first) = site.store.read_audit(5, "keys")
    assert (entry.by, entry.action, entry.subject) == ("app", "added", "keys/ed")
    assert made not in str(entry) + str(first)
    editor = {"Authorization": f"Bearer {low.json['key']}"}
    refused = site.client.post(f"/v1/audit/{entry.id}/undo", headers=editor)
    assert refused.status_code == 403
    assert "an admin can take this back" in refused.json["detail"]
    done = site.client.post(f"/v1/audit/{entry.id}/undo", headers=headers)
    assert done.status_code == 200
    assert site.client.get("/v1/boosts", headers=editor).status_code == 401
    again = site.client.post(f"/v1/audit/{done.json['entry']}/undo", headers=headers)
    assert again.status_code == 409, "a removed key cannot come back"
