"""The room Articles: an editor's morning."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from feed.domain import format_time
from feed.service.article_numbers import chance_words
from feed.service.article_previews import with_pin
from feed.service.desk.article_forms import read_pin
from tests.service.conftest import NOW, Site, ids_of

ADDRESS = "/desk/articles"
PLACED = {"slot": "1", "hours": "1"}


def page_of(site: Site, article_id: str) -> str:
    answer = site.client.get(f"{ADDRESS}/{quote(article_id, safe='')}")
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def send(site: Site, to: str, article_id: str, **fields: str) -> Any:
    token = re.search(r'name="form_token" value="([^"]+)"', page_of(site, article_id))
    assert token
    form = {"form_token": token.group(1), "article_id": article_id, "action": to, **fields}
    return site.client.post(f"{ADDRESS}/{to}", data=form)


def undo_of(page: str) -> str:
    """Return the entry that the topmost Undo button takes back."""
    found = re.search(r'name="entry" value="([0-9a-f]{16})"', page)
    assert found, page
    return found.group(1)


def take_back(site: Site, article_id: str) -> Any:
    page = page_of(site, article_id)
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    form = {"form_token": token.group(1), "entry": undo_of(page), "back": ADDRESS}
    answer = site.client.post("/desk/undo", data=form)
    site.services.keeper.refresh()
    return answer


def listed(site: Site, **query: str) -> list[str]:
    """Return the titles that a search finds."""
    answer = site.client.get(ADDRESS, query_string=query)
    assert answer.status_code == 200
    return re.findall(r'<a href="/desk/articles/[^"]+">([^<]+)</a>', answer.text)


def test_an_editor_finds_pins_buries_and_takes_back(site: Site) -> None:
    site.publish(30)
    assert listed(site, text="title 7") == ["Title 7", "Title 17", "Title 27"]
    done = send(site, "pin", "a7", slot="1", hours="3")
    assert (done.status_code, done.location) == (303, "/desk/articles/a7")
    assert "Pinned at place 1." in page_of(site, "a7")
    assert ids_of(site.feed())[0] == "a7"
    assert listed(site, state="pinned") == ["Title 7"]
    assert take_back(site, "a7").status_code == 303
    assert listed(site, state="pinned") == []
    top = ids_of(site.feed("r2"))[0]
    assert send(site, "boost", top, factor="0.01", hours="1").status_code == 303
    assert listed(site, state="buried") == [f"Title {top[1:]}"]
    assert top not in ids_of(site.feed("r3", limit=10))
    take_back(site, top)
    assert ids_of(site.feed("r2"))[0] == top
    history = page_of(site, top)
    assert history.index("Taken back") < history.index("Buried")


def test_a_retraction_on_the_desk_survives_a_delivery(site: Site) -> None:
    site.publish(10)
    assert send(site, "retract", "a3").status_code == 303
    site.publish(10, retracted=False)
    assert "a3" not in ids_of(site.feed())
    assert listed(site, state="retracted") == ["Title 3"]
    assert send(site, "restore", "a3").status_code == 303
    assert "a3" in ids_of(site.feed("r2"))
    site.publish(10, retracted=True)
    assert listed(site, state="retracted")[0] == "Title 0", "the newsroom decides again"
    assert len(listed(site, state="retracted")) == 10


def test_labels_and_expiry_are_set_by_hand(site: Site) -> None:
    site.publish(10)
    send(site, "labels", "a3", ai_generated="generated", sponsored="true")
    site.publish(10)
    (item,) = (i for i in site.feed()["items"] if i["article"]["article_id"] == "a3")
    assert item["labels"] == ["ai_generated", "sponsored"]
    assert listed(site, state="sponsored") == ["Title 3"]
    soon = format_time(NOW + 60)[:16]
    assert send(site, "expiry", "a3", expires_at=soon).status_code == 303
    site.clock.now += 120
    site.services.keeper.refresh()
    assert listed(site, state="expired") == ["Title 3"]
    again = send(site, "labels", "a3", ai_generated="generated", sponsored="true")
    assert again.status_code == 303
    assert "Nothing was changed" in page_of(site, "a3")


def test_the_preview_of_a_pin_keeps_the_pins_that_pinning_keeps(site: Site) -> None:
    site.publish(3)
    send(site, "pin", "a1", slot="1", hours="1", section="section-1")
    snapshot, form = site.services.snapshot, {"slot": "2", "hours": "1"}
    for section, left in (("", 2), ("Section-1", 1)):
        wanted = read_pin("a1", {**form, "section": section}, NOW, "ed")
        assert len(with_pin(snapshot, wanted).pins) == left


@pytest.mark.parametrize(
    ("action", "fields", "rule"),
    [
        ("pin", {"slot": "0", "hours": "3"}, "must be a whole number from 1 to 100"),
        ("pin", {"slot": "1", "hours": "99"}, "must be one of the choices"),
        ("pin", {"slot": "1", "hours": "1", "attributes": "Not A Name:x"}, "attributes"),
        ("pin", PLACED | {"languages": "en, english language"}, "must be a language tag"),
        ("pin", PLACED | {"platforms": "i" * 129}, "It should have at most 128 characters."),
        ("pin", PLACED | {"section": "s" * 129}, "It should have at most 128 characters."),
        ("boost", {"factor": "21", "hours": "3"}, "must be a number from 0.01 to 20"),
        ("boost", {"factor": "much", "hours": "3"}, "must be a number"),
        ("labels", {"ai_generated": "maybe"}, "must be one of"),
        ("expiry", {"expires_at": "soon"}, "must be an ISO 8601 time"),
        ("expiry", {"expires_at": "0001-01-01"}, "must be a time between 1970 and 2200"),
    ],
)
def test_a_refused_form_comes_back_with_its_fault(
    site: Site, action: str, fields: dict[str, str], rule: str
) -> None:
    site.publish(2)
    answer = send(site, action, "a1", **fields)
    assert answer.status_code == 422
    assert rule in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert site.store.read_audit(5) == []


def test_a_pin_names_languages_as_the_api_does(site: Site) -> None:
    site.publish(2)
    assert send(site, "pin", "a1", **PLACED, languages="en_GB, de").status_code == 303
    (pin,) = site.client.get("/v1/pins").json["pins"]
    assert pin["languages"] == ["en-GB", "de"]


def test_the_list_is_searched_sorted_and_paged(site: Site) -> None:
    site.publish(70, source="Quay News")
    late = {"article_id": "late", "title": "Zürich später", "published_at": format_time(NOW + 9000)}
    ids = {"article_id": "https://quay.example/ferry?a=1", "title": "Ferry"}
    site.client.post("/v1/articles", json={"articles": [late, ids]})
    site.services.keeper.refresh()
    assert listed(site, text="ZURICH spater") == ["Zürich später"]
    assert listed(site, state="not yet out") == ["Zürich später"]
    assert listed(site, text="quay.example/ferry") == ["Ferry"]
    assert "Ferry" in page_of(site, "https://quay.example/ferry?a=1")
    assert len(listed(site, source="Quay News")) == 30
    assert len(listed(site, source="Quay News", start="60")) == 10
    assert set(listed(site, section="section-1", text="title 1")) == {
        f"Title {n}" for n in range(70) if n % 4 == 1 and "1" in str(n)
    }
    assert listed(site, text="nothing like it") == []
    click = {"event_id": "e1", "user_id": "u", "article_id": "a50", "kind": "click"}
    site.send({**click, "occurred_at": format_time(NOW)})
    site.work()
    assert listed(site, order="most read now")[0] == "Title 50"
    page = page_of(site, "a50")
    assert "It does not trend: at least 10 readers are needed" in page


def test_a_preview_shows_who_would_see_it_and_records_nothing(site: Site) -> None:
    site.publish(60)
    page = ids_of(site.feed("r0", limit=60))
    for n in range(1, 6):
        site.feed(f"r{n}")
    low = page[40]
    lengths = sum(site.store.stream_lengths())
    shown = send(site, "preview", low, action="pin", slot="1", hours="1")
    assert shown.status_code == 200
    assert "the 6 newest requests of the last hour" in shown.text
    shares = [float(text) for text in re.findall(r"<span>([\d.]+) %</span>", shown.text)]
    assert max(shares[:2]) < 50.0, "drawn by chance at most"
    assert shares[2:] == [100.0, 100.0]
    assert sum(site.store.stream_lengths()) == lengths
    assert site.store.read_audit(5) == []
    boosted = send(site, "preview", low, action="boost", factor="20", hours="1")
    after = float(re.findall(r"<span>([\d.]+) %</span>", boosted.text)[3])
    assert after > 0
    refused = send(site, "preview", low, action="boost", factor="99", hours="1")
    assert refused.status_code == 422


def test_an_unknown_article_has_no_page(site: Site) -> None:
    assert site.client.get(f"{ADDRESS}/nobody").status_code == 404


def test_clicks_are_compared_with_those_of_the_same_places(site: Site) -> None:
    site.publish(5)
    page = site.client.get(f"{ADDRESS}/a1?places=yes")
    assert "it stood in 0 pages of feeds" in page.text
    for n in range(12):
        feed = site.feed(f"r{n}")
        site.send(click_of(feed, f"r{n}", ids_of(feed)[0]))
    for minute in range(1, 20):
        site.worker.tick(site.clock.now + 60 * minute)
    page = site.client.get(f"{ADDRESS}/{ids_of(feed)[0]}?places=yes")
    assert re.search(r"It gets [01]\.\d\d times as many clicks as articles at the same", page.text)
    assert "stood in 12 pages of feeds" in page.text


def test_the_list_compares_clicks_with_those_of_the_same_places(site: Site) -> None:
    site.publish(5)
    for n in range(12):
        feed = site.feed(f"r{n}")
        site.send(click_of(feed, f"r{n}", ids_of(feed)[0]))
    for minute in range(1, 20):
        site.worker.tick(site.clock.now + 60 * minute)
    page = site.client.get(ADDRESS).text
    assert "Compare clicks at the same places" in page
    address = re.search(r'hx-get="(/desk/articles[^"]*places=yes)"', page)
    assert address
    answer = site.client.get(address.group(1).replace("&amp;", "&")).text
    clicks = re.findall(r'data-label="Clicks against usual">(?:<[^>]+>)([^<]+)<', answer)
    assert len(clicks) == 5
    assert any(re.match(r"\d\.\d", text) for text in clicks)
    assert "too few" in clicks
    again = site.client.get(ADDRESS).text
    assert re.findall(r'data-label="Clicks against usual">(?:<[^>]+>)([^<]+)<', again) == clicks
    assert "Readers, last hour" in again


def click_of(feed: dict[str, Any], user_id: str, article_id: str) -> dict[str, Any]:
    return {
        "event_id": f"click-{user_id}",
        "user_id": user_id,
        "article_id": article_id,
        "kind": "click",
        "request_id": feed["request_id"],
    }


def test_a_form_comes_back_to_an_article_with_any_id(site: Site) -> None:
    hostile = "a\"'<b>/../?#%2F"
    site.client.post(
        "/v1/articles",
        json={
            "articles": [
                {"article_id": hostile, "title": "Odd", "published_at": format_time(NOW - 60)}
            ]
        },
    )
    assert send(site, "pin", hostile, slot="1", hours="3").status_code == 303
    page = page_of(site, hostile)
    back = re.search(r'name="back" value="([^"]+)"', page)
    assert back
    assert back.group(1) == f"{ADDRESS}/{quote(hostile, safe='')}"
    assert site.client.get(back.group(1)).status_code == 200


@pytest.mark.parametrize("article_id", [".", ".."])
def test_an_article_whose_id_browsers_take_out_of_an_address_has_a_page(
    site: Site, article_id: str
) -> None:
    late = {"article_id": article_id, "title": "Dot", "published_at": format_time(NOW - 60)}
    site.client.post("/v1/articles", json={"articles": [late]})
    site.services.keeper.refresh()
    found = re.search(r'<a href="([^"]+)">Dot</a>', site.client.get(ADDRESS).text)
    assert found
    assert found.group(1) == f"/desk/article?id={article_id}"
    page = site.client.get(found.group(1))
    assert page.status_code == 200
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert token
    form = {"form_token": token.group(1), "article_id": article_id, "slot": "1", "hours": "1"}
    done = site.client.post(f"{ADDRESS}/pin", data=form)
    assert (done.status_code, done.location) == (303, found.group(1))
    page = site.client.get(done.location)
    assert "Pinned at place 1" in page.text
    back = re.search(r'name="back" value="([^"]+)"', page.text)
    assert back
    assert back.group(1) == found.group(1)


def test_a_pin_of_a_section_that_no_article_has_says_so(site: Site) -> None:
    site.publish(4)
    send(site, "pin", "a1", slot="1", hours="1", section="Section-1")
    assert "No article has the section" not in page_of(site, "a1")
    send(site, "pin", "a1", slot="1", hours="1", section="Sprot")
    assert "No article has the section Sprot now." in page_of(site, "a1")


def test_a_pin_whose_section_holds_control_characters_is_refused_beside_its_field(
    site: Site,
) -> None:
    site.publish(2)
    answer = send(site, "pin", "a1", slot="1", hours="1", section="ne\x00ws")
    assert answer.status_code == 422
    assert re.search(r'id="pin-section-error">It must hold no control characters', answer.text)


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (1.0, "as good as certain"),
        (0.5, "about 1 in 2"),
        (0.0123, "about 1 in 81"),
        (1.234e-5, "about 1 in 81,000"),
        (1e-12, "less than 1 in 1,000,000,000"),
    ],
)
def test_a_chance_is_said_in_words(p_value: float, words: str) -> None:
    assert chance_words(p_value) == words


def test_why_an_article_does_not_trend_is_said_without_mathematics(site: Site) -> None:
    site.publish(30)
    clicks = [
        {"event_id": f"e{n}-{a}", "user_id": f"u{n}", "article_id": f"a{a}", "kind": "click"}
        for n in range(12)
        for a in range(20)
    ]
    site.send(*clicks)
    site.work()
    page = " ".join(page_of(site, "a3").split())
    assert "about 12 readers counted" in page
    assert "the chance of so many must be under 1 in 100,000" in page
    assert "1e-05" not in page
    quiet = page_of(site, "a25")
    assert "at least 10 readers are needed, and it had next to none" in quiet
