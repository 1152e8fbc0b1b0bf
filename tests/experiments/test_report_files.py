"""The files of a report are whole, whoever makes it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.simulation.archive import World

from feed.experiments.judgement.results import Report
from feed.experiments.report import writing

WORLD = World(experiment="trial", readers=300, days=2, pre_days=1, seed=3)


def test_two_may_write_one_report_at_once(report_on: Callable[..., Report], tmp_path: Path) -> None:
    report = report_on(WORLD)
    content = writing.dump_json(report)
    path = tmp_path / "trial.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: writing._replace(path, content), range(200)))
    assert path.read_bytes() == content
    assert [*tmp_path.iterdir()] == [path]
