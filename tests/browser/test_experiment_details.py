"""The pages about experiments where somebody is in a hurry, or something is slow or gone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Route, expect

from .conftest import Visitor, running_site
from .test_experiments import confirm, fill_the_essentials, go, register, row_of, stored

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an open service whose archive is empty."""
    with running_site(tmp_path_factory.mktemp("details")) as address:
        yield address


def test_readers_are_chosen_and_split_by_attributes(visitor: Visitor, desk: str) -> None:
    page = go(visitor(at=desk, expected_complaints=("422", "503")), "/new")
    fill_the_essentials(page, "chosen")
    page.get_by_text("Audience, statistics and layers").click()
    add = page.get_by_role("button", name="Only readers with an attribute")
    add.click()
    add.click()
    names, values = page.get_by_label("Attribute"), page.get_by_label("Accepted values")
    names.nth(0).fill("subscriber")
    values.nth(0).fill("no, trial")
    page.get_by_label("Also readers whose value is not known").nth(0).check()
    names.nth(1).fill("Home.Region")
    values.nth(1).fill("north")
    page.get_by_label("Segments of the report").fill("subscriber, region")
    page.get_by_role("button", name="Create the draft").click()
    expect(names.nth(1)).to_be_focused()
    expect(page.locator(".entry .error")).to_contain_text("This must be a name of 1 to 32")
    names.nth(1).fill("region")
    page.get_by_role("button", name="Create the draft").click()
    facts = page.get_by_role("region", name="Registered")
    expect(facts).to_contain_text("subscriber no or trial or not known; region north")
    expect(facts).to_contain_text("Segmentssubscriber, region")
    found = stored(desk, "chosen")
    attributes = {"subscriber": ["no", "trial", ""], "region": ["north"]}
    assert found["audience"]["attributes"] == attributes
    assert found["segments"] == ["subscriber", "region"]


def test_the_form_of_a_draft_that_was_started_leads_to_the_experiment(
    visitor: Visitor, desk: str
) -> None:
    other = {"name": "plain", "share": 0.5, "overrides": {"use_ranker": False}}
    register(desk, "off-it-goes", variants=[{"name": "control", "share": 0.5}, other])
    assert httpx.post(f"{desk}/v1/experiments/off-it-goes/start").status_code == 200
    page = go(visitor(at=desk), "/new?draft=off-it-goes")
    expect(page.get_by_role("heading", name="off-it-goes", level=1)).to_be_visible()
    assert page.url == f"{desk}/experiments/off-it-goes"


def test_a_second_setting_is_another_one(visitor: Visitor, desk: str) -> None:
    page = go(visitor(at=desk, expected_complaints=("422", "503")), "/new")
    add = page.get_by_role("button", name="Change a setting", exact=True)
    add.click()
    add.click()
    first, second = (page.get_by_label("Setting").nth(n).input_value() for n in (0, 1))
    assert first != second


def test_what_was_sent_is_waited_for_and_the_keyboard_stays_where_it_was(
    visitor: Visitor, desk: str
) -> None:
    register(desk, "slow")
    page = go(visitor(at=desk))
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route("**/v1/experiments/slow/start", hold)
    page.get_by_role("button", name="Start slow").click()
    confirm(page, "Start")
    expect(page.locator("#ask").get_by_role("button", name="Cancel")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_visible()
    page.wait_for_timeout(50)
    assert len(waiting) == 1
    waiting[0].continue_()
    expect(row_of(page, "slow")).to_contain_text("Running")
    expect(page.locator("#main")).to_be_focused()
    row_of(page, "slow").get_by_role("button", name="Duplicate slow").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Duplicate slow")).to_be_focused()


def test_a_report_that_is_gone_leaves_the_rest_of_the_page(visitor: Visitor, desk: str) -> None:
    register(desk, "torn")
    page = visitor(at=desk, expected_complaints=("404", "502")).page
    report = {"name": "torn", "version": 1, "verdict": "go on", "sentence": "Go on: it runs."}
    report |= {"made_at": "2026-01-01T00:00:00Z", "days_run": 1, "readers": 1}
    answer = json.dumps({"reports": [report], "watch_minutes": 60})
    page.route("**/v1/reports", lambda route: route.fulfill(body=answer))
    page.goto(f"{desk}/experiments/torn")
    expect(page.get_by_text("The report cannot be shown.")).to_be_visible()
    page.route("**/archive", lambda route: route.fulfill(status=502, body="a proxy's page"))
    page.get_by_role("button", name="Archive torn").click()
    confirm(page, "Archive")
    expect(page.locator("#ask .error")).to_have_text("The service answered 502.")
