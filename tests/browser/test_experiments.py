"""The pages about experiments: designed, started, read and stopped by people."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab.simulation.archive import World, write_simulated_log
from playwright.sync_api import Page, Route, expect

from feed.commands.opening import open_store
from feed.config import DAY_S, Settings
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.service.api_keys import hash_key
from feed.watching.watcher import Watcher

from .conftest import Visit, Visitor, running_site
from .test_access import assert_fits_the_width, assert_sound

pytestmark = pytest.mark.browser

WORLD = World(
    experiment="louder",
    variants=("control", "loud"),
    readers=3000,
    days=8,
    pre_days=15,
    lift=-0.5,
    visits=0.1,
)
"""Readers who click half as often in the variant."""
LATER_S = 8.5 * DAY_S
ADMIN_KEY, READ_KEY = "the key of somebody who may", "the key of somebody who may only look"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an open service whose archive is empty."""
    with running_site(tmp_path_factory.mktemp("desk")) as address:
        yield address


@pytest.fixture(scope="module")
def guarded_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded-desk")


@pytest.fixture(scope="module")
def guarded_desk(guarded_directory: Path) -> Iterator[str]:
    """The address of a service that wants keys, with readers' past and future in its archive."""
    tomorrow = (time.time() // DAY_S + 1) * DAY_S
    write_simulated_log(guarded_directory, replace(WORLD, start_at=tomorrow))
    keys = f"ada:admin:{hash_key(ADMIN_KEY)},bob:read:{hash_key(READ_KEY)}"
    with running_site(guarded_directory, api_keys=keys) as address:
        yield address


def design(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "hypothesis": "Less of what trends brings readers back.",
        "owner": "front page desk",
        "variants": [
            {"name": "control", "share": 0.5},
            {"name": "calmer", "share": 0.5, "overrides": {"trending_boost": 0.1}},
        ],
        "layer": name,
        **changes,
    }


def register(address: str, name: str, **changes: Any) -> None:
    answer = httpx.post(f"{address}/v1/experiments", json=design(name, **changes))
    assert answer.status_code == 201, answer.text


def stored(address: str, name: str) -> dict[str, Any]:
    experiments = httpx.get(f"{address}/v1/experiments").json()["experiments"]
    found: dict[str, Any] = next(one for one in experiments if one["name"] == name)
    return found


def go(visit: Visit, path: str = "") -> Page:
    visit.page.goto(f"{visit.site}/experiments{path}")
    visit.page.wait_for_selector("#main[aria-busy=false]")
    return visit.page


def give_key(page: Page, key: str) -> None:
    page.get_by_label("This service answers only callers with an API key.").fill(key)
    page.get_by_role("button", name="Continue").click()


def fill_the_essentials(page: Page, name: str, *, variant: str = "calmer") -> None:
    page.get_by_label("Name", exact=True).first.fill(name)
    page.get_by_label("Hypothesis").fill("Less of what trends brings readers back.")
    page.get_by_label("Owner").fill("front page desk")
    page.get_by_label("Name", exact=True).nth(2).fill(variant)
    page.get_by_role("button", name="Change a setting", exact=True).click()
    page.get_by_label("Setting").select_option("trending_boost")
    page.get_by_label("Value").fill("0.1")


def row_of(page: Page, name: str) -> Any:
    return page.locator(f"tr[data-name={name}]")


def confirm(page: Page, words: str) -> None:
    page.locator("#ask").get_by_role("button", name=words, exact=True).click()


def test_an_experiment_is_created_planned_ramped_breached_stopped_and_read(
    visitor: Visitor, guarded_desk: str, guarded_directory: Path
) -> None:
    visit = visitor(at=guarded_desk, expected_complaints=("401", "409", "503"))
    page = visit.page
    page.goto(f"{guarded_desk}/experiments/new")
    give_key(page, ADMIN_KEY)

    fill_the_essentials(page, WORLD.experiment, variant="loud")
    page.get_by_label("Smallest effect that matters").fill("40")
    page.get_by_role("button", name="Add a guardrail").click()
    guardrail = page.locator("[data-field=guardrails] > [data-row]").last
    guardrail.get_by_label("Metric").select_option("clicks")
    guardrail.get_by_label("Worse by at most").fill("30")
    page.get_by_label("Readers who take part at the start").fill("50")
    page.get_by_label("When a guardrail is breached").select_option("stop")
    plan = page.get_by_role("complementary", name="What it takes")
    expect(plan.get_by_role("img", name=re.compile("^days by effect"))).to_be_visible(
        timeout=60_000
    )
    expect(plan.get_by_role("row", name=re.compile("^qualified reads primary"))).to_be_visible()
    for effect, least in (("10", "5"), ("40", "20")):  # the plan follows what is typed
        page.wait_for_timeout(1000)  # so that the calculator rests, and only typing wakes it
        page.get_by_label("Smallest effect that matters").fill(effect)
        curve = plan.get_by_role("img", name=re.compile(f" for {least} %,"))
        expect(curve).to_be_visible(timeout=60_000)
    wanted = plan.locator(".need strong").first.inner_text().replace(",", "")
    plan.get_by_role("button", name="Use these numbers").click()
    expect(page.get_by_label("Readers", exact=True)).to_have_value(wanted)
    page.get_by_role("button", name="Create the draft").click()

    page.get_by_role("button", name="Start louder").click()
    expect(page.locator("#ask")).to_contain_text("50 % of the readers")
    confirm(page, "Start")
    page.get_by_role("button", name="Ramp louder").click()
    page.get_by_label("New share of readers").fill("10")
    confirm(page, "Ramp")
    expect(page.locator("#ask .error")).to_contain_text("its traffic never shrinks")
    page.get_by_label("New share of readers").fill("60")
    confirm(page, "Ramp")
    expect(page.locator(".steps")).to_contain_text("Traffic 60 %")

    look_later(guarded_directory)
    page.reload()
    expect(page.locator(".kicker-line")).to_contain_text("Stopped")
    expect(page.locator(".verdict")).to_contain_text("Do not ship")
    report = page.frame_locator("iframe.report")
    expect(report.get_by_role("heading", level=1)).to_contain_text("licks per reader")
    expect(report.locator("script")).to_have_count(0)
    page.get_by_text("Who did what").click()
    log = page.locator(".log tbody tr")
    expect(log.locator("td:nth-child(3)")).to_have_text(["stopped", "ramped", "started", "created"])
    expect(log.locator("td:nth-child(2)")).to_have_text(["worker", "ada", "ada", "ada"])
    expect(log.nth(1)).to_contain_text("50 % → 50 %, 60 %")

    archive_and_duplicate(page)


def archive_and_duplicate(page: Page) -> None:
    page.get_by_role("button", name="Archive louder").click()
    confirm(page, "Archive")
    expect(page.locator(".kicker-line")).to_contain_text("archived")
    page.get_by_role("link", name="Experiments").click()
    expect(row_of(page, "louder")).to_be_attached()
    expect(row_of(page, "louder")).to_be_hidden()
    page.get_by_label("Show archived").check()
    expect(row_of(page, "louder")).to_contain_text("Do not ship")
    row_of(page, "louder").get_by_role("button", name="Duplicate louder").click()
    confirm(page, "Duplicate")
    expect(page.get_by_role("heading", name="Edit louder-2")).to_be_visible()
    expect(page.get_by_label("Hypothesis")).to_have_value(re.compile("^Less of what trends"))


def look_later(directory: Path) -> None:
    """Let the watch look when the archive's last day is over."""
    settings = replace(Settings(), data_dir=directory)
    with open_store(settings) as store:
        (outcome,) = Watcher(store, settings, clock=lambda: time.time() + LATER_S).look_now()
    assert outcome.stopped, outcome.look


def test_a_form_filled_in_is_the_draft_that_is_stored(visitor: Visitor, desk: str) -> None:
    visit = visitor(at=desk, expected_complaints=("422", "503"))
    page = go(visit, "/new")
    fill_the_essentials(page, "calmer")
    page.get_by_label("Smallest effect that matters").fill("7")
    page.get_by_label("Readers", exact=True).fill("4000")
    page.get_by_text("Audience, statistics and layers").click()
    page.get_by_label("Platforms").fill("web, app")
    page.get_by_text("The definition as JSON").click()
    definition = page.locator("details pre")
    expect(definition).to_contain_text('"platforms"')
    shown = json.loads(definition.inner_text())
    page.get_by_role("button", name="Create the draft").click()
    expect(page.get_by_role("heading", name="calmer", level=1)).to_be_visible()
    found = stored(desk, "calmer")
    assert found["variants"][1]["overrides"] == {"trending_boost": 0.1}
    assert found["minimum_effect"] == 0.07
    assert found["planned_readers"] == 4000
    assert found["audience"]["platforms"] == ["web", "app"]
    assert experiment_to_json(experiment_from_json(shown)) == {**found, "created_at": None}


def test_an_error_stands_at_its_field_and_nothing_typed_is_lost(
    visitor: Visitor, desk: str
) -> None:
    visit = visitor(at=desk, expected_complaints=("422", "503"))
    page = go(visit, "/new")
    fill_the_essentials(page, "typed")
    page.get_by_label("Value").fill("101")
    page.get_by_role("button", name="Create the draft").click()
    value = page.get_by_label("Value")
    expect(value).to_be_focused()
    expect(value).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".slot .error")).to_have_text("This must lie between 0 and 100.")
    value.fill("0.1")
    page.get_by_text("Audience, statistics and layers").click()
    page.get_by_label("Chance of a false alarm").fill("50")
    page.get_by_text("Audience, statistics and layers").click()
    page.get_by_role("button", name="Create the draft").click()
    expect(page.get_by_label("Chance of a false alarm")).to_be_focused()
    page.reload()
    page.get_by_text("What you had typed is back.").wait_for()
    expect(page.get_by_label("Hypothesis")).to_have_value(re.compile("^Less of what trends"))
    expect(page.get_by_label("Value")).to_have_value("0.1")
    expect(page.get_by_label("Name", exact=True).first).to_have_value("typed")


