"""One small Spark session for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from lab.faults.object_server import ObjectServer

QUICK_JAVA = "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' pyspark-shell"
"""Java compiles less: a short session spends most of its time on that."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, object_server: ObjectServer) -> Iterator[Any]:
    """A session whose processes know how to reach the object store of the tests."""
    pytest.importorskip("pyspark", reason="PySpark, the extra spark, is not installed")
    from feed.offline.spark.spark_session import spark_session  # noqa: PLC0415 - needs the extra

    assert shutil.which("java"), "scripts/test installs a Java runtime"
    variables = object_server.environment(object_server.port)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:  # Java keeps what is there at its start
            for name, value in (variables | {"PYSPARK_SUBMIT_ARGS": QUICK_JAVA}).items():
                environment.setenv(name, value)
            folder = tmp_path_factory.mktemp("session")
            session = stack.enter_context(spark_session("local[2]", folder))
        yield session
