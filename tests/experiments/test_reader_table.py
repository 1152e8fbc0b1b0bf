"""The exported readers: enough to compute a report again with other tools, and no identifiers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from lab.simulation.archive import World

from feed.config import DAY_S
from feed.domain import InvalidInputError
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.metrics import PER_READER, metric_from_json
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.reader_table import READER_TABLE, export_readers
from feed.experiments.log.exposure import NOT_KNOWN

WORLD = World(
    experiment="trial", readers=1200, days=7, pre_days=7, lift=0.1, held_out=0.1, visits=0.5
)
NOW = WORLD.start_at + WORLD.days * DAY_S
MARGIN = 0.05
DESIGN = Experiment(
    name="trial",
    hypothesis="Treatment makes readers read more.",
    owner="desk",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
    primary_metrics=("dwell",),
    guardrails=(GuardrailSpec(metric="click_through", margin=MARGIN),),
    stopping_rule=StoppingRule.FIXED,
    status=Status.RUNNING,
    started_at=WORLD.start_at,
    pre_days=WORLD.pre_days,
    planned_days=WORLD.days,
    planned_readers=500,
    holdout_share=0.1,
    excluded=("reader-7",),
)


@pytest.fixture(scope="module")
def exported(
    data_dirs: Callable[[World], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("export") / "readers.parquet"
    count = export_readers(data_dirs(WORLD), DESIGN, target, now=NOW)
    table = pq.read_table(target)
    assert table.num_rows == count
    return {name: table[name].to_numpy() for name in table.column_names}


def of_arm(exported: dict[str, Any], arm: str) -> dict[str, Any]:
    mine = (exported["variant"] == arm) & exported["analysed"].astype(bool)
    return {name: column[mine] for name, column in exported.items()}


def linearised(arm: dict[str, Any], metric: str, when: str = "") -> np.ndarray:
    """One value a reader whose mean is the metric, and whose variance is the ratio's."""
    above = arm[f"{metric}_numerator{when}"]
    below = arm.get(f"{metric}_denominator{when}", np.ones_like(above))
    ratio = above.sum() / below.sum()
    return ratio + (above - ratio * below) / below.mean()


def joined(arms: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([arm[name] for arm in arms]) for name in arms[0]}


def adjusted(arms: list[dict[str, Any]], metric: str) -> list[tuple[float, float, int]]:
    """Mean, its variance and readers of each arm, after CUPED."""
    both = joined(arms)
    before = linearised(both, metric, "_before")
    slope = np.cov(linearised(both, metric), before)[0, 1] / before.var(ddof=1)
    found = []
    for arm in arms:
        now, then = linearised(arm, metric), linearised(arm, metric, "_before")
        values = now - slope * (then - before.mean())
        found.append((values.mean(), values.var(ddof=1) / values.size, values.size))
    return found


def welch(control: tuple[float, float, int], treatment: tuple[float, float, int]) -> float:
    total = control[1] + treatment[1]
    return total**2 / sum(v**2 / (n - 1) for _, v, n in (control, treatment))


def test_the_primary_effect_its_interval_and_a_guardrail_can_be_computed_again(
    exported: dict[str, Any], data_dirs: Callable[[World], Path]
) -> None:
    report = analyse(data_dirs(WORLD), DESIGN, now=NOW)
    arms = [of_arm(exported, arm.name) for arm in DESIGN.variants]

    (comparison,) = report.primaries[0].comparisons
    means = [arm["dwell_numerator"].mean() for arm in arms]
    assert comparison.raw.difference == pytest.approx(means[1] - means[0], rel=1e-9)
    raw = scipy.stats.ttest_ind(
        arms[1]["dwell_numerator"], arms[0]["dwell_numerator"], equal_var=False
    )
    assert comparison.raw.p_value == pytest.approx(raw.pvalue, rel=1e-9)

    control, treatment = adjusted(arms, "dwell")
    difference = treatment[0] - control[0]
    error = np.sqrt(control[1] + treatment[1])
    half = scipy.stats.t.ppf(0.975, welch(control, treatment)) * error
    assert comparison.deciding.difference == pytest.approx(difference, rel=1e-9)
    assert comparison.deciding.interval == pytest.approx(
        (difference - half, difference + half), rel=1e-9
    )

    control, treatment = adjusted(arms, "click_through")
    bar = ((1 - MARGIN) * control[0], (1 - MARGIN) ** 2 * control[1], control[2])
    score = (treatment[0] - bar[0]) / np.sqrt(treatment[1] + bar[1])
    p_holds = scipy.stats.t.sf(score, welch(bar, treatment))
    assert report.guardrails[0].outcome.p_holds == pytest.approx(p_holds, rel=1e-9, abs=1e-12)


