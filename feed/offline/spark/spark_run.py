"""One training on Spark from its begin to the verdict. Read this first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from feed.config import DAY_S
from feed.domain import InvalidInputError
from feed.models.bundle import ModelBundle
from feed.offline.gate import GateVerdict
from feed.offline.spark.spark_log import open_log
from feed.offline.spark.spark_needs import SparkTask
from feed.offline.spark.spark_plan import make_plan
from feed.offline.spark.spark_session import spark_session
from feed.offline.spark.spark_training import SparkTraining
from feed.offline.spark.window_files import ArchiveFiles
from feed.storage.archive import Archive


def train_and_judge(
    task: SparkTask, live: ModelBundle | None, reporter: Callable[[str], Callable[[float], None]]
) -> tuple[ModelBundle, GateVerdict, int]:
    """Return a candidate, the gate's verdict on it, and how many events were read.

    Args:
        task: what is to be trained, and where.
        live: the live model, if there is one.
        reporter: given the name of a stage, returns what is called with the share done of it.

    Raises:
        ArchiveError: the archive cannot be read, or holds no event in the window.
        InvalidInputError: there is no event at all, or Spark does not start.
    """
    read = reporter("reading the archive")
    archive = Archive(task.directory / "archive")
    last_at = ArchiveFiles.listed(archive, float("-inf")).last_event_at()
    if last_at is None:
        raise InvalidInputError("--data", "holds no archived events yet")
    since = last_at - task.config.window_days * DAY_S
    with (
        TemporaryDirectory(prefix="spark-", dir=task.directory) as name,
        spark_session(task.master, Path(name)) as session,
    ):
        log = open_log(session, archive, Path(name), since, task.section_aliases)
        plan = make_plan(log, task.live_until, task.config, task.ranking, task.threads)
        read(1.0)
        training = SparkTraining(log, plan)
        candidate = training.learn(task.version, reporter("learning"))
        reporter("judging")
        return candidate, training.judge(candidate, live), log.count_rows()
