"""Starts a Spark session for a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from feed.domain import InvalidInputError
from feed.environment import plugins_from_environment


@contextmanager
def spark_session(master: str, scratch: Path) -> Iterator[Any]:
    """Yield a Spark session, which ends with the block.

    The Spark web pages are off. With a local master, or one on the loopback address, the driver
    listens there alone. Whatever `spark-defaults.conf` or `PYSPARK_SUBMIT_ARGS` set besides holds.

    Args:
        master: address of the master, `local[N]` for threads of this machine.
        scratch: a directory for Spark's own files.

    Raises:
        InvalidInputError: the master does not answer.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = (
        SparkSession.builder.master(master)
        .appName("feed retrain")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.adaptive.enabled", "false")  # partitions are those that were asked for
        .config("spark.local.dir", str(scratch))
        .config("spark.executorEnv.OMP_NUM_THREADS", "1")
        .config("spark.executorEnv.OPENBLAS_NUM_THREADS", "1")
        .config("spark.executorEnv.FEED_PLUGINS", ",".join(plugins_from_environment()))
        .config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    )
    if master.startswith("local") or "//127.0.0.1:" in master or "//localhost:" in master:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
        builder = builder.config("spark.driver.host", "127.0.0.1")
    try:
        session = builder.getOrCreate()
    except Exception as error:  # py4j passes on whatever Java threw
        raise InvalidInputError("--master", f"Spark does not start at {master}: {error}") from error
    session.conf.set("spark.sql.shuffle.partitions", str(tasks_of(session)))
    try:
        yield session
    finally:
        session.stop()


def tasks_of(session: Any) -> int:
    """Return into how many parts work is cut that needs little memory: two for each core."""
    return max(2, 2 * int(session.sparkContext.defaultParallelism))


def file_address(path: Path) -> str:
    """Return the address by which Spark finds a file or directory of every process's disk."""
    return f"file://{path}"
