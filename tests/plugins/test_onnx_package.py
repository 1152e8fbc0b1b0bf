"""The ONNX example, from a built wheel, with a tiny model that scikit-learn has trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plugins.test_example_package import ROOT, build_package, run

PACKAGE = "feed-example-onnx"
MODEL = Path(__file__).with_name("clicks.onnx")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the installed wheel, for PYTHONPATH."""
    source = ROOT / "scripts" / "lab" / "examples" / "onnx_package"
    return build_package(source, tmp_path_factory.mktemp("onnx"))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A directory with a model for each use."""
    for head in ("pool", "slate"):
        shutil.copy(MODEL, tmp_path / f"{head}.onnx")
    return tmp_path


def test_it_keeps_the_contract(site, models):
    result = run(site, "feed", "check-plugin", PACKAGE, ONNX_RANKER=str(models))
    assert result.returncode == 0, result.stderr
    assert "onnx_model" in result.stdout


def test_the_model_serves_and_is_replayed(site, models):
    tests = ("tests/plugins/onnx_in_force.py", "tests/flows/test_parity.py")
    result = run(site, "pytest", *tests, FEED_PLUGINS=PACKAGE, ONNX_RANKER=str(models))
    assert result.returncode == 0, result.stdout[-6000:]
    assert "skipped" not in result.stdout


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (b"age_published", b"age_pubXished", "the model wants unknown features: age_pubXished"),
        (b"clicks_6h,age_published,", b"age_published,clicks_6h,", ""),
        (b"features\x12", b"Features\x12", "the model takes 3 features, not"),
    ],
)
def test_a_model_of_other_features_is_refused_in_one_line(site, models, before, after, rule):
    content = MODEL.read_bytes()
    assert content.count(before) == 1
    (models / "pool.onnx").write_bytes(content.replace(before, after))
    result = run(site, "feed", "check-plugin", PACKAGE, ONNX_RANKER=str(models))
    assert rule in result.stderr
    assert (result.returncode, len(result.stderr.splitlines())) == ((2, 1) if rule else (0, 0))
