"""The example package, from a built wheel: it keeps the contract, and feed its laws with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feed.domain import BundleError
from feed.models.bundle import load_bundle, save_bundle
from feed.models.schema import FEATURES
from tests.models.test_bundle_registry import make_bundle

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "scripts" / "lab" / "examples" / "plugin_package"
PACKAGE = "feed-example-plugins"
TIMEOUT_S = 280


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the installed wheel, for PYTHONPATH."""
    return build_package(SOURCE, tmp_path_factory.mktemp("plugins"))


def build_package(source: Path, folder: Path) -> Path:
    """Build the wheel of a package in a folder; return where it was unpacked."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=source, capture_output=True, timeout=TIMEOUT_S, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_every_plugin_keeps_the_contract(site):
    result = run(site, "feed", "check-plugin", PACKAGE)
    assert result.returncode == 0, result.stderr
    for name in ("opened_often", "source_missed", "logistic", "sources_apart", "clicks_over_age"):
        assert name in result.stdout
    assert "All of them keep the contract." in result.stdout


@pytest.mark.parametrize("command", [("serve", "--data"), ("worker", "--data"), ("retrain",)])
def test_a_plugin_that_is_not_there_ends_a_command_with_one_line(site, tmp_path, command):
    result = run(site, "feed", *command, str(tmp_path), FEED_PLUGINS=f"{PACKAGE}:other")
    assert result.returncode == 2
    problem = f"FEED_PLUGINS: the package {PACKAGE} has no plugin other"
    assert result.stderr == f"Error: {problem}\n"


def test_feed_keeps_its_laws_with_the_plugins_in_use(site, tmp_path):
    plain = make_bundle(ranker=True)
    save_bundle(plain, tmp_path / "plain")
    features = np.random.default_rng(2).normal(size=(9, len(FEATURES))).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "margin.npy", plain.ranker.margin(features))

    laws = run(
        site,
        "pytest",
        "tests/plugins/laws_in_force.py",
        "tests/flows/test_parity.py",
        FEED_PLUGINS=PACKAGE,
        LAWS_FOLDER=str(tmp_path),
    )
    assert laws.returncode == 0, laws.stdout[-6000:]
    assert "skipped" not in laws.stdout

    with pytest.raises(BundleError, match="needs plugins with the features source_missed"):
        load_bundle(tmp_path / "of-plugins")


def test_a_model_of_a_plugins_ranker_is_refused_without_it(site, tmp_path):
    np.save(tmp_path / "features.npy", np.zeros((1, len(FEATURES)), np.float32))
    plain = make_bundle(ranker=True)
    save_bundle(replace(plain, version="plain"), tmp_path / "plain")
    np.save(tmp_path / "margin.npy", plain.ranker.margin(np.zeros((1, len(FEATURES)), np.float32)))
    made = run(
        site,
        "pytest",
        "tests/plugins/laws_in_force.py",
        "-k",
        "from_one_process_to_another",
        FEED_PLUGINS=f"{PACKAGE}:logistic",
        LAWS_FOLDER=str(tmp_path),
    )
    assert made.returncode == 0, made.stdout[-6000:]
    with pytest.raises(BundleError, match="ranker needs the plugin logistic, which is not in use"):
        load_bundle(tmp_path / "of-plugins")