def test_a_draft_is_edited_and_keeps_what_the_form_does_not_show(
    visitor: Visitor, desk: str
) -> None:
    unshown = {"salt": "other", "overrides": {"tester": "calmer"}}
    attributes = {"subscriber": ["no", ""], "region": ["north"]}
    register(desk, "edited", **unshown, audience={"attributes": attributes}, segments=["region"])
    before = stored(desk, "edited")
    page = go(visitor(at=desk, expected_complaints=("422", "503")))
    row_of(page, "edited").get_by_role("link", name="Edit edited").click()
    page.get_by_label("Owner").fill("somebody else")
    page.get_by_role("button", name="Add a variant").click()
    page.get_by_label("Name", exact=True).nth(3).fill("wilder")
    page.get_by_role("button", name="Change a setting", exact=True).nth(1).click()
    page.get_by_label("Setting").nth(1).select_option("use_ranker")
    page.get_by_role("button", name="Give all the same share").click()
    page.get_by_role("button", name="Save the draft").click()
    expect(page.get_by_role("heading", name="edited", level=1)).to_be_visible()
    after = stored(desk, "edited")
    assert [variant["share"] for variant in after["variants"]] == [0.3334, 0.3333, 0.3333]
    assert after["variants"][2]["overrides"] == {"use_ranker": False}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"owner", "variants", "revision", "created_at"}


