"""A site's own metrics: numbers against numpy over the raw events, and frozen declarations."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log

from feed.config import DAY_S, Settings
from feed.documents.charts import IntervalChart
from feed.documents.document import Figure
from feed.documents.views import render_markdown
from feed.domain import InvalidInputError
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.design_rules import check_design
from feed.experiments.design.metrics import Metric
from feed.experiments.design.own_metrics import design_from_json
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.baseline_reading import estimate_need
from feed.experiments.judgement.report_json import report_to_json
from feed.experiments.log.exposure import Window
from feed.experiments.log.source import Log
from feed.experiments.log.summaries import (
    count_analysed,
    read_cumulative_moments,
    read_daily_moments,
    read_group_values,
    read_moments,
)
from feed.experiments.report.comparisons import secondary_section
from feed.experiments.report.writing import experiment_document
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import Interval

WORLD = World(experiment="own", readers=300, days=3, pre_days=3, visits=0.6, repeated=0.05, seed=4)
END_AT = WORLD.start_at + WORLD.days * DAY_S
PRE_FROM = WORLD.start_at - WORLD.pre_days * DAY_S
WINDOW = Window(PRE_FROM, WORLD.start_at, END_AT)
STRAY = "reader-7"
"""A reader who was served both variants."""

DECLARED = """
[donations]
title = "Donated per reader"
kind = "mean"
sum = "custom:donation"
winsorise = 0.9
better = "up"

[donors]
title = "Readers who donated"
kind = "share"
count = "custom:donation"
better = "up"

[large_donors]
title = "Readers who donated 50 or more at once"
kind = "share"
count = "custom:donation"
at_least = 50
better = "up"

[size_of_donation]
title = "Size of a donation"
kind = "ratio"
numerator = { sum = "custom:donation" }
denominator = { count = "custom:donation" }
better = "neither"

[donations_a_day]
title = "Donations per active day"
kind = "mean"
count = "custom:donation"
per = "day"
better = "up"

[days_with_donation]
title = "Active days with a donation"
kind = "share"
count = "custom:donation"
per = "day"
better = "up"

[long_reads]
title = "Reads of half a minute"
kind = "share"
numerator = { count = "reads", at_least = 30 }
denominator = { count = "reads" }
better = "up"

[donation_p80]
title = "Donation, 80th percentile"
kind = "quantile"
value = "custom:donation"
quantile = 0.8
better = "up"

