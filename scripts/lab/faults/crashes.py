"""Processes killed, frozen and doubled while events come in."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from feed.domain import BundleError, NotFoundError
from feed.models.registry import ModelRegistry
from feed.storage.archive import Archive
from lab.faults.installation import PATIENCE_S, Installation, wait_until
from lab.faults.load import (
    EventLoad,
    FeedProbe,
    event_batches,
    longest_gap_s,
    sample_articles,
    send_articles,
    statuses,
)
from lab.faults.outcome import Outcome
from lab.faults.proof import reckon

ARTICLES, READERS, BATCH = 60, 800, 50
FRESH_S = 2.0
"""Within this time every web process shows a new article: from then on no feed may be empty."""
VICTIMS = ("worker", "store", "web", "trainer", "master")
ENVIRONMENT = {"FEED_ARCHIVE_SECONDS": "1"}


def kill_in_turn(
    data_dir: Path,
    events: int,
    rate: float,
    seed: int,
    victims: Sequence[str] = VICTIMS,
    pause_s: tuple[float, float] = (0.3, 2.5),
) -> Outcome:
    """SIGKILL one process after the other, at random moments, until all events are sent."""
    outcome = Outcome("kill", f"SIGKILL of {', '.join(victims)} at random moments")
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        load, probe = begin(installation, events, rate, seed)
        trainer = _Trainer(data_dir / "models") if "trainer" in victims else None
        for role in itertools.cycle(victims):
            if load.is_done():
                break
            time.sleep(rng.uniform(*pause_s))
            before = len(installation.processes(role))
            if role == "trainer" and trainer:
                trainer.kill()
            elif installation.signal(role, signal.SIGKILL, rng.choice) is None:
                continue
            outcome.times += 1
            _wait_until_back(installation, role, before)
        if trainer:
            trainer.stop()
            check_models(data_dir / "models", outcome)
            _note_models(data_dir / "models", outcome, trainer.started)
        finish(installation, load, probe, outcome)
    return outcome


def kill_everything(data_dir: Path, events: int, rate: float, seed: int, times: int) -> Outcome:
    """SIGKILL all processes at once, the supervisor too, and start again."""
    outcome = Outcome("death", "SIGKILL of every process at once, then started again")
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        load, probe = begin(installation, events, rate, seed)
        for _ in range(times):
            time.sleep(rng.uniform(1.0, 3.0))
            installation.kill_everything()
            outcome.times += 1
            installation.start()
        finish(installation, load, probe, outcome)
    return outcome


def two_trainers(data_dir: Path, versions: int) -> Outcome:
    """Let two processes publish into one registry at the same time."""
    outcome = Outcome("trainers", "two trainers publishing at once", times=2 * versions)
    models = data_dir / "models"
    models.mkdir(parents=True, exist_ok=True)
    trainers = [_publish(models, name, versions) for name in ("left", "right")]
    codes = [trainer.wait(PATIENCE_S) for trainer in trainers]
    outcome.expect(codes == [0, 0], f"a trainer failed: exit codes {codes}")
    check_models(models, outcome)
    _note_models(models, outcome, started=2)
    return outcome


def begin(
    installation: Installation, events: int, rate: float, seed: int
) -> tuple[EventLoad, FeedProbe]:
    """Publish articles; once all web processes know them, send events and ask for feeds."""
    client = installation.client()
    article_ids = send_articles(client, sample_articles(ARTICLES, time.time()))
    client.close()
    time.sleep(FRESH_S)
    load = EventLoad(
        installation.url, event_batches(events, BATCH, article_ids, READERS, seed), rate=rate
    )
    probe = FeedProbe(installation.url, readers=READERS, pause_s=0.02)
    load.start()
    probe.start()
    return load, probe


def finish(installation: Installation, load: EventLoad, probe: FeedProbe, outcome: Outcome) -> None:
    """Wait until all is sent, archived and counted, and enter what became of it."""
    load.join()
    wait_until(installation.is_ready, "the service to be ready after everything")
    answers = probe.stop()
    outcome.longest_gap_s = longest_gap_s(answers)
    outcome.remarks.append(f"feeds by status {statuses(answers)} (0: connection broken)")
    outcome.remarks.append(f"event batches by status {statuses(load.answers)}")
    with closing(installation.open_store()) as store:
        archive = Archive(installation.data_dir / "archive")
        outcome.take(reckon(store, archive, load.acknowledged, load.given_up))
        with archive.query() as connection:
            twice = connection.execute(
                "SELECT count(*) - count(DISTINCT (request_id, position)) FROM served"
            ).fetchall()[0][0]
    outcome.expect(twice == 0, f"{twice} exposures archived twice")
    broken = [a for a in answers if a.status not in {0, 200, 503}]
    outcome.expect(not broken, f"feeds failed: {sorted({a.detail for a in broken})}")
    outcome.remarks += installation.log_errors()
    empty = sum(answer.detail == "empty" for answer in answers)
    outcome.expect(empty == 0, f"{empty} feeds were empty")


def _wait_until_back(installation: Installation, role: str, count: int) -> None:
    wait_until(lambda: len(installation.processes(role)) >= count, f"another {role}")
    if role in {"web", "master"}:
        wait_until(installation.is_ready, f"the service to be ready after the death of {role}")


class _Trainer:
    """A process that publishes models, started again whenever it is killed."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self.started = 0
        self._process = self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._models.mkdir(parents=True, exist_ok=True)
        self.started += 1
        return _publish(self._models, f"run{self.started}", 1000)


def _publish(models: Path, name: str, versions: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lab.faults.trainer", str(models), name, str(versions)]
    scripts = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": scripts, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def check_models(models: Path, outcome: Outcome) -> None:
    """Every version that can be seen must be whole, and the live one must be among them."""
    registry = ModelRegistry(models)
    seen = [str(manifest["version"]) for manifest in registry.list()]
    for version in seen:
        try:
            registry.load(version)
        except (BundleError, NotFoundError) as error:
            outcome.failures.append(f"model {version} is not whole: {error}")
    live = registry.live_version()
    outcome.expect(live is None or live in seen, f"the live model {live} is not there")


def _note_models(models: Path, outcome: Outcome, started: int) -> None:
    registry = ModelRegistry(models)
    outcome.remarks.append(
        f"{started} trainer runs left {len(registry.list())} whole models, "
        f"live {registry.live_version()}"
    )