def test_the_list_is_filtered_by_status_and_words_and_the_address_keeps_it(
    visitor: Visitor, desk: str
) -> None:
    register(desk, "planned", owner="sports")
    register(desk, "begun", owner="sports")
    assert httpx.post(f"{desk}/v1/experiments/begun/start").status_code == 200
    page = go(visitor(at=desk))
    page.get_by_label("Search").fill("sports")
    expect(page.locator("tbody tr:visible")).to_have_count(2)
    page.get_by_role("button", name="Running", exact=True).click()
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    expect(row_of(page, "begun")).to_contain_text("day 1 of 14; 10,000 readers planned")
    page.reload()
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    page.get_by_label("Search").fill("nobody")
    expect(page.get_by_text("No experiment fits")).to_be_visible()
    assert httpx.post(f"{desk}/v1/experiments/begun/stop").status_code == 200
    expect(row_of(go(visitor(at=desk)), "begun")).to_contain_text("ran 0.0 of 14 days")


def test_a_key_is_asked_for_where_it_is_needed_and_typing_goes_on(
    visitor: Visitor, guarded_desk: str
) -> None:
    visit = visitor(at=guarded_desk, expected_complaints=("401", "403", "422", "503"))
    page = visit.page
    key = page.get_by_label("This service answers only callers with an API key.")
    page.goto(f"{guarded_desk}/experiments/new")
    give_key(page, READ_KEY)
    expect(page.get_by_text("this needs a key with scope admin")).to_be_visible()
    give_key(page, ADMIN_KEY)
    page.wait_for_selector("#main[aria-busy=false]")
    fill_the_essentials(page, "guarded")
    page.get_by_role("button", name="Create the draft").click()
    expect(page.get_by_role("heading", name="guarded", level=1)).to_be_visible()
    page.get_by_role("button", name="Forget my key").click()
    expect(key).to_be_visible()
    expect(page.get_by_role("heading", name="guarded", level=1)).to_have_count(0)


