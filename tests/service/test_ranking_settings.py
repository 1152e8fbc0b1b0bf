"""The ranking settings of the installation: changed over the API, in force without a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import ConflictError
from feed.service.desk.undo import undo_entry
from feed.service.snapshot import SnapshotKeeper
from feed.storage.records import AuditEntry
from tests.service.conftest import Site

URL = "/v1/settings/ranking"


def change(site: Site, patch: Any, version: int | None = None) -> Any:
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    return site.client.patch(URL, json=patch, headers=headers)


def setting(site: Site, name: str) -> dict[str, Any]:
    answer = site.client.get(URL)
    assert answer.status_code == 200, answer.json
    return next(one for one in answer.json["settings"] if one["name"] == name)


def newest_entry(site: Site) -> AuditEntry:
    return site.store.read_audit(1, "settings")[0]


def test_a_change_holds_in_another_process_without_a_restart(
    site: Site, make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    other = make_site(settings)
    site.publish(30)
    other.services.keeper.refresh()
    assert len(other.feed(limit=100)["items"]) == 30
    assert change(site, {"slate_size": 12}).status_code == 200
    other.services.keeper.refresh()
    assert len(other.feed(limit=100)["items"]) == 12
    described = other.client.get("/v1/about-ranking").json["parameters"]
    assert next(p["value"] for p in described if p["name"] == "slate_size") == 12
    options = other.client.get("/v1/design-options").json["ranking"]
    assert next(o["value"] for o in options if o["name"] == "slate_size") == 12


def test_a_setting_says_its_range_and_who_changed_it(site: Site) -> None:
    assert change(site, {"trending_boost": 0.5}).json["version"] == 1
    found = setting(site, "trending_boost")
    assert (found["value"], found["default"], found["environment"]) == (0.5, 0.3, 0.3)
    assert (found["least"], found["most"], found["kind"]) == (0.0, 100.0, "number")
    assert found["changed_by"] == "open access"
    assert found["changed_at"].startswith("20")
    entry = newest_entry(site)
    assert (entry.subject, entry.action) == ("settings/ranking", "changed")
    assert (entry.before, entry.after) == ({"trending_boost": 0.3}, {"trending_boost": 0.5})


def test_null_takes_a_change_back_to_what_the_environment_says(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    site = make_site(replace(settings, ranking=RankingConfig(slate_size=25)))
    change(site, {"slate_size": 12, "trending_boost": 1})
    assert setting(site, "slate_size")["value"] == 12
    change(site, {"slate_size": None})
    found = setting(site, "slate_size")
    assert (found["value"], found["default"], found["changed_by"]) == (25, 200, None)
    assert setting(site, "trending_boost")["value"] == 1.0
    before = site.client.get(URL).json["version"]
    assert change(site, {"slate_size": 25}).json["version"] == before, "it says nothing new"


def test_one_weight_changes_and_the_others_stay(site: Site) -> None:
    change(site, {"weights": {"age_published": -2, "readers": 0.5}})
    change(site, {"weights": {"readers": None}})
    site.services.keeper.refresh()
    assert site.services.ranking.weights == {"age_published": -2.0}
    assert setting(site, "weights.age_published")["environment"] == -0.3
    change(site, {"weights": None})
    site.services.keeper.refresh()
    assert site.services.ranking == RankingConfig()


@pytest.mark.parametrize(
    ("patch", "field", "rule"),
    [
        ({"trending_boost": -1}, "trending_boost", "must lie between 0 and 100"),
        ({"trending_half_life_minutes": 60}, "trending_half_life_minutes", "must be 30 or 120"),
        ({"trending_boost": "much"}, "trending_boost", "must be a number"),
        ({"slate_size": 1.5}, "slate_size", "must be a whole number"),
        ({"use_ranker": 7}, "use_ranker", "must be true or false"),
        ({"colour": 1}, "colour", "is not a setting"),
        ({"colour": None}, "colour", "is not a setting"),
        ({"max_age_hours": 0}, "max_age_hours", "must be more than 0 and at most 100000"),
        ({"weights": {"popularity": 1}}, "weights.popularity", "is not a feature"),
        ({"weights": {"readers": "much"}}, "weights.readers", "must be a number"),
        ({"weights": 3}, "weights", "must be an object of numbers"),
    ],
)
def test_a_bad_value_names_field_and_rule_and_changes_nothing(
    site: Site, patch: dict[str, Any], field: str, rule: str
) -> None:
    refused = change(site, {"followed_boost": 1, **patch})
    assert refused.status_code == 422, refused.json
    assert refused.json["errors"] == [{"field": field, "rule": rule}]
    assert site.store.read_editorial() == {}
    assert site.store.read_audit(5) == []


def test_of_two_editors_the_second_looks_again(site: Site) -> None:
    change(site, {"trending_boost": 0.5}, version=0)
    late = change(site, {"trending_boost": 0.7}, version=0)
    assert late.status_code == 409
    assert setting(site, "trending_boost")["value"] == 0.5
    assert change(site, {"trending_boost": 0.7}, version=1).status_code == 200
    assert site.client.patch(URL, json={}, headers={"If-Match": "x"}).status_code == 422


def test_an_undo_restores_what_was_before_unless_it_was_changed_since(site: Site) -> None:
    change(site, {"trending_boost": 0.5, "weights": {"readers": 1}})
    first = newest_entry(site)
    change(site, {"trending_boost": 0.9})
    with pytest.raises(ConflictError, match=r"trending_boost was changed since by open access"):
        undo_entry(site.services, first.id, "ed")
    second = newest_entry(site)
    done = undo_entry(site.services, second.id, "ed")
    assert (done.by, done.action, done.after) == ("ed", "changed back", {"trending_boost": 0.5})
    undo_entry(site.services, first.id, "ed")
    assert setting(site, "trending_boost")["changed_by"] is None
    assert setting(site, "weights.readers")["value"] == 0.0
    undo_entry(site.services, newest_entry(site).id, "ed")
    assert setting(site, "weights.readers")["value"] == 1.0, "an undo can be undone"


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (b'2 {"slate_size": {"value": "many", "at": 1, "by": "ed"}}', "slate_size"),
        (b'2 {"slate_size": 12}', "slate_size"),
        (b'2 {"gone": {"value": 1, "at": 1, "by": "ed"}}', "gone"),
        (b'2 ["slate_size"]', "every change"),
        (b"2 {broken", "every change"),
    ],
)
def test_a_stored_change_that_cannot_be_read_breaks_nothing(
    site: Site, stored: bytes, fault: str
) -> None:
    site.publish(30)
    key = site.store._keys.catalogue("editorial")
    site.store._link.call(key, "HSET", key, "ranking", stored)
    keeper: SnapshotKeeper = site.services.keeper
    keeper.refresh()
    assert len(site.feed(limit=100)["items"]) == 30
    answer = site.client.get(URL).json
    assert [one["name"] for one in answer["faults"]] == [fault]
    assert answer["faults"][0]["rule"]
    assert change(site, {"slate_size": 12}).json["faults"] == []
    keeper.refresh()
    assert len(site.feed(limit=100)["items"]) == 12


def test_the_worker_follows_the_half_life_of_the_trending_rate(site: Site) -> None:
    site.publish(3)
    site.work()
    detector = site.worker.judge._detector
    change(site, {"trending_half_life_minutes": 120})
    site.clock.now += 2
    site.work()
    assert site.worker.judge._detector is not detector
    assert site.client.get("/v1/trending").json["window_minutes"] == 173


def test_a_variant_stands_above_and_the_setting_says_so(site: Site) -> None:
    design = {
        "name": "short",
        "hypothesis": "A shorter list is read as much.",
        "owner": "the desk",
        "variants": [
            {"name": "control", "share": 0.5},
            {"name": "shorter", "share": 0.5, "overrides": {"slate_size": 5}},
        ],
    }
    site.publish(30)
    assert site.client.post("/v1/experiments", json=design).status_code == 201
    assert site.client.post("/v1/experiments/short/start").status_code == 200
    change(site, {"slate_size": 12})
    assert setting(site, "slate_size")["experiments"] == ["short, shorter: 5"]
    site.services.keeper.refresh()
    sizes = {}
    for number in range(20):
        page = site.feed(f"r{number}", limit=100)
        sizes[page["experiments"]["short"]] = len(page["items"])
    assert sizes == {"control": 12, "shorter": 5}


def test_a_preview_counts_what_changes_and_records_nothing(site: Site) -> None:
    """Twelve articles of sections 0 to 3 by turns, a0 the newest; 5 readers asked."""
    site.publish(12)
    for number in range(5):
        site.feed(f"r{number}", mode="latest")
    length = sum(site.store.stream_lengths())
    answer = site.client.post(f"{URL}/preview", json={"max_age_hours": 4 / 60, "slate_size": 5})
    assert answer.status_code == 200, answer.json
    found = answer.json
    assert (found["requests"], found["not_previewed"]) == (5, [])
    assert (found["changed"], found["replaced"]) == (1.0, 0.0), "five of the ten remain"
    assert (found["before"]["slots"], found["after"]["slots"]) == (50, 25)
    assert (found["before"]["articles"], found["after"]["articles"]) == (10, 5)
    assert found["before"]["mean_age_hours"] == pytest.approx(4.5 / 60)
    assert found["after"]["mean_age_hours"] == pytest.approx(2 / 60)
    assert found["before"]["sections"] == {
        "section-0": 0.3,
        "section-1": 0.3,
        "section-2": 0.2,
        "section-3": 0.2,
    }
    assert found["after"]["sections"]["section-0"] == 0.4
    assert sum(site.store.stream_lengths()) == length
    assert site.store.read_editorial() == {}


def test_a_preview_of_no_change_finds_none_even_with_exploration(site: Site) -> None:
    site.publish(60)
    for number in range(4):
        site.feed(f"r{number}")
    found = site.client.post(f"{URL}/preview", json={"trending_half_life_minutes": 120}).json
    assert (found["requests"], found["changed"], found["replaced"]) == (4, 0.0, 0.0)
    assert found["before"] == found["after"]
    assert found["not_previewed"] == ["trending_half_life_minutes"]


def test_requests_that_are_in_the_archive_alone_are_previewed_too(site: Site) -> None:
    site.publish(12)
    for number in range(3):
        site.feed(f"r{number}", device="mobile", section="section-1")
    for _ in range(2):
        site.clock.now += 60
        site.work()
    assert sum(site.store.stream_lengths()) == 0
    assert site.client.post(f"{URL}/preview", json={"slate_size": 2}).json["requests"] == 3


def test_a_preview_of_a_bad_value_names_the_field(site: Site) -> None:
    refused = site.client.post(f"{URL}/preview", json={"slate_size": 0})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "slate_size"
