"""The room Sources: what is shown, added, imported, paused, removed, and taken back."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import Settings
from feed.service.api_keys import hash_key
from feed.sources.subscription import Source, SourceState
from tests.service.conftest import Site

ADDRESS = "https://paper.example/feed"
OPML = b"""<opml version="2.0"><body>
<outline type="rss" text="Quay" xmlUrl="https://quay.example/rss"/>
<outline type="rss" text="Dale" xmlUrl="https://dale.example/rss"/>
</body></opml>"""


def post(site: Site, path: str = "", **form: Any) -> Any:
    """Send a form of the room, and follow where it leads."""
    page = site.client.get("/desk/sources").text
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    return site.client.post(
        f"/desk/sources{path}", data={"form_token": token.group(1), **form}, follow_redirects=True
    )


def undo(site: Site, page: str) -> Any:
    """Press Undo in the message at the top of a page."""
    said = page[page.index('class="said"') :]
    entry = re.search(r'name="entry" value="([^"]+)"', said)
    token = re.search(r'name="form_token" value="([^"]+)"', said)
    assert entry
    assert token
    form = {"form_token": token.group(1), "entry": entry.group(1), "back": "/desk/sources"}
    return site.client.post("/desk/undo", data=form, follow_redirects=True)


def actions(site: Site, source_id: str) -> list[tuple[str, str]]:
    return [(e.by, e.action) for e in site.store.read_audit(10, f"sources/{source_id}")]


def test_a_source_is_added_and_taken_back_and_back_again(site: Site) -> None:
    page = post(site, address=f"  {ADDRESS} ", name="The Paper", zone="Europe/Berlin")
    assert f"{ADDRESS} is a source now." in page.text
    assert "<strong>The Paper</strong>" in page.text
    (source,) = site.services.sources.all().values()
    assert source.zone == "Europe/Berlin"
    page = undo(site, page.text)
    assert "Taken back" in page.text
    assert site.services.sources.all() == {}
    undo(site, page.text)
    assert site.services.sources.all() == {source.source_id: source}
    assert actions(site, source.source_id) == [
        ("open access", "restored"),
        ("open access", "removed"),
        ("open access", "added"),
    ]


def test_a_known_source_is_not_added_again(site: Site) -> None:
    post(site, address=ADDRESS)
    page = post(site, address=ADDRESS)
    assert "is a source already." in page.text
    assert 'action="/desk/undo"' not in page.text


@pytest.mark.parametrize(
    ("form", "field", "rule"),
    [
        ({"address": "ftp://paper.example"}, "address", "must be an http(s) address"),
        ({"address": "http://127.0.0.1/feed"}, "address", "is not a public address"),
        ({"address": ""}, "address", "required"),
        ({"address": ADDRESS, "zone": "Mars/Base"}, "zone", "is not a time zone"),
        ({"address": ADDRESS, "min_minutes": "soon"}, "min_minutes", "should be a valid number"),
        ({"address": ADDRESS, "min_minutes": "9", "max_minutes": "3"}, "min_minutes", "must not"),
    ],
)
def test_a_fault_is_told_beside_its_field(
    site: Site, form: dict[str, str], field: str, rule: str
) -> None:
    page = post(site, **form)
    assert page.status_code == 422
    told = re.search(rf'<p class="error" id="field-{field}-error">([^<]+)', page.text)
    assert told, page.text
    assert rule in told.group(1)
    assert site.services.sources.all() == {}
    for name, value in form.items():
        assert re.search(rf'name="{name}"[^>]*value="{re.escape(value)}"', page.text)


def test_a_list_is_imported_in_one_go(site: Site) -> None:
    post(site, address="https://dale.example/rss")
    page = post(site, "/import", list=(io.BytesIO(OPML), "feeds.opml"))
    assert "1 sources were added, 1 were known already." in page.text
    assert {s.address for s in site.services.sources.all().values()} == {
        "https://quay.example/rss",
        "https://dale.example/rss",
    }


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "names no feed"),
        (b"nonsense", "line 1 must be"),
        (b"http://10.0.0.1/", "not a public"),
    ],
)
def test_a_bad_list_adds_nothing_and_says_why(site: Site, content: bytes, rule: str) -> None:
    page = post(site, "/import", list=(io.BytesIO(content), "feeds.txt"))
    assert page.status_code == 422
    assert rule in page.text
    assert site.services.sources.all() == {}
    assert "must be chosen first" in post(site, "/import").text


def test_a_removed_source_comes_back_without_its_login(site: Site) -> None:
    post(site, address="https://mia:secret@paper.example/feed")
    (source_id,) = site.services.sources.all()
    page = post(site, f"/{source_id}/remove")
    assert "Undo does not bring its login back." in page.text
    undo(site, page.text)
    assert site.services.sources.get(source_id)[0].address == ADDRESS
    log = site.client.get("/desk/audit").text
    assert "secret" not in log + page.text
    assert "secret" not in repr(site.store.read_audit(10))


def test_a_source_is_paused_resumed_and_checked(site: Site) -> None:
    post(site, address=ADDRESS, name="The Paper")
    (source_id,) = site.services.sources.all()
    paused = post(site, f"/{source_id}/pause").text
    assert "The Paper is paused." in paused
    assert site.services.sources.get(source_id)[0].paused
    undo(site, paused)
    assert not site.services.sources.get(source_id)[0].paused
    asked = site.services.sources.get(source_id)[0].asked
    assert "is checked in a moment" in post(site, f"/{source_id}/check").text
    assert site.services.sources.get(source_id)[0].asked == asked + 1


def test_an_undo_that_came_too_late_changes_nothing(site: Site) -> None:
    page = post(site, address=ADDRESS).text
    (source_id,) = site.services.sources.all()
    site.services.sources.pause(source_id, "ann")
    late = undo(site, page)
    assert late.status_code == 409
    assert "was changed since it was added" in late.text
    assert source_id in site.services.sources.all()


def test_what_a_check_found_is_told_in_words(site: Site) -> None:
    source = Source(address=ADDRESS)
    site.services.sources.add([source])
    state = SourceState(
        title="Paper & Son",
        failures=3,
        message="the server answered 503",
        checked_at=site.clock.now - 60,
        succeeded_at=site.clock.now - 7200,
        next_at=site.clock.now + 600,
        left_out=2,
        findings=(("entry 4", "published_at", "must be a date"),),
    )
    site.store.write_source_state(source.source_id, state.to_json())
    page = site.client.get("/desk/sources").text
    for words in ("Paper &amp; Son", "the server answered 503", "2 hours ago", "in 10 minutes"):
        assert words in page
    assert "entry 4: published_at must be a date" in page
    assert ">1 failing<" in page


def test_the_list_renews_itself_only_while_a_check_is_awaited(site: Site) -> None:
    source = Source(address=ADDRESS)
    site.services.sources.add([source])
    page = site.client.get("/desk/sources").text
    assert "being checked" in page
    assert 'hx-trigger="every 3s"' in page
    state = SourceState(checked_at=site.clock.now, succeeded_at=site.clock.now)
    site.store.write_source_state(source.source_id, state.to_json())
    page = site.client.get("/desk/sources").text
    assert "being checked" not in page
    assert "hx-trigger" not in page


def test_an_analyst_sees_and_an_editor_acts(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    keys = f"ann:read:{hash_key('ann')},ed:write:{hash_key('ed')}"
    site = make_site(replace(settings, api_keys=keys))
    site.client.post("/desk/sign-in", data={"key": "ann"})
    page = site.client.get("/desk/sources")
    assert page.status_code == 200
    assert "Add a source" not in page.text
    assert post(site, address=ADDRESS).status_code == 403
    site.client.post("/desk/sign-in", data={"key": "ed"})
    assert post(site, address=ADDRESS).status_code == 200
    (source_id,) = site.services.sources.all()
    assert actions(site, source_id) == [("ed", "added")]


def test_the_api_writes_the_same_entries(site: Site) -> None:
    made = site.client.post("/v1/sources", json={"sources": [{"address": ADDRESS}]})
    source_id = made.json["results"][0]["source_id"]
    for action in ("pause", "resume"):
        site.client.post(f"/v1/sources/{source_id}/{action}")
    site.client.delete(f"/v1/sources/{source_id}")
    assert [action for _, action in actions(site, source_id)] == [
        "removed",
        "resumed",
        "paused",
        "added",
    ]