def test_an_answer_that_comes_after_the_key_asks_for_no_other_key(
    visitor: Visitor, guarded_desk: str
) -> None:
    visit = visitor(at=guarded_desk, expected_complaints=("401", "403"))
    page = visit.page
    late: list[Route] = []

    def keep_the_first(route: Route) -> None:
        if late:
            route.continue_()
        else:
            late.append(route)

    def let_the_late_one_go_first(route: Route) -> None:
        if "authorization" in route.request.headers:
            late[0].fulfill(status=401, json={"title": "Unauthorized", "detail": "Too late."})
        route.continue_()

    page.route("**/v1/metrics", keep_the_first)
    page.route("**/v1/design-options", let_the_late_one_go_first)
    page.goto(f"{guarded_desk}/experiments/new")
    give_key(page, READ_KEY)
    expect(page.get_by_text("this needs a key with scope admin")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_pages_are_sound_for_everyone(
    visitor: Visitor, desk: str, scheme: str, width: int
) -> None:
    name = f"sound-{scheme}-{width}"
    register(desk, name)
    view = {"width": width, "height": 840}
    visit = visitor(at=desk, color_scheme=scheme, viewport=view, expected_complaints=("422", "503"))
    for path in ("", "/new", f"/{name}"):
        page = go(visit, path)
        for fold in page.locator("#main > details, form > details").all():
            fold.locator("summary").first.click()
        expect(page.locator("h1")).to_have_count(1)
        assert_sound(page)
        assert_fits_the_width(page)
    page.get_by_role("button", name=f"Start {name}").click()
    assert_sound(page)
    assert_fits_the_width(page)


def test_what_an_experiment_says_stays_text(visitor: Visitor, desk: str) -> None:
    hostile = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script>"
    register(desk, "hostile", hypothesis=hostile, owner=hostile)
    page = go(visitor(at=desk))
    expect(row_of(page, "hostile")).to_contain_text(hostile)
    page = go(visitor(at=desk), "/hostile")
    expect(page.locator(".lead")).to_have_text(hostile)
    assert page.evaluate("window.pwned === undefined")
