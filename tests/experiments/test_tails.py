"""Heavy readers: how much one side of an interval errs, and when the report says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from lab.simulation.archive import World

from feed.config import DAY_S
from feed.experiments.design.definitions import Variant
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import CheckState, Report
from feed.experiments.judgement.tails import one_sided_error
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import estimate_effect

SMALL = World(experiment="trial", readers=900, days=4, pre_days=4, visits=0.6)


def test_halves_err_alike_on_both_sides_however_heavy_the_tail() -> None:
    assert one_sided_error(40.0, 2_000, 2_000) == 0.0
    assert one_sided_error(40.0, 3_800, 200) > one_sided_error(40.0, 3_000, 1_000) > 0


def test_the_error_said_is_the_error_made() -> None:
    rng = np.random.default_rng(2)
    runs, treated, below = 3_000, 400, 0
    for _ in range(runs):
        reads = rng.exponential(1.0, 4_000) ** 2  # skewness 6.6
        arms = [Moments.from_arrays(reads[treated:]), Moments.from_arrays(reads[:treated])]
        interval = estimate_effect(*arms).interval
        assert interval is not None
        below += interval.high < 0
    said = 0.025 + one_sided_error(6.62, 4_000 - treated, treated)
    assert below / runs == pytest.approx(said, abs=0.01)


def heavy(report: Report) -> CheckState:
    return next(check.state for check in report.checks if check.name == "Heavy readers")


def test_a_small_variant_with_a_heavy_reader_is_warned_about(
    data_dirs: Callable[[World], Path], report_on: Callable[..., Report], tmp_path: Path
) -> None:
    assert heavy(report_on(SMALL)) is CheckState.PASSED
    folder = tmp_path / "x"
    shutil.copytree(data_dirs(SMALL), folder)
    for file in (folder / "archive" / "served").rglob("*.parquet"):
        t = duckdb.read_parquet(str(file))
        few = """SELECT * REPLACE (CASE WHEN hash(user_id) % 10 > 0
            THEN replace(experiments::VARCHAR, 'treatment', 'control')
            ELSE experiments::VARCHAR END AS experiments) FROM t"""
        t.query("t", few).write_parquet(str(file.with_suffix(".new")))
        file.with_suffix(".new").replace(file)
    for file in (folder / "archive" / "events").rglob("*.parquet"):
        t = duckdb.read_parquet(str(file))
        heavier = """SELECT t.* REPLACE (event_id || '-' || i AS event_id,
            occurred_at + i * INTERVAL 5 SECOND AS occurred_at,
            received_at + i * INTERVAL 5 SECOND AS received_at)
            FROM t, range(CASE WHEN kind = 'read' AND user_id = 'reader-7' THEN 300 ELSE 1 END)
            AS r(i)"""
        t.query("t", heavier).write_parquet(str(file.with_suffix(".new")))
        file.with_suffix(".new").replace(file)
    shares = (Variant(name="control", share=0.95), Variant(name="treatment", share=0.05))
    design = replace(report_on(SMALL).experiment, variants=shares)
    report = analyse(folder, design, now=SMALL.start_at + SMALL.days * DAY_S, threads=1)
    assert heavy(report) is CheckState.WARNING
