"""Wishes over HTTP: the next request knows them, and none counts after its end."""

from __future__ import annotations

from typing import Any

import pytest

from feed.domain import format_time
from feed.preferences import Preferences, Wish, WishKind, WishOf

ADDRESS = "/v1/users/reader/preferences"


def put(site: Any, *wishes: dict[str, Any], status: int = 200) -> Any:
    answer = site.client.put(ADDRESS, json={"wishes": list(wishes)})
    assert answer.status_code == status, answer.json
    return answer.json


def first_ids(site: Any, size: int = 10) -> list[str]:
    return [item["article"]["article_id"] for item in site.feed(limit=size)["items"]]


def test_the_next_request_knows_a_wish_until_it_ends(site: Any) -> None:
    site.publish(30)
    section = site.feed(limit=30)["items"][-1]["article"]["section"]

    def among_the_first() -> int:
        page = site.feed(limit=8)
        return sum(item["article"]["section"] == section for item in page["items"])

    before = among_the_first()
    until = format_time(site.clock.now + 3600)
    put(site, {"kind": "more", "of": "section", "value": section, "strength": 2, "until": until})
    page = site.feed(limit=8)
    assert among_the_first() > before
    said = [r for item in page["items"] for r in item["reasons"] if r["code"] == "you_asked"]
    assert said
    assert {reason["text"] for reason in said} == {f"You asked for more of {section}"}
    assert page["personalized"] is True
    site.clock.now += 3601
    assert not any(
        r["code"] == "you_asked" for item in site.feed(limit=8)["items"] for r in item["reasons"]
    )
    assert site.client.get(ADDRESS).json["wishes"] == []


def test_a_muted_story_comes_back_when_its_time_is_over(site: Any) -> None:
    site.publish(12)
    article_id = first_ids(site)[2]
    until = format_time(site.clock.now + 60)
    ended = until.replace(".000Z", "Z")
    kept = put(site, {"kind": "mute", "of": "article", "value": article_id, "until": until})
    assert kept["wishes"] == [
        {"kind": "mute", "of": "article", "value": article_id, "strength": 1, "until": ended}
    ]
    for mode in ("personalized", "trending", "latest"):
        page = site.feed(limit=20, mode=mode)
        assert article_id not in [item["article"]["article_id"] for item in page["items"]]
    site.clock.now += 61
    assert article_id in first_ids(site, 20)


def test_the_desk_shows_what_a_reader_asked_for(site: Any) -> None:
    site.publish(12)
    put(
        site,
        {"kind": "more", "of": "source", "value": "Gazette", "strength": 2},
        {"kind": "mute", "value": "a3"},
        {"kind": "fewer", "of": "section", "value": "s", "until": format_time(site.clock.now)},
    )
    page = " ".join(site.client.get("/desk/readers/reader").text.split())
    said = "<dt>Has asked for</dt><dd>more from Gazette (strongly), none of the story of a3</dd>"
    assert said in page


def test_withdrawing_is_leaving_it_out(site: Any) -> None:
    site.publish(12)
    article_id = first_ids(site)[0]
    put(site, {"kind": "mute", "value": article_id})
    assert article_id not in first_ids(site, 20)
    put(site)
    assert article_id in first_ids(site, 20)


def test_a_wish_is_in_the_export_and_erased_with_the_reader(site: Any) -> None:
    put(site, {"kind": "fewer", "of": "source", "value": "Gazette"})
    held = site.client.get("/v1/users/reader/export").json["store"]["preferences"]
    assert [(wish["kind"], wish["value"]) for wish in held["wishes"]] == [("fewer", "Gazette")]
    assert site.client.delete("/v1/users/reader").status_code == 202
    assert site.client.get(ADDRESS).json["wishes"] == []


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ([{"kind": "less", "value": "a"}], "wishes.0.kind"),
        ([{"kind": "more", "value": ""}], "wishes.0.value"),
        ([{"kind": "more", "value": "a", "strength": 3}], "wishes.0.strength"),
        ([{"kind": "more", "value": "a"}, {"kind": "mute", "value": "a"}], "wishes"),
        (
            [
                {"kind": "mute", "of": "section", "value": "Sport"},
                {"kind": "more", "of": "section", "value": " sport"},
            ],
            "wishes",
        ),
    ],
)
def test_a_wrong_wish_is_named_with_its_rule(
    site: Any, wishes: list[dict[str, Any]], field: str
) -> None:
    problem = put(site, *wishes, status=422)
    assert problem["errors"][0]["field"] == field


def test_two_wishes_that_an_earlier_version_kept_of_one_section_can_be_sent_back(site: Any) -> None:
    wishes = (
        Wish(kind=WishKind.MORE, of=WishOf.SECTION, value="Sport"),
        Wish(kind=WishKind.MUTE, of=WishOf.SECTION, value="sport"),
    )
    site.store.write_preferences("reader", Preferences(wishes=wishes))
    shown = site.client.get(ADDRESS).json
    assert [(one["kind"], one["value"]) for one in shown["wishes"]] == [("mute", "sport")]
    del shown["user_id"]
    assert site.client.put(ADDRESS, json=shown).status_code == 200
