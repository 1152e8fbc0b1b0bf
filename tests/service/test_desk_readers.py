"""A support case on the desk: why does a reader see this, and why not that?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import format_time
from feed.storage.records import AuditEntry
from tests.service.conftest import Site
from tests.service.test_desk_access import keyed, sign_in, token_of  # noqa: F401 - a fixture


@pytest.fixture
def site(make_site: Callable[[Settings], Site], settings: Settings) -> Site:
    site = make_site(replace(settings, ranking=RankingConfig(explore_slots=0)))
    site.publish(30)
    at = format_time(site.clock.now - 90)
    read = {"event_id": "e1", "user_id": "ann", "kind": "click", "occurred_at": at}
    assert site.send({**read, "article_id": "a3"})["accepted"] == 1
    return site


def get(site: Site, address: str, status: int = 200, **query: Any) -> str:
    page = site.client.get(address, query_string=query)
    assert page.status_code == status, page.text
    assert " style=" not in page.text
    return " ".join(page.text.split())


def test_a_reader_is_found_by_id(site: Site) -> None:
    assert "Nobody has looked at a reader yet." in get(site, "/desk/readers")
    found = site.client.get("/desk/readers?user_id=a%2Fb")
    assert (found.status_code, found.location) == (303, "/desk/readers/a%2Fb")
    assert "<h1>a/b</h1>" in get(site, "/desk/readers/a%2Fb")
    assert 'href="/desk/readers/a%2Fb"' in get(site, "/desk/readers").replace("a/b", "a%2Fb")
    refused = get(site, "/desk/readers", 422, user_id="a b")
    assert "must be 1 to 128 characters without white space" in refused


def test_why_do_i_see_this(site: Site) -> None:
    client_feed = site.feed("ann", limit=5)["items"]
    page = get(site, "/desk/readers/ann", limit=5)
    assert page.count('<li class="slot">') == 5
    titles = [item["article"]["title"] for item in client_feed]
    places = [page.index(f'<span class="slot-title">{title}</span>') for title in titles]
    assert places == sorted(places)
    assert f"Next in line was “{titles[1]}”: its score would have had to be " in page
    assert "Newest: number 1" in page
    assert "How new it is: speaks strongly for it" in page
    assert client_feed[0]["reasons"][0]["text"] in page
    assert "click" in page
    (entry,) = site.store.read_audit(5)
    assert (entry.action, entry.subject) == ("looked at", "readers/ann")


def test_what_the_reader_stated_is_shown(site: Site) -> None:
    preferences = {"followed_sections": ["section-2"], "personalization": True}
    site.client.put("/v1/users/ann/preferences", json=preferences)
    site.client.put("/v1/users/ann/attributes", json={"attributes": {"subscriber": "yes"}})
    page = get(site, "/desk/readers/ann")
    assert "<dt>Follows sections</dt><dd>section-2</dd>" in page
    assert "<dt>subscriber</dt><dd>yes</dd>" in page
    site.client.put("/v1/users/ann/preferences", json={"personalization": False})
    assert "has switched personalisation off" in get(site, "/desk/readers/ann")


@pytest.mark.parametrize(
    ("article", "words"),
    [
        ("a3", "It may not be shown here. The reader opened it at "),
        ("a0", "It is in this feed, at slot "),
        ("a25", "Its score would have to be "),
    ],
)
def test_why_do_i_not_see_that(site: Site, article: str, words: str) -> None:
    page = get(site, "/desk/readers/ann", article=article, limit=10)
    assert words in page
    assert "What each source says of it" in page or article == "a3"
    (entry,) = site.store.read_audit(5)
    assert entry.after == {"article": article}


def test_an_article_is_found_by_words_of_its_title(site: Site) -> None:
    page = get(site, "/desk/readers/ann", article="title 29")
    assert "Which of these do you mean?" in page
    assert '<input type="hidden" name="article" value="a29">' in page
    none = get(site, "/desk/readers/ann", article="no such words")
    assert "No article has this id" in none


def test_a_wrong_filter_is_said_beside_its_field(site: Site) -> None:
    page = get(site, "/desk/readers/ann", 422, limit="500")
    assert 'id="field-limit-error"' in page


def test_a_simulation_stands_side_by_side(site: Site) -> None:
    form = {"second.read": "a4\na8", "second.settings": "section_decay = 0.2"}
    token = {"form_token": token_of(get(site, "/desk/simulation"))}
    done = site.client.post("/desk/simulation", data={**form, **token})
    assert done.status_code == 200
    page = " ".join(done.text.split())
    assert page.count('<ol class="slots"') == 2
    assert "% of the articles are in both feeds" in page
    assert '<span class="mark calm">gone</span>' in page
    assert '<span class="mark calm">new</span>' in page
    assert site.store.read_audit(5) == []


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({"first.read": "a1\nnowhere"}, "first.read", "Line 2 must be an article that exists"),
        ({"second.settings": "mmr_lambda 2"}, "second.settings", "must have lines such as"),
        ({"second.settings": "mmr_lambda = 2"}, "second.settings", "mmr_lambda must lie between"),
        ({"second.settings": "speed = 2"}, "second.settings", "speed is not a setting"),
        ({"first.read": "a b"}, "first.read", "Line 1 "),
        ({"language": "???"}, "language", ""),
    ],
)
def test_a_wrong_simulation_is_refused_beside_its_field(
    site: Site, form: dict[str, str], field: str, words: str
) -> None:
    token = {"form_token": token_of(get(site, "/desk/simulation"))}
    refused = site.client.post("/desk/simulation", data={**form, **token})
    assert refused.status_code == 422
    assert f'id="field-{field}-error">{words}' in refused.text


ADDRESSES = ("/desk/readers", "/desk/readers/ann", "/desk/simulation")


@pytest.mark.parametrize("name", ["ann", "ed"])
def test_analysts_and_editors_are_refused(keyed: Site, name: str) -> None:  # noqa: F811
    sign_in(keyed, name)
    for address in ADDRESSES:
        refused = keyed.client.get(address)
        assert refused.status_code == 403
        assert "needs the role admin" in refused.text
    assert [entry.action for entry in keyed.store.read_audit(9)] == ["signed in"]


def test_the_audit_log_tells_only_administrators_who_was_looked_at(keyed: Site) -> None:  # noqa: F811
    keyed.store.append_audit(AuditEntry(0.0, "boss", "looked at", "readers/ann-4711"))
    for name, is_told in (("ann", False), ("ed", False), ("boss", True)):
        sign_in(keyed, name)
        for subject in ("", "readers", "readers/ann-4711"):
            page = keyed.client.get("/desk/audit", query_string={"subject": subject})
            assert ("Looked at" in page.text) == is_told


def test_administrators_may_look(keyed: Site) -> None:  # noqa: F811
    sign_in(keyed, "boss")
    for address in ADDRESSES:
        assert keyed.client.get(address).status_code == 200
    assert keyed.store.read_audit(9, "readers")[0].by == "boss"
