"""The room Front page: what was shown, the limits and their form, and the price."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from feed.config import Settings
from feed.domain import ArchiveError
from feed.offline.front_page_reading import read_front_page
from feed.service.api_keys import hash_key
from feed.service.archive_process import ask_archive, start_beside
from feed.service.front_page_desk import FrontPageDesk
from feed.storage.archive import Archive
from tests.service.conftest import Site, ids_of

FORM = {"rule": "at_most", "of": "section", "amount": "30", "within": "10"}
LOCAL = {"rule": "at_least", "of": "section", "value": "Local", "amount": "1", "within": "10"}


def text_of(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def send(site: Site, address: str = "limits", **fields: str) -> Any:
    page = site.client.get("/desk/front-page").text
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    version = re.search(r'name="version" value="(\d+)"', page)
    assert token
    assert version
    data = {"form_token": token[1], "version": version[1], **fields}
    return site.client.post(f"/desk/front-page/{address}", data=data)


def read_here(module: str, question: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Answer in this process what the service asks another one."""
    del module, limit_s
    archive = Archive(Path(question["data_dir"]) / "archive")
    return read_front_page(archive, question["now"], question["hours"])


@pytest.fixture
def site(site: Site) -> Site:
    put_desk(site, FrontPageDesk(site.settings, site.clock, read_here))
    return site


def put_desk(site: Site, desk: FrontPageDesk) -> None:
    site.services = replace(site.services, front_page=desk)
    site.app.extensions["feed"] = site.services


@pytest.fixture
def read_site(site: Site) -> Site:
    """Twelve articles, of which readers were shown ten, all of it archived."""
    site.publish(12)
    site.work()
    for number in range(3):
        site.feed(f"u{number}", limit=10)
    site.clock.now += 10
    site.work()
    return site


def test_the_room_shows_what_was_given_out_and_what_was_not(read_site: Site) -> None:
    put_desk(read_site, FrontPageDesk(read_site.settings, read_site.clock))  # asks a process
    page = read_site.client.get("/desk/front-page")
    assert page.status_code == 200
    text = text_of(page)
    assert "Slots given out 30 3 feeds" in text
    assert "Readers 3" in text
    assert "Published in 24 hours 12" in text
    found = read_site.client.get("/v1/front-page").json
    assert (found["slots"], found["feeds"], found["published"]) == (30, 3, 12)
    shown = {a for n in range(3) for a in ids_of(read_site.feed(f"u{n}", limit=10))}
    assert found["never_shown"] >= 12 - len(shown) - 1
    assert sum(one["slots"] for one in found["shares"]["section"]) == 30


def test_a_period_is_chosen_and_others_are_not_taken(read_site: Site) -> None:
    page = read_site.client.get("/desk/front-page?hours=24").text
    assert 'href="/desk/front-page?hours=24" aria-current="page"' in page
    assert 'hours=1" aria-current="page"' in read_site.client.get("/desk/front-page?hours=7").text
    assert read_site.client.get("/v1/front-page?hours=7").status_code == 422
    for hours in (1, 6, 24):
        found = read_site.client.get(f"/v1/front-page?hours={hours}")
        assert (found.status_code, found.json["hours"]) == (200, hours)


def test_an_erased_article_that_was_shown_is_still_counted(read_site: Site) -> None:
    erased = read_site.client.delete("/v1/articles/a1?purge=true")
    assert erased.status_code == 200
    read_site.clock.now += 10
    read_site.work()
    found = read_site.client.get("/v1/front-page")
    assert found.status_code == 200
    ages = {one["name"]: one["slots"] for one in found.json["shares"]["age"]}
    assert list(ages) == ["under 1 h", ""]
    assert sum(ages.values()) == 30


def test_why_the_archive_gives_no_answer_is_logged(tmp_path: Path) -> None:
    with capture_logs() as logs, pytest.raises(ArchiveError):
        ask_archive("feed.offline.front_page_reading", {"data_dir": str(tmp_path)}, limit_s=60.0)
    assert [(one["event"], one["reason"]) for one in logs] == [
        ("archive_unanswered", "KeyError: 'now'")
    ]


def test_an_unreadable_archive_is_said_and_limits_still_show(site: Site) -> None:
    send(site, **FORM)
    day = site.settings.data_dir / "archive" / "served" / "day=2026-09-21"
    day.mkdir(parents=True)
    site.clock.now += 60
    (day / "torn.parquet").write_bytes(b"PAR1")
    text = text_of(site.client.get("/desk/front-page"))
    assert "The archive cannot be read" in text
    assert "At most 30 % of the first 10 articles are of one section" in text


def test_a_limit_is_added_counted_removed_and_taken_back(site: Site) -> None:
    site.publish(30)
    done = send(site, **FORM)
    assert (done.status_code, done.location) == (303, "/desk/front-page")
    text = text_of(site.client.get("/desk/front-page"))
    assert "Added: At most 30 % of the first 10 articles are of one section." in text
    assert "no feed yet" in text
    assert site.feed()["limits"][0]["met"] is True
    removed = send(site, "limits/remove", place="0")
    assert removed.status_code == 303
    assert "limits" not in site.feed()
    entry = site.store.read_audit(1, "limits")[0]
    token = re.search(
        r'name="form_token" value="([^"]+)"', site.client.get("/desk/front-page").text
    )
    assert token
    undone = site.client.post(
        "/desk/undo", data={"form_token": token[1], "entry": entry.id, "back": "/desk/front-page"}
    )
    assert undone.status_code == 303
    assert site.feed()["limits"][0]["limit"] == {
        "rule": "at_most", "of": "section", "share": 0.3, "within": 10
    }  # fmt: skip


