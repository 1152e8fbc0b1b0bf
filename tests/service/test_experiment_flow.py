"""An experiment from its start over HTTP to its report, through the real worker and archive."""

from __future__ import annotations

from typing import Any

from feed.domain import format_time
from feed.experiments.design.assignment import HELD_OUT
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.lifecycle import read_experiment, set_override
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import VerdictKind

READERS = 60
DESIGN = {
    "name": "no-boost",
    "hypothesis": "h",
    "owner": "o",
    "holdout_share": 0.2,
    "variants": [
        {"name": "control", "share": 0.4},
        {"name": "plain", "share": 0.3, "overrides": {"trending_boost": 0.0}},
        {"name": "mixed", "share": 0.3, "interleaves": ["control", "plain"]},
    ],
}


def begin(site: Any) -> Experiment:
    assert site.client.post("/v1/experiments", json=DESIGN).status_code == 201
    assert site.client.post("/v1/experiments/no-boost/start").status_code == 200
    site.services.keeper.refresh()
    return read_experiment(site.store, "no-boost")


def click_first(site: Any, user_id: str, page: dict[str, Any]) -> None:
    item = page["items"][0]
    common = {
        "user_id": user_id,
        "article_id": item["article"]["article_id"],
        "request_id": page["request_id"],
        "position": item["position"],
        "occurred_at": format_time(site.clock.now),
    }
    site.send(
        {**common, "event_id": f"{user_id}-i", "kind": "impression"},
        {**common, "event_id": f"{user_id}-c", "kind": "click"},
        {**common, "event_id": f"{user_id}-r", "kind": "read", "dwell_s": 20.0},
    )


def test_what_was_served_and_done_is_what_the_report_counts(site: Any) -> None:
    site.publish(30)
    site.work()
    begin(site)
    set_override(site.store, "no-boost", "tester", "plain", now=site.clock.now, by="desk")
    site.services.keeper.refresh()
    variants: dict[str, int] = {}
    site.clock.now += 1
    for number in range(READERS):
        page = site.feed(f"reader-{number}", limit=5)
        variants[page["experiments"]["no-boost"]] = (
            variants.get(page["experiments"]["no-boost"], 0) + 1
        )
        click_first(site, f"reader-{number}", page)
    click_first(site, "tester", site.feed("tester", limit=5))
    site.feed("off", limit=5, mode="latest")
    site.work()
    site.clock.now += 60
    site.work()  # the archive is written some seconds after the events were counted
    running = read_experiment(site.store, "no-boost")
    report = analyse(site.settings.data_dir, running, now=site.clock.now, threads=1)
    assert report.holdout is not None
    assert report.holdout.readers == variants.pop(HELD_OUT)
    assert {arm.name: arm.exposed for arm in report.arms} == variants
    assert {arm.name: arm.events for arm in report.arms} == {
        name: 3 * count for name, count in variants.items()
    }
    for comparison in report.primaries[0].comparisons:
        assert comparison.raw.control.mean == comparison.raw.treatment.mean == 1.0
    assert report.verdict.kind is not VerdictKind.SHIP
    assert [check.name for check in report.checks if check.state.value == "failed"] == []
    assert report.teams[0].preference.readers == variants["mixed"]
    assert report.boost is not None
    assert (report.boost.without, report.boost.with_boost) == ("plain", "control")
    positions = next(table for table in report.slot_tables if table.title == "Position")
    assert sum(cell.clicked for cell in positions.cells) == sum(variants.values())
