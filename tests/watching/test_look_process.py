"""A process that looks, and looks that do it harm."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from feed.config import Settings
from feed.domain import ArchiveError
from feed.experiments.design.definitions import Experiment, Variant
from feed.watching.findings import FindingKind, WatchLook
from feed.watching.look_process import NICENESS, LookProcess

DESIGN = Experiment(
    name="trial",
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
)


def look_harmful(settings: Settings, experiment: Experiment, now: float) -> WatchLook:
    what = experiment.hypothesis
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "is damaged":
        raise ArchiveError("file x is damaged")
    if what == "has a defect":
        raise RecursionError("/secret/path")
    while what == "hangs":
        pass
    return WatchLook(at=now, day=float(os.nice(0)), verdict=experiment.name)


def look(
    what: str, tmp_path: Path, limit_s: float = 60.0, goes_on: bool = True
) -> WatchLook | None:
    design = Experiment(
        name="trial", hypothesis=what, owner="o", variants=DESIGN.variants, version=2
    )
    process = LookProcess(look_harmful, limit_s)
    return process(Settings(data_dir=tmp_path), design, 5.0, lambda: goes_on)


def test_another_process_looks_with_low_priority(tmp_path: Path) -> None:
    found = look("works", tmp_path)
    assert found == WatchLook(at=5.0, day=float(min(os.nice(0) + NICENESS, 19)), verdict="trial")


@pytest.mark.parametrize(
    ("what", "limit_s", "why"),
    [
        ("dies", 60.0, "the process that makes it died"),
        ("is damaged", 60.0, "file x is damaged"),
        ("has a defect", 60.0, "a defect (RecursionError)"),
        ("hangs", 0.5, "it takes more than 0.5 seconds"),
    ],
)
def test_a_report_that_cannot_be_made_is_a_finding(
    what: str, limit_s: float, why: str, tmp_path: Path
) -> None:
    found = look(what, tmp_path, limit_s)
    assert found is not None
    assert (found.at, found.verdict) == (5.0, "")
    (finding,) = found.findings
    assert finding.kind is FindingKind.REPORT
    assert f"The report cannot be made: {why}" in finding.sentence
    assert "/secret" not in finding.sentence
    assert not finding.may_stop


def test_a_look_ends_when_it_may_not_go_on(tmp_path: Path) -> None:
    assert look("hangs", tmp_path, goes_on=False) is None
