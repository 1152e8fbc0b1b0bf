"""POST /v1/experiments/plan: from the archive of an installation, read rarely and one at a time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from lab.simulation.archive import World, write_simulated_log

from feed.config import DAY_S
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.baseline import Baseline
from feed.experiments.statistics.aggregates import Moments
from feed.service.plans import KEPT_S, MOST_KEPT, PlanDesk
from feed.service.problems import ProblemError

DESIGN: dict[str, Any] = {
    "name": "trial",
    "hypothesis": "Readers read more.",
    "owner": "desk",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "new", "share": 0.5, "overrides": {"trending_boost": 0.1}},
    ],
    "planned_days": 4,
    "pre_days": 3,
}
BASELINE = Baseline({"qualified_reads": Moments.from_arrays([0.0, 1.0, 5.0, 2.0])}, (100,) * 7)


class Reading:
    """Answers with a fixed baseline and counts how often it is asked."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.asked = 0

    def __call__(self, design: Experiment, now: float) -> Baseline:
        assert (design.name, now) == ("trial", self.now)
        self.asked += 1
        return BASELINE


@pytest.fixture
def archive(site: Any) -> World:
    start = site.clock.now // DAY_S * DAY_S - 4 * DAY_S
    world = World(experiment="other", readers=300, days=4, pre_days=3, start_at=start)
    site.settings.data_dir.mkdir(exist_ok=True)
    write_simulated_log(site.settings.data_dir, world)
    return world


@pytest.mark.usefixtures("archive")
def test_a_design_gets_readers_days_and_a_line_for_each_metric(site: Any) -> None:
    answer = site.client.post("/v1/experiments/plan", json={**DESIGN, "minimum_effect": 0.2})
    assert answer.status_code == 200, answer.json
    plan = answer.json
    assert plan["reason"] == ""
    assert plan["readers"] > 300 > plan["readers_a_day"] > 0
    assert plan["days"] % 7 == 0
    assert [row["metric"] for row in plan["metrics"]] == [
        "qualified_reads",
        "latency_p95",
        "fallback_share",
        "section_entropy",
    ]
    assert len(plan["curve"]) == 5
    assert plan["covariate_days"] == 3
    assert site.client.get("/v1/experiments").json["experiments"] == []


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    "changes",
    [
        {"minimum_effect": 1e-300},
        {"minimum_effect": 1e-9},
        {"guardrails": [{"metric": "qualified_reads", "margin": 1e-300}]},
        {"guardrails": [{"metric": "clicks", "margin": 1e-9, "relative": False}]},
    ],
)
def test_an_effect_that_nobody_could_find_has_no_number(site: Any, changes: dict[str, Any]) -> None:
    answer = site.client.post("/v1/experiments/plan", json={**DESIGN, **changes})
    assert answer.status_code == 200, answer.json
    assert (answer.json["readers"], answer.json["days"]) == (None, None)
    assert answer.json["reason"] == "more than 10 billion readers would be needed"


@pytest.mark.usefixtures("archive")
def test_a_curve_ends_where_nobody_could_find_the_effect(site: Any) -> None:
    # some of the curve's effects need more than 10 billion readers, the others do not
    answer = site.client.post("/v1/experiments/plan", json={**DESIGN, "minimum_effect": 1.5e-4})
    readers = [point["readers"] for point in answer.json["curve"]]
    assert readers[0] is None
    assert readers[-1] is not None


def test_an_empty_archive_gives_no_number_and_the_reason(site: Any) -> None:
    plan = site.client.post("/v1/experiments/plan", json=DESIGN).json
    assert (plan["readers"], plan["days"], plan["curve"]) == (None, None, [])
    assert plan["reason"] == "the archive holds no personalized feeds to plan from"


def test_a_wrong_design_is_refused_with_the_field(site: Any) -> None:
    answer = site.client.post("/v1/experiments/plan", json={**DESIGN, "minimum_effect": -1})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "minimum_effect"


def test_a_damaged_archive_is_unavailable_and_not_an_error_of_ours(site: Any) -> None:
    day = Path(site.settings.data_dir, "archive", "served", "day=2026-09-20")
    day.mkdir(parents=True)
    (day / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    answer = site.client.post("/v1/experiments/plan", json=DESIGN)
    assert answer.status_code == 503
    assert "archive cannot be read" in answer.json["detail"]


def test_the_archive_is_read_again_only_for_other_readers_or_after_some_minutes() -> None:
    reading = Reading()
    desk = PlanDesk(reading, lambda: reading.now)
    changes = ({}, {"minimum_effect": 0.5}, {"stopping_rule": "fixed"}, {"power": 0.9})
    sizes = {desk.need_of(experiment_from_json({**DESIGN, **c})).readers for c in changes}
    assert reading.asked == 1
    assert len(sizes) == 4
    desk.need_of(experiment_from_json({**DESIGN, "audience": {"platforms": ["app"]}}))
    desk.need_of(experiment_from_json({**DESIGN, "planned_days": 7}))
    assert reading.asked == 3
    reading.now += KEPT_S + 1
    desk.need_of(experiment_from_json(DESIGN))
    assert reading.asked == 4


def test_a_process_keeps_a_bounded_number_of_baselines() -> None:
    reading = Reading()
    desk = PlanDesk(reading, lambda: reading.now)
    for days in range(1, MOST_KEPT + 2):
        desk.need_of(experiment_from_json({**DESIGN, "planned_days": days}))
    desk.need_of(experiment_from_json({**DESIGN, "planned_days": MOST_KEPT + 1}))
    assert reading.asked == MOST_KEPT + 1
    desk.need_of(experiment_from_json({**DESIGN, "planned_days": 1}))
    assert reading.asked == MOST_KEPT + 2


def test_while_one_plan_reads_another_is_told_to_come_back() -> None:
    entered, leave = threading.Event(), threading.Event()

    def read(_design: Experiment, _now: float) -> Baseline:
        entered.set()
        assert leave.wait(30)
        return BASELINE

    desk = PlanDesk(read, lambda: 0.0)
    design = experiment_from_json(DESIGN)
    first = threading.Thread(target=desk.need_of, args=(design,))
    first.start()
    assert entered.wait(30)
    with pytest.raises(ProblemError) as refused:
        desk.need_of(design)
    leave.set()
    first.join()
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) > 0
    assert desk.need_of(design).readers is not None


def test_the_answer_is_json_without_nan(site: Any) -> None:
    text = site.client.post("/v1/experiments/plan", json=DESIGN).text
    assert json.loads(text, parse_constant=lambda _: pytest.fail("not JSON"))