def test_every_reader_and_every_metric_of_a_reader_is_in_the_file(
    exported: dict[str, Any], data_dirs: Callable[[World], Path]
) -> None:
    report = analyse(data_dirs(WORLD), DESIGN, now=NOW)
    for arm in report.arms:
        assert (exported["variant"] == arm.name).sum() == arm.exposed
        assert of_arm(exported, arm.name)["analysed"].size == arm.analysed
    assert (exported["variant"] == "(held out)").sum() > 0
    wanted = {column.name for column in READER_TABLE}
    for metric in PER_READER:
        parts = ("numerator", "denominator") if metric.denominator else ("numerator",)
        wanted |= {f"{metric.name}_{part}{when}" for part in parts for when in ("", "_before")}
    assert set(exported) == wanted
    assert exported["first_exposed_at"].min() >= np.datetime64(int(WORLD.start_at), "s")


def test_a_reader_who_is_left_out_has_the_reason(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    only_control = replace(
        DESIGN,
        variants=(DESIGN.variants[0], Variant(name="other", share=0.5)),
        stopping_rule=StoppingRule.SEQUENTIAL,
    )
    export_readers(data_dirs(WORLD), only_control, tmp_path / "x.parquet", now=NOW)
    table = pq.read_table(tmp_path / "x.parquet").to_pylist()
    reasons = {(row["variant"], row["analysed"], row["left_out"]) for row in table}
    assert ("treatment", False, "unknown variant") in reasons
    assert ("control", True, "") in reasons
    assert {left_out == "" for _, analysed, left_out in reasons if analysed} == {True}


def test_identifiers_are_pseudonyms_that_differ_from_file_to_file(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    files = [tmp_path / f"{n}.parquet" for n in range(3)]
    for target in files[:2]:
        export_readers(data_dirs(WORLD), DESIGN, target, now=NOW)
    export_readers(data_dirs(WORLD), DESIGN, files[2], now=NOW, with_ids=True)
    first, second, real = (pq.read_table(target)["reader"].to_pylist() for target in files)
    assert not {*first} & {*second}
    assert len({*first}) == len({*real}) == len(first)
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in first)
    assert first == sorted(first), "the order of rows tells nothing"
    assert all(name.startswith("reader-") for name in real)
    assert "reader-7" not in real, "was shown a variant for testing"
    for target in files[:2]:
        assert b"reader-" not in target.read_bytes()


def test_a_file_appears_whole_or_not_at_all(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    target = tmp_path / "readers.parquet"
    target.write_bytes(b"as it was")
    with pytest.raises(InvalidInputError, match="memory_mb"):
        export_readers(data_dirs(WORLD), DESIGN, target, now=NOW, memory_mb=1)
    assert target.read_bytes() == b"as it was"
    with pytest.raises(InvalidInputError, match="--out"):
        export_readers(data_dirs(WORLD), DESIGN, tmp_path / "no" / "x.parquet", now=NOW)
    export_readers(data_dirs(WORLD), DESIGN, target, now=NOW)
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["readers.parquet"]


def test_metrics_of_the_site_are_in_the_file(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    declared = {"title": "S", "kind": "mean", "count": "custom:subscribe", "better": "up"}
    own = {"subscriptions": metric_from_json("subscriptions", declared)}
    design = replace(DESIGN, metrics=own, primary_metrics=("subscriptions",))
    export_readers(data_dirs(WORLD), design, tmp_path / "x.parquet", now=NOW)
    table = pq.read_table(tmp_path / "x.parquet")
    assert sum(table["subscriptions_numerator"].to_pylist()) == 0
    assert "subscriptions_numerator_before" in table.column_names


def test_segments_by_attributes_are_in_the_file(
    data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    design = replace(DESIGN, segments=("region",))
    export_readers(data_dirs(WORLD), design, tmp_path / "x.parquet", now=NOW)
    table = pq.read_table(tmp_path / "x.parquet")
    assert {*table["attribute_region"].to_pylist()} == {NOT_KNOWN}
