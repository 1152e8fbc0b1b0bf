"""Training runs on disk: progress, outcome, log, and runs whose process is gone."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from feed.domain import NotFoundError
from feed.models.registry import ModelRegistry
from feed.models.training_runs import KEPT, list_runs, read_log, recorded_run

HOLDER = """
import sys
from pathlib import Path
from feed.models.training_runs import recorded_run
with recorded_run(Path(sys.argv[1]), "boss", lambda: 1000.0) as run:
    run.progress("learning", 0.25)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_run_shows_its_progress_and_how_it_ended(tmp_path: Path) -> None:
    seconds = count(1000.0)
    with recorded_run(tmp_path, "ed", lambda: next(seconds)) as run:
        run.progress("learning", 0.0)
        run.progress("learning", 0.5)
        (found,) = list_runs(tmp_path)
        assert (found.outcome, found.stage, found.share) == ("running", "learning", 0.5)
        assert (found.by, found.ended_at) == ("ed", 0.0)
        run.end("published", "v7")
    (found,) = list_runs(tmp_path)
    assert (found.outcome, found.detail) == ("published", "v7")
    assert found.ended_at > found.started_at
    log = read_log(tmp_path, found.id)
    assert "learning" in log
    assert "published: v7" in log
    with pytest.raises(NotFoundError):
        read_log(tmp_path, "../LIVE")


def test_an_error_ends_a_run_as_failed_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no events"), recorded_run(tmp_path, "ed", lambda: 1.0):
        raise ValueError("no events")
    (found,) = list_runs(tmp_path)
    assert (found.outcome, found.detail) == ("failed", "no events")


def test_a_run_whose_process_was_killed_is_interrupted_not_running(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert [run.outcome for run in list_runs(tmp_path)] == ["running"]
        holder.kill()
    (found,) = list_runs(tmp_path)
    assert (found.outcome, found.stage, found.share) == ("interrupted", "learning", 0.25)


def test_the_newest_runs_are_kept_and_no_run_is_a_version(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        with recorded_run(tmp_path, "ed", lambda at=60.0 * number: at) as run:
            run.end("refused", "worse")
    found = list_runs(tmp_path)
    assert [run.started_at for run in found[:2]] == [60.0 * (KEPT + 2), 60.0 * (KEPT + 1)]
    assert len(found) == KEPT
    assert len([*(tmp_path / "runs").iterdir()]) == 2 * KEPT
    assert ModelRegistry(tmp_path).list() == ()


def test_a_broken_file_hides_no_other_run(tmp_path: Path) -> None:
    with recorded_run(tmp_path, "ed", lambda: 1.0) as run:
        run.end("dry run")
    (tmp_path / "runs" / "zz.json").write_text("{broken")
    assert [run.outcome for run in list_runs(tmp_path)] == ["dry run"]