[long_read_median]
title = "Median of reads"
kind = "quantile"
value = "reads"
at_least = 5
quantile = 0.5
better = "up"
"""
BY_READER = ("donations", "donors", "large_donors", "size_of_donation", "donations_a_day")
BY_READER += ("days_with_donation", "long_reads")


def body(**changes: Any) -> dict[str, Any]:
    return {
        "name": WORLD.experiment,
        "hypothesis": "h",
        "owner": "o",
        "variants": [
            {"name": "control", "share": 0.5},
            {"name": "treatment", "share": 0.5, "overrides": {"trending_boost": 0.0}},
        ],
        "primary_metrics": ["donors", "donations"],
        "secondary_metrics": ["size_of_donation", "donations_a_day", "long_reads", "clicks"],
        "guardrails": [{"metric": "donation_p80", "margin": 0.5}],
        "planned_readers": 250,
        "planned_days": WORLD.days,
        "pre_days": WORLD.pre_days,
        **changes,
    }


@pytest.fixture(scope="module")
def data_dir(data_dirs: Callable[[World], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world with donations: before and after, repeated, without a value, on quiet days."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(data_dirs(WORLD), folder, dirs_exist_ok=True)
    (folder / "metrics.toml").write_text(DECLARED)
    draw = np.random.default_rng(5)
    lines = []
    for reader in range(WORLD.readers):
        for place in range(draw.poisson(1.5)):
            at = draw.uniform(PRE_FROM, END_AT)
            value = None if draw.random() < 0.1 else round(float(draw.lognormal(3, 1)), 2)
            name = "donation" if draw.random() < 0.8 else "comment"
            row = (f"own-{reader}-{place}", f"reader-{reader}", name, value, at)
            lines += [row] * (2 if draw.random() < 0.3 else 1)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE told (event_id TEXT, user_id TEXT, name TEXT, value DOUBLE,"
            " moment DOUBLE)"
        )
        connection.executemany("INSERT INTO told VALUES (?, ?, ?, ?, ?)", lines)
        connection.sql(
            "SELECT * EXCLUDE (moment), 'custom' AS kind, '' AS article_id,"
            " to_timestamp(moment) AS occurred_at, occurred_at AS received_at FROM told"
        ).write_parquet(str(next((folder / "archive" / "events").iterdir()) / "custom.parquet"))
        served = f"read_parquet('{folder}/archive/served/*/*.parquet', hive_partitioning = false)"
        connection.sql(
            f"SELECT s.* REPLACE ('{STRAY}' AS user_id, 'stray in ' || variant AS request_id,"
            f" json_object('{WORLD.experiment}', variant) AS experiments)"
            f" FROM (FROM {served} WHERE epoch(served_at) >= {WORLD.start_at} LIMIT 1) AS s,"
            " (VALUES ('control'), ('treatment')) AS arms(variant)"
        ).write_parquet(str(next((folder / "archive" / "served").iterdir()) / "stray.parquet"))
    return folder


@pytest.fixture(scope="module")
def design(data_dir: Path) -> Experiment:
    found = design_from_json(
        body(secondary_metrics=[*BY_READER[2:], "long_read_median"]), Settings(data_dir=data_dir)
    )
    return replace(found, started_at=WORLD.start_at)


@pytest.fixture(scope="module")
def log(data_dir: Path, design: Experiment) -> Iterator[Log]:
    with prepared_log(data_dir, design, WINDOW) as opened:
        yield opened


@dataclass
class Reader:
    """What plain Python knows of a reader, by side of the first exposure."""

    variants: set[str] = field(default_factory=set)
    first_at: float = np.inf
    events: dict[bool, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    days: dict[bool, set[int]] = field(default_factory=lambda: defaultdict(set))


@pytest.fixture(scope="module")
def readers(data_dir: Path) -> dict[str, Reader]:
    """Every reader in one variant, from the rows of the archive's files."""

    def rows(table: str) -> list[dict[str, Any]]:
        with duckdb.connect() as connection:
            found = connection.execute(
                f"FROM read_parquet('{data_dir}/archive/{table}/*/*.parquet',"
                " union_by_name = true, hive_partitioning = false)"
            )
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    found: dict[str, Reader] = defaultdict(Reader)
    served = rows("served")
    asked: dict[str, float] = {}
    for slot in served:
        at = slot["served_at"].timestamp()
        asked[slot["request_id"]] = min(at, asked.get(slot["request_id"], np.inf))
        variant = json.loads(slot["experiments"] or "{}").get(WORLD.experiment)
        if variant and WORLD.start_at <= at < END_AT and slot["mode"] == "personalized":
            found[slot["user_id"]].variants.add(variant)
            found[slot["user_id"]].first_at = min(at, found[slot["user_id"]].first_at)
    sound = {name: reader for name, reader in found.items() if len(reader.variants) == 1}
    assert len(found) - len(sound) == 1
    acts = {(slot["user_id"], slot["request_id"]): {"kind": "view"} | slot for slot in served}
    acts |= {(event["user_id"], event["event_id"]): event for event in rows("events")}
    for (user, _), act in acts.items():
        at = min(
            act[k].timestamp() for k in ("occurred_at", "received_at", "served_at") if k in act
        )
        at = max(at, asked.get(act.get("request_id") or "", 0.0))
        if user not in sound or not PRE_FROM <= at < END_AT:
            continue
        after = at >= sound[user].first_at
        if after or at < WORLD.start_at:
            sound[user].events[after].append(act | {"at": at})
            if act["kind"] != "custom":
                sound[user].days[after].add(int(at // DAY_S))
    return sound


def values_of(
    reader: Reader, name: str, *, after: bool, until: float = END_AT
) -> tuple[float, float]:
    """Return numerator and denominator of an own metric, without winsorising."""
    mine = [e for e in reader.events[after] if e["at"] < until]
    given = [e for e in mine if e["kind"] == "custom" and e["name"] == "donation"]
    total = sum(e["value"] or 0.0 for e in given)
    days = {day for day in reader.days[after] if day * DAY_S < until}
    reads = [e["dwell_s"] for e in mine if e["kind"] == "read"]
    found = {
        "donations": (total, 1),
        "donors": (len(given) > 0, 1),
        "large_donors": (any((e["value"] or 0.0) >= 50 for e in given), 1),
        "size_of_donation": (total, len(given)),
        "donations_a_day": (len(given), len(days)),
        "days_with_donation": (len(days & {int(e["at"] // DAY_S) for e in given}), len(days)),
        "long_reads": (sum(dwell >= 30 for dwell in reads), len(reads)),
    }
    above, below = found[name]
    return float(above), float(below)


def moments_of(
    readers: dict[str, Reader], name: str, variant: str, until: float = END_AT
) -> Moments:
    """Return the moments of an own metric by numpy."""
    tables = {
        after: np.asarray(
            [values_of(r, name, after=after, until=until if after else END_AT) for r in everyone]
        )
        for everyone in [list(readers.values())]
        for after in (True, False)
    }
    if name == "donations":
        for after, table in tables.items():
            whole = [values_of(r, name, after=after)[0] for r in readers.values()]
            positive = [value for value in whole if value > 0]
            table[:, 0] = np.minimum(table[:, 0], np.quantile(positive, 0.9))
    mine = np.asarray([r.variants == {variant} and r.first_at < until for r in readers.values()])
    return Moments.from_arrays(
        tables[True][mine, 0], tables[True][mine, 1], tables[False][mine, 0], tables[False][mine, 1]
    )


@pytest.mark.parametrize("name", BY_READER)
@pytest.mark.parametrize("variant", ["control", "treatment"])
def test_own_metrics_are_those_of_numpy(
    log: Log, design: Experiment, readers: dict[str, Reader], name: str, variant: str
) -> None:
    found = read_moments(log.connection, design.metric(name))[variant,]
    expected = moments_of(readers, name, variant)
    assert found.n == expected.n > 50
    assert found.means == pytest.approx(expected.means)
    assert found.products == pytest.approx(expected.products)
    assert min(expected.means[0], expected.means[2]) > 0


@pytest.mark.parametrize("name", BY_READER)
def test_the_course_of_own_metrics_is_that_of_numpy(
    log: Log, design: Experiment, readers: dict[str, Reader], name: str
) -> None:
    course = read_cumulative_moments(log.connection, design.metric(name), WINDOW)["treatment"]
    for day, found in enumerate(course, start=1):
        expected = moments_of(readers, name, "treatment", WORLD.start_at + day * DAY_S)
        assert found.n == expected.n
        assert found.means == pytest.approx(expected.means)
        assert found.products == pytest.approx(expected.products)


def test_whoever_did_it_counts_on_the_first_day_of_it(
    log: Log, design: Experiment, readers: dict[str, Reader]
) -> None:
    daily = read_daily_moments(
        log.connection, design.metric("donors"), WINDOW, since_exposure=False
    )
    looks = [WORLD.start_at + day * DAY_S for day in range(WORLD.days + 1)]
    mine = [r for r in readers.values() if r.variants == {"control"}]
    known = [sum(values_of(r, "donors", after=True, until=at)[0] for r in mine) for at in looks]
    assert [round(m.n * m.means[0]) for m in daily["control"]] == np.diff(known).tolist()


@pytest.mark.parametrize(
    ("name", "share", "taken"),
    [
        ("donation_p80", 0.8, lambda e: e["value"] if e.get("name") == "donation" else None),
        ("long_read_median", 0.5, lambda e: e["dwell_s"] if e["kind"] == "read" else None),
    ],
)
def test_quantiles_of_own_metrics_are_those_of_numpy(
    log: Log,
    design: Experiment,
    readers: dict[str, Reader],
    name: str,
    share: float,
    taken: Callable[[dict[str, Any]], float | None],
) -> None:
    found = read_group_values(log.connection, design.metric(name), ("control", "treatment"))
    smallest = min(found, key=count_analysed(log.connection).__getitem__)
    size = count_analysed(log.connection)[smallest] // len(found[smallest])
    least = design.metric(name).measure.at_least or 0.0
    for variant, values in found.items():
        ordered = log.connection.execute(
            "SELECT user_id FROM readers WHERE analysed AND variant = ? ORDER BY hash(user_id)",
            [variant],
        ).fetchall()
        groups = len(values)
        assert groups >= 2
        parts: dict[int, list[float]] = defaultdict(list)
        for place, (user,) in enumerate(ordered[: groups * size]):
            told = (taken(event) for event in readers[user].events[True])
            parts[place // size] += [v for v in told if v is not None and v >= least]
        expected = [float(np.quantile(parts[part], share)) for part in range(groups)]
        assert values == pytest.approx(expected)


def test_a_report_has_own_metrics_in_every_role(data_dir: Path) -> None:
    design = design_from_json(body(), Settings(data_dir=data_dir))
    started = replace(design, started_at=WORLD.start_at)
    report = analyse(data_dir, started, now=END_AT, threads=1)
    written = json.loads(json.dumps(report_to_json(report)))
    assert [result["metric"] for result in written["primaries"]] == ["donors", "donations"]
    assert all(result["comparisons"][0]["raw"]["relative"] for result in written["primaries"])
    assert written["guardrails"][0]["comparison"]["raw"]["control"]["mean"] > 0
    assert [r["metric"] for r in written["secondaries"]][:3] == body()["secondary_metrics"][:3]
    assert written["courses"][0]["cumulative"][-1]["effect"]["relative"] is not None
    assert written["segments"]
    declared = written["experiment"]["metrics"]
    assert declared["donations"]["sum"] == "custom:donation"
    assert "clicks" not in declared
    assert experiment_from_json(written["experiment"]).metrics == design.metrics
    page = render_markdown(experiment_document(report))
    assert "Donated per reader: sum of custom:donation per reader, readers cut at their 0.9" in page


def test_a_metric_without_a_better_direction_is_shown_without_colour(data_dir: Path) -> None:
    design = design_from_json(
        body(secondary_metrics=["size_of_donation", "donations_a_day"]), Settings(data_dir=data_dir)
    )
    report = analyse(data_dir, replace(design, started_at=WORLD.start_at), now=END_AT, threads=1)
    proven = []
    for result in report.secondaries:
        (found,) = result.comparisons
        raw = replace(found.raw, relative_interval=Interval(0.1, 0.2))
        found = replace(found, p_adjusted=1e-6, raw=raw, adjusted=None)
        proven.append(replace(result, comparisons=(found,)))
    section = secondary_section(replace(report, secondaries=tuple(proven)))
    (chart,) = [b.chart for b in section.blocks if isinstance(b, Figure)]
    assert isinstance(chart, IntervalChart)
    assert [bar.colour for bar in chart.bars] == ["muted", "good"]


def test_a_plan_is_made_from_own_metrics(data_dir: Path) -> None:
    design = design_from_json(body(minimum_effect=0.5), Settings(data_dir=data_dir))
    assert (estimate_need(data_dir, design, now=END_AT).readers or 0) > 2


def test_a_later_change_of_the_file_changes_no_design(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    (tmp_path / "metrics.toml").write_text(DECLARED)
    before = design_from_json(body(), settings)
    assert set(before.metrics) == {*body()["primary_metrics"], *body()["secondary_metrics"][:3]} | {
        "donation_p80"
    }
    (tmp_path / "metrics.toml").write_text(DECLARED.replace("winsorise = 0.9", "winsorise = 0.8"))
    stored = json.loads(json.dumps(experiment_to_json(before)))
    assert experiment_from_json(stored) == before
    assert design_from_json(stored, settings).metric("donations").winsorise == 0.9
    stored["secondary_metrics"].append("days_with_donation")  # the file is read for this one
    assert design_from_json(stored, settings).metric("donations").winsorise == 0.9
    assert design_from_json(body(), settings).metric("donations").winsorise == 0.8


def test_a_name_that_is_nowhere_declared_is_refused_with_all_there_is(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text(DECLARED)
    with pytest.raises(InvalidInputError, match=r"one of qualified_reads, .*, donors, ") as refused:
        design_from_json(body(primary_metrics=["doners"]), Settings(data_dir=tmp_path))
    assert refused.value.field_name == "primary_metrics"


def test_a_broken_file_hinders_only_designs_that_need_it(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text("[donors]\ntitle = 3\n")
    settings = Settings(data_dir=tmp_path)
    builtin = body(primary_metrics=["clicks"], secondary_metrics=[], guardrails=[])
    assert design_from_json(builtin, settings).metrics == {}
    with pytest.raises(InvalidInputError, match=r"metrics\.toml, line 1: donors\.kind"):
        design_from_json(body(), settings)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"primary_metrics": ["size_of_donation"]}, "primary_metrics"),
        ({"primary_metrics": ["feed_views"]}, "primary_metrics"),
        ({"guardrails": [{"metric": "coverage", "margin": 0.1}]}, "guardrails.0.metric"),
    ],
)
def test_a_metric_without_a_better_direction_decides_nothing(
    tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    (tmp_path / "metrics.toml").write_text(DECLARED)
    settings = Settings(data_dir=tmp_path)
    check_design(design_from_json(body(), settings), settings)
    chosen = {"secondary_metrics": [], **changes}
    with pytest.raises(InvalidInputError, match="neither direction of it is better") as refused:
        check_design(design_from_json(body(**chosen), settings), settings)
    assert refused.value.field_name == name


def test_a_design_cannot_redefine_a_built_in_metric(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    own = {"title": "c", "kind": "mean", "count": "reads", "better": "up"}
    design = design_from_json(
        body(
            primary_metrics=["clicks"], secondary_metrics=[], guardrails=[], metrics={"clicks": own}
        ),
        settings,
    )
    assert isinstance(design.metric("clicks"), Metric)
    with pytest.raises(InvalidInputError, match="built-in") as refused:
        check_design(design, settings)
    assert refused.value.field_name == "metrics.clicks"