def test_what_was_changed_since_is_not_taken_back(site: Site) -> None:
    send(site, **FORM)
    entry = site.store.read_audit(1, "limits")[0]
    send(site, **LOCAL)
    token = re.search(
        r'name="form_token" value="([^"]+)"', site.client.get("/desk/front-page").text
    )
    assert token
    answer = site.client.post("/desk/undo", data={"form_token": token[1], "entry": entry.id})
    assert answer.status_code == 409
    assert "changed since, by open access" in answer.text
    assert site.client.get("/v1/limits").json["version"] == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"amount": "much"}, "Must be a number."),
        ({"amount": "100"}, "Must be at least 0 and under 100 percent."),
        ({"amount": "2"}, "Must allow each section at least one"),
        ({"within": "0"}, "Must be 1 to 100 slots."),
        ({"of": "age"}, "Must be a number."),
        ({"rule": "never"}, "Must be one of those in the list."),
        ({**LOCAL, "amount": "1.5"}, "Must be a whole number of articles."),
        ({**LOCAL, "value": ""}, "Must name a section."),
    ],
)
def test_a_fault_stands_beside_its_field_and_nothing_is_lost(
    site: Site, fields: dict[str, str], words: str
) -> None:
    answer = send(site, **{**FORM, **fields})
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert 'aria-invalid="true"' in answer.text
    assert f'value="{({**FORM, **fields})["amount"]}"' in answer.text
    assert site.client.get("/v1/limits").json["version"] == 0


def test_control_characters_in_a_name_are_refused_beside_their_field(site: Site) -> None:
    answer = send(site, **{**LOCAL, "value": "Lo\x00cal"})
    assert answer.status_code == 422
    assert re.search(r'id="field-value-error">Must hold no control characters', answer.text)


def test_a_limit_given_twice_or_against_another_is_refused_in_words(site: Site) -> None:
    send(site, **LOCAL)
    twice = send(site, **LOCAL)
    assert twice.status_code == 422
    assert "Must not be given twice." in text_of(twice)
    within = LOCAL["within"]
    against = send(site, rule="at_most", of="section", value="local", amount="0", within=within)
    assert against.status_code == 422
    assert "This contradicts the limit “At least" in text_of(against)


def test_an_analyst_sees_the_room_and_changes_nothing(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    keys = f"ann:read:{hash_key('ann' * 9)}"
    site = make_site(replace(settings, api_keys=keys))
    site.client.post("/desk/sign-in", data={"key": "ann" * 9})
    page = site.client.get("/desk/front-page").text
    assert "Add a limit" not in page
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    data = {"form_token": token[1], "version": "0", **FORM}
    assert site.client.post("/desk/front-page/limits", data=data).status_code == 403


def test_a_price_is_asked_for_followed_and_shown(site: Site) -> None:
    asked: list[tuple[str, Any]] = []

    def start(module: str, question: Any, limit_s: float) -> None:
        del limit_s
        asked.append((module, question))

    put_desk(site, FrontPageDesk(site.settings, site.clock, read_here, start))
    assert site.client.get("/v1/limits/price").json == {"state": "none"}
    send(site, **FORM, do="price")
    ((module, question),) = asked
    assert module == "feed.offline.limit_price"
    assert question["limits"][0]["share"] == 0.3
    assert site.client.get("/v1/limits").json["version"] == 0
    page = site.client.get("/desk/front-page").text
    assert "<progress" in page
    assert 'hx-get="/desk/front-page/price"' in page
    refused = site.client.post("/v1/limits/price", json={"limits": []})
    assert refused.status_code == 409
    result = {**question, "state": "failed", "error": "no events"}
    (site.settings.data_dir / "desk" / "limit-price.json").write_bytes(orjson.dumps(result))
    page = text_of(site.client.get("/desk/front-page/price"))
    assert "The price could not be computed: no events." in page
    assert "At most 30 % of the first 10 articles are of one section" in page


def test_the_price_of_a_site_with_few_clicks_says_so(read_site: Site) -> None:
    """The process is run here, as the service starts it, but to its end."""
    feed = read_site.feed("u0", limit=10)
    click = {
        "event_id": "e1",
        "user_id": "u0",
        "article_id": ids_of(feed)[0],
        "kind": "click",
        "request_id": feed["request_id"],
    }
    read_site.send(click)
    read_site.clock.now += 10
    read_site.work()

    def run(module: str, question: Any, limit_s: float) -> None:
        start_beside(module, question, limit_s).join()

    put_desk(read_site, FrontPageDesk(read_site.settings, read_site.clock, read_here, run))
    limit = {"rule": "at_most", "of": "section", "share": 0.5, "within": 10}
    answer = read_site.client.post("/v1/limits/price", json={"limits": [limit]})
    assert answer.status_code == 202
    found = read_site.client.get("/v1/limits/price").json
    assert found["state"] == "done"
    assert found["price"]["feeds"] == 1
    page = text_of(read_site.client.get("/desk/front-page/price"))
    assert "The last 24 hours hold 1 front page with a click, of 1 reader." in page
