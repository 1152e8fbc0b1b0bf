"""What a training on Spark is told, and what must be installed; imports nothing of that."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feed.config import RankingConfig
from feed.domain import InvalidInputError
from feed.training_config import TrainingConfig

LOCAL = "local[*]"
"""Every core of this machine, without a cluster."""
_ENGINE = "--engine spark"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkTask:
    """What is to be trained, and where.

    Attributes:
        master: Address of Spark's master.
        directory: The data directory, which every process of Spark sees under this path.
        live_until: When the training of the live model ended, -inf without one.
        section_aliases: Key to name of the section that an article of this section is in.
        config: Training parameters.
        ranking: Ranking parameters.
        threads: Of what one process does alone.
        version: Name of the candidate.
    """

    master: str
    directory: Path
    live_until: float
    section_aliases: Mapping[str, str]
    config: TrainingConfig
    ranking: RankingConfig
    threads: int
    version: str


def check_can_train(config: TrainingConfig) -> None:
    """Refuse to begin where something is missing, or what is wanted is not learnt on Spark.

    Raises:
        InvalidInputError: PySpark, pyarrow or a Java runtime is not installed, or the config asks
            for satisfied reads.
    """
    if config.satisfied_reads:
        raise InvalidInputError(
            "--set satisfied_reads", "needs --engine als: Spark learns clicks alone"
        )
    for module in ("pyspark", "pyarrow"):
        if importlib.util.find_spec(module) is None:
            raise InvalidInputError(_ENGINE, f"needs {module}: pip install 'feed[spark]'")
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else None
    if not (java.is_file() if java else shutil.which("java")):
        raise InvalidInputError(
            _ENGINE, "needs a Java runtime, 17 or newer: apt-get install default-jre-headless"
        )
