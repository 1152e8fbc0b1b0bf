"""Previews of the desk: what readers would see after an action, ranked in batches."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from feed.config import Settings
from feed.domain import format_time
from feed.service.previews import BATCH
from tests.service.conftest import NOW, Site, ids_of
from tests.service.test_desk_articles import page_of, send

REQUESTS = 2 * BATCH + 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, ranking=replace(settings.ranking, explore_slots=0))


@pytest.fixture
def busy(site: Site) -> Site:
    """A site whose readers have asked for more feeds than one batch ranks."""
    site.publish(60)
    for n in range(REQUESTS):
        site.feed(f"r{n}")
    return site


def going_on(page: str) -> dict[str, str]:
    """Return the hidden fields of the form that goes on with a preview."""
    form = re.search(r'<form[^>]*hx-post="[^"]*more".*?</form>', page, re.DOTALL)
    assert form, page
    found = re.findall(r'name="([^"]+)" value="([^"]*)"', form.group(0).split("<noscript>")[0])
    return {name: unescape(value) for name, value in found}


def shares(page: str) -> list[float]:
    return [float(text) for text in re.findall(r"<span>([\d.]+) %</span>", page)]


def look(site: Site, action: str, article_id: str, **fields: str) -> Any:
    """Return the whole preview of an action, as a browser without scripts gets it."""
    page = send(site, "preview", article_id, **{"action": action, "rest": "yes", **fields})
    assert page.status_code == 200, page.text
    return page.text


def test_a_preview_goes_on_in_batches_and_ends_as_if_made_at_once(busy: Site) -> None:
    page = send(busy, "preview", "a30", action="pin", slot="1", hours="1").text
    assert f"{BATCH} of the {REQUESTS} newest requests" in page
    assert f'<progress id="preview-progress" max="{REQUESTS}" value="{BATCH}">' in page
    for done in (2 * BATCH, REQUESTS):
        answer = busy.client.post("/desk/articles/preview/more", data=going_on(page))
        assert answer.status_code == 200
        page = answer.text
        assert "<html" not in page
        assert f"{done}" in page
    assert f"the {REQUESTS} newest requests of the last hour, ranked again" in page
    assert "<progress" not in page
    whole = look(busy, "pin", "a30", slot="1", hours="1")
    assert shares(page) == shares(whole)
    assert shares(page) == [0.0, 0.0, 100.0, 100.0]


def test_a_browser_without_scripts_ranks_the_rest_with_one_button(busy: Site) -> None:
    page = send(busy, "preview", "a0", action="look").text
    answer = busy.client.post("/desk/articles/preview", data={**going_on(page), "rest": "yes"})
    assert f"the {REQUESTS} newest requests" in answer.text
    assert shares(answer.text) == [100.0, 100.0]


def test_a_preview_whose_state_was_tampered_with_is_refused(busy: Site) -> None:
    fields = going_on(send(busy, "preview", "a0", action="look").text)
    answer = busy.client.post("/desk/articles/preview/more", data={**fields, "so_far": "x.y.z"})
    assert answer.status_code == 422


def test_a_retraction_and_its_restoration_are_previewed(busy: Site) -> None:
    assert shares(look(busy, "retract", "a0")) == [100.0, 100.0, 0.0, 0.0]
    assert "a0" in ids_of(busy.feed("r0")), "a preview changes nothing"
    send(busy, "retract", "a0")
    assert shares(look(busy, "restore", "a0")) == [0.0, 0.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("seconds", "after", "words"),
    [
        (-60, [0.0, 0.0], "This time is past: no feed shows it from now on."),
        (3600, [100.0, 100.0], "Feeds may show it until"),
    ],
)
def test_an_expiry_is_previewed_and_says_what_it_does(
    busy: Site, seconds: float, after: list[float], words: str
) -> None:
    field = {"expires_at": format_time(NOW + seconds)[:16]}
    page = look(busy, "expiry", "a0", **field)
    assert shares(page) == [100.0, 100.0, *after]
    assert words in page
    assert send(busy, "expiry", "a0", **field).status_code == 303
    assert words in page_of(busy, "a0")


def test_a_label_is_previewed_under_the_limits_that_count_it(busy: Site) -> None:
    limit = {"rule": "at_most", "of": "sponsored", "share": 0.0, "within": 10}
    busy.client.put("/v1/limits", json={"version": 0, "limits": [limit]})
    same = shares(look(busy, "labels", "a0", ai_generated="none"))
    assert same == [100.0, 100.0, 100.0, 100.0]
    changed = shares(look(busy, "labels", "a0", ai_generated="none", sponsored="true"))
    assert changed == [100.0, 100.0, 0.0, 100.0], "the limit keeps it out of the first ten"


def test_settings_are_previewed_in_batches_that_add_up(busy: Site) -> None:
    token = going_on(send(busy, "preview", "a0", action="look").text)["form_token"]
    form = {"form_token": token, "slate_size": "4"}
    page = busy.client.post("/desk/settings/preview", data=form).text
    assert f"{BATCH} of the {REQUESTS} newest requests" in page
    while "<progress" in page:
        answer = busy.client.post("/desk/settings/preview/more", data=going_on(page))
        assert answer.status_code == 200
        page = answer.text
    assert f"{REQUESTS} requests of the last hour were ranked again" in page
    rest = {**form, "rest": "yes"}
    whole = busy.client.post("/desk/settings/preview", data=rest).text
    rows = r'<th scope="row">([^<]+)</th><td class="number">([^<]+)</td><td class="number">([^<]+)'
    assert re.findall(rows, page) == re.findall(rows, whole) != []
