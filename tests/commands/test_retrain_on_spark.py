"""`feed retrain --engine spark`, as people run it: what it needs, and a cluster of two workers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from lab.ports import free_port
from simulated_newsroom import write_newsroom

from feed.cli import feed
from feed.config import Settings
from feed.models.registry import ModelRegistry
from feed.storage.working_copy import prepare_data_dir
from tests.plugins.test_example_package import PACKAGE, SOURCE, build_package

QUICK = (
    "--set", "factors=8", "--set", "iterations=3", "--set", "ranker_trees=10",
    "--set", "ranker_min_impressions=100",
)  # fmt: skip
SMALL_EXECUTORS = {
    "PYSPARK_SUBMIT_ARGS": "--conf spark.executor.memory=600m"
    " --conf spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1"
    " --driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
}


def retrain(*arguments: str) -> Result:
    return CliRunner().invoke(feed, ["retrain", *arguments], catch_exceptions=False)


def test_a_master_is_for_spark_alone(tmp_path):
    result = retrain("--data", str(tmp_path), "--master", "local[2]")
    assert result.exit_code == 2
    assert result.stderr == "Error: --master: needs --engine spark\n"


def test_spark_does_not_learn_satisfied_reads(tmp_path):
    wanted = ("--engine", "spark", "--set", "satisfied_reads=true")
    result = retrain("--data", str(tmp_path), *wanted)
    assert result.exit_code == 2
    assert "satisfied_reads: needs --engine als" in result.stderr


@pytest.mark.parametrize("module", ["pyspark", "pyarrow"])
def test_a_missing_extra_is_named_in_one_line(tmp_path, monkeypatch, module):
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else n)
    result = retrain("--data", str(tmp_path), "--engine", "spark")
    assert result.exit_code == 2
    assert result.stderr == f"Error: --engine spark: needs {module}: pip install 'feed[spark]'\n"


def test_a_missing_java_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = retrain("--data", str(tmp_path), "--engine", "spark")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: --engine spark: needs a Java runtime, 17 or newer:"
        " apt-get install default-jre-headless\n"
    )


@pytest.fixture
def master(object_url: str, tmp_path: Path) -> Iterator[str]:
    """A standalone master with two worker processes of one core each, which know the objects."""
    pyspark = pytest.importorskip("pyspark", reason="PySpark, the extra spark, is not installed")
    assert shutil.which("java"), "scripts/test installs a Java runtime"
    home = Path(pyspark.__file__).parent
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    environment = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(tmp_path / "work"),
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    local = ("--host", "127.0.0.1", "--webui-port", "0")
    commands = [
        ("org.apache.spark.deploy.master.Master", *local, "--port", str(port)),
        *[("org.apache.spark.deploy.worker.Worker", *local, "-c", "1", "-m", "1g", address)] * 2,
    ]
    with ExitStack() as stack, (tmp_path / "daemons.log").open("w") as log:
        for command in commands:
            process = subprocess.Popen(
                [str(home / "bin" / "spark-class"), *command],
                env=environment,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        deadline = time.monotonic() + 120
        while (tmp_path / "daemons.log").read_text().count("Successfully registered") < 2:
            assert time.monotonic() < deadline, (tmp_path / "daemons.log").read_text()
            time.sleep(0.2)
        yield address


def test_two_worker_processes_train_a_model_that_passes_the_gate(tmp_path, master):
    write_newsroom(tmp_path / "data" / "archive")
    done = subprocess.run(
        [
            sys.executable, "-m", "feed", "retrain", "--data", str(tmp_path / "data"),
            "--engine", "spark", "--master", master, *QUICK,
        ],
        env=os.environ | SMALL_EXECUTORS,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is live." in done.stdout
    assert "Passed: " in done.stdout
    live = ModelRegistry(tmp_path / "data" / "models").load_live()
    assert live is not None
    assert live.manifest["engine"] == "spark"
    assert live.manifest["gate"]["verdict"] == "passed"
    assert live.ranker is not None
    assert live.manifest["readers"] > 50
    assert live.factors.shape[1] == 8
    used = {path.parent.name for path in (tmp_path / "work").glob("app-*/*/stderr")}
    assert used == {"0", "1"}, "each worker ran an executor"
    assert [path.name for path in (tmp_path / "data").glob("spark-*")] == []


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature and a candidate source of the example package, in use by what is started here."""
    site = build_package(SOURCE, tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    names = ("source_missed", "opened_often")
    monkeypatch.setenv("FEED_PLUGINS", ",".join(f"{PACKAGE}:{name}" for name in names))


def retrain_apart(data: Path, *arguments: str, **variables: str) -> Path:
    """Train in a process of its own; return where the published model is."""
    command = [sys.executable, "-m", "feed", "retrain", "--data", str(data), "--force", *QUICK]
    done = subprocess.run(
        [*command, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (p.parent for p in (data / "models").rglob("manifest.json"))
    return path


@pytest.mark.timeout(600)
def test_two_worker_processes_learn_what_is_learnt_here_from_objects_and_with_plugins(
    object_url, tmp_path, master, plugins
):
    """Spark's workers run already, and do not know of the plugins."""
    write_newsroom(tmp_path / "here" / "archive")
    here = retrain_apart(tmp_path / "here")
    for machine in ("worker", "trainer"):
        prepare_data_dir(replace(Settings(), data_dir=tmp_path / machine, data_url=object_url))
    write_newsroom(tmp_path / "worker" / "archive")
    there = retrain_apart(
        tmp_path / "trainer",
        *("--engine", "spark", "--master", master),
        FEED_DATA_URL=object_url,
        **SMALL_EXECUTORS,
    )
    learnt_here, manifest = (
        orjson.loads((model / "manifest.json").read_bytes()) for model in (here, there)
    )
    assert manifest["engine"] == "spark"
    assert "source_missed" in manifest["feature_bins"]
    for name in ("window", "lists", "readers", "feature_bins"):
        assert manifest[name] == learnt_here[name]
    for name in ("ranker_pool.txt", "ranker_slate.txt"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
