"""One small Spark session for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

QUICK_JAVA = "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' pyspark-shell"
"""Java compiles less: a short session spends most of its time on that."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("pyspark", reason="PySpark, the extra spark, is not installed")
    from feed.offline.spark.spark_session import spark_session  # noqa: PLC0415 - needs the extra

    assert shutil.which("java"), "scripts/test installs a Java runtime"
    os.environ["PYSPARK_SUBMIT_ARGS"] = QUICK_JAVA
    try:
        with spark_session("local[2]", tmp_path_factory.mktemp("session")) as session:
            yield session
    finally:
        del os.environ["PYSPARK_SUBMIT_ARGS"]
