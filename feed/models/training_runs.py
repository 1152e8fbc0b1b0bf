"""Training runs on disk: how far each is, how it ended, and its log."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from feed.domain import NotFoundError, format_time
from feed.storage.data_place import LocalPlace
from feed.storage.working_copy import remote_of

RUNS = "runs"
"""Directory of the runs, beside the versions."""
KEPT = 30
"""Runs whose files are kept."""
LOG_BYTES = 100_000
"""Of a log, so much of its end is shown."""
RUNNING, INTERRUPTED = "running", "interrupted"
PUBLISHED, REFUSED, DRY, FAILED = "published", "refused", "dry run", "failed"
_LEAST_S = 0.5
_SILENT_S = 900.0
"""A trainer on another machine that has reported nothing for so long has been interrupted."""
_ELSEWHERE = ".elsewhere"
"""Suffix of the file beside a run of another machine; `_SILENT` is in it if that is silent."""
_SILENT = "silent"
_UPLOAD_S = 2.0
"""Least time between two uploads of a run that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One run of `feed retrain`. Times are epoch seconds, 0 where it has not happened.

    Attributes:
        id: Sorts by time.
        by: Who started it.
        started_at: When it began.
        ended_at: When it ended.
        stage: What it does now, or did last.
        share: How much of that stage is done, 0 to 1.
        outcome: `running`, `published`, `refused`, `dry run`, `failed` or `interrupted`.
        detail: The version that it published, or why it did not.
    """

    id: str
    by: str
    started_at: float
    ended_at: float = 0.0
    stage: str = ""
    share: float = 0.0
    outcome: str = RUNNING
    detail: str = ""


class RunRecorder:
    """Writes one run as it goes. The lock on its log ends with the process, whatever ends it.

    Args:
        directory: Of the runs.
        run: As it begins.
        clock: Epoch seconds.
    """

    def __init__(self, directory: Path, run: TrainingRun, clock: Callable[[], float]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.run, self._path, self._clock = run, directory / f"{run.id}.json", clock
        self._log = (directory / f"{run.id}.log").open("a", encoding="utf-8")
        fcntl.flock(self._log, fcntl.LOCK_EX)
        self._remote = remote_of(directory.parent)
        self._written_at = self._uploaded_at = float("-inf")
        self._write()

    def progress(self, stage: str, share: float) -> None:
        """Note how far the run is; what comes often is written a few times a second at most."""
        is_new = stage != self.run.stage
        self.run = replace(self.run, stage=stage, share=min(max(share, 0.0), 1.0))
        if is_new:
            self.note(f"{format_time(self._clock())[:19]} {stage}")
        if is_new or self._clock() - self._written_at >= _LEAST_S:
            self._write()

    def note(self, text: str) -> None:
        """Add lines to the log."""
        self._log.write(text.rstrip() + "\n")
        self._log.flush()

    def end(self, outcome: str, detail: str = "") -> None:
        """Note how the run ended."""
        self.note(f"{format_time(self._clock())[:19]} {outcome}: {detail}".rstrip(": "))
        self.run = replace(self.run, outcome=outcome, detail=detail, ended_at=self._clock())
        self._write()

    def close(self) -> None:
        """Let the lock go."""
        self._log.close()

    def _write(self) -> None:
        aside = self._path.with_suffix(f".{os.getpid()}.tmp")
        aside.write_bytes(orjson.dumps(asdict(self.run)))
        aside.replace(self._path)
        self._written_at = self._clock()
        is_over = self.run.outcome != RUNNING
        if self._remote is not None and (is_over or self._clock() - self._uploaded_at >= _UPLOAD_S):
            for path in (self._path, self._path.with_suffix(".log")):
                self._remote.overwrite(f"{RUNS}/{path.name}", path.read_bytes())
            self._uploaded_at = self._clock()


@contextmanager
def recorded_run(models_dir: Path, by: str, clock: Callable[[], float]) -> Iterator[RunRecorder]:
    """Record what happens in the block as a run; an error ends it as failed, and goes on."""
    directory = models_dir / RUNS
    started_at = clock()
    name = f"{format_time(started_at)[:19].replace(':', '')}-{os.getpid()}"
    recorder = RunRecorder(directory, TrainingRun(id=name, by=by, started_at=started_at), clock)
    try:
        _forget_old(directory)
        yield recorder
    except Exception as error:
        if recorder.run.outcome == RUNNING:
            recorder.end(FAILED, f"{error}" or type(error).__name__)
        raise
    finally:
        recorder.close()


def list_runs(models_dir: Path) -> list[TrainingRun]:
    """Return the runs, the newest first; one whose process is gone without an end: interrupted."""
    directory = models_dir / RUNS
    paths = sorted(directory.glob("*.json"), reverse=True) if directory.is_dir() else []
    found = (_read(path) for path in paths)
    return [run for run in found if run is not None]


def read_log(models_dir: Path, run_id: str) -> str:
    """Return the end of a run's log.

    Raises:
        NotFoundError: there is no such run.
    """
    if run_id not in {run.id for run in list_runs(models_dir)}:
        raise NotFoundError(f"there is no training run {run_id}")
    data = LocalPlace(models_dir).read_end(f"{RUNS}/{run_id}.log", LOG_BYTES)
    return (data or b"").decode("utf-8", "replace")


def pull_runs(models_dir: Path) -> None:
    """Copy the runs of other machines from the object store, if there is one.

    Raises:
        DataPlaceError: it does not answer.
    """
    remote = remote_of(models_dir)
    if remote is None:
        return
    (models_dir / RUNS).mkdir(parents=True, exist_ok=True)
    for name, age in remote.ages(f"{RUNS}/").items():
        path = models_dir / name
        elsewhere = path.with_suffix(_ELSEWHERE)
        is_own = path.exists() and not elsewhere.exists()
        has_ended = _recorded(path.with_suffix(".json")).get("outcome", RUNNING) != RUNNING
        stored = None if is_own or (has_ended and path.exists()) else remote.read(name)
        if stored is not None:
            elsewhere.write_text(_SILENT if age > _SILENT_S else "")
            aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            aside.write_bytes(stored.data)
            aside.replace(path)


def _recorded(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _read(path: Path) -> TrainingRun | None:
    try:
        run = TrainingRun(**_recorded(path))
    except TypeError:
        return None
    if run.outcome == RUNNING and not _is_at_work(path):
        return replace(run, outcome=INTERRUPTED, detail="its process ended before it was done")
    return run


def _is_at_work(path: Path) -> bool:
    """Return whether a trainer lives: here it holds a lock, elsewhere it has just reported."""
    try:
        return path.with_suffix(_ELSEWHERE).read_text() != _SILENT
    except FileNotFoundError:
        return _is_held(path.with_suffix(".log"))


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _forget_old(directory: Path) -> None:
    """Delete the oldest runs, and what a trainer that died left half-written."""
    for path in directory.glob("*.tmp"):
        path.unlink(missing_ok=True)
    remote = remote_of(directory.parent)
    names = sorted({path.stem for path in directory.glob("*.json")})
    for name in names[:-KEPT]:
        for suffix in (".json", ".log", _ELSEWHERE):
            (directory / f"{name}{suffix}").unlink(missing_ok=True)
            if remote is not None and suffix != _ELSEWHERE:
                remote.delete(f"{RUNS}/{name}{suffix}")
