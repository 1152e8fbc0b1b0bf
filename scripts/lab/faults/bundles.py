"""Models that can be told apart by every score they give, and ways to damage one on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import orjson

from feed.features.ids import IdMap
from feed.models.bundle import MANIFEST, ModelBundle
from feed.models.ranker import LightGBMRanker
from feed.models.schema import FEATURES

LOUD, QUIET = 2.2, -2.2
"""Log-odds that all of a model's scores have: about 0.9 and 0.1."""
BETWEEN = 0.3
"""No factor on a score carries a quiet one above this, or a loud one below."""

FACTORS = 32


def tellable_bundle(version: str, article_ids: Sequence[str], margin: float) -> ModelBundle:
    """Return a model with drawn factors whose ranker gives every article the same score."""
    rng = np.random.default_rng(len(version))
    count = len(article_ids)
    return ModelBundle(
        version=version,
        manifest={"created_at": f"2026-01-01T00:00:00Z-{version}", "origin": "fault tests"},
        article_ids=IdMap(article_ids),
        factors=rng.standard_normal((count, FACTORS)).astype(np.float32),
        readers=np.full(count, 50.0),
        neighbour_index=np.full((count, 1), -1, np.int32),
        neighbour_weights=np.zeros((count, 1), np.float32),
        ranker=constant_ranker(margin),
    )


def constant_ranker(margin: float) -> LightGBMRanker:
    """Return trees that say the same of everything."""
    features = np.zeros((100, len(FEATURES)))
    data = lightgbm.Dataset(features, np.full(100, margin), feature_name=[f.name for f in FEATURES])
    parameters = {"objective": "regression", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, data, num_boost_round=1)
    return LightGBMRanker(booster.model_to_string(), np.zeros(len(FEATURES), np.float32))


def is_mixed(page: dict[str, Any], margins: dict[str, float]) -> bool:
    """Return whether a page holds scores of another model than the one it names."""
    loud = margins[page["model_version"]] == LOUD
    return any((item["score"] > BETWEEN) != loud for item in page["items"])


def flip_a_byte(directory: Path) -> None:
    """Corrupt the factors in the middle."""
    path = directory / "factors.npy"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def cut_short(directory: Path) -> None:
    """Truncate the factors."""
    path = directory / "factors.npy"
    path.write_bytes(path.read_bytes()[:-100])


def leave_out(directory: Path) -> None:
    """Remove a file that the manifest promises."""
    (directory / "article_ids.json").unlink()


def cut_manifest(directory: Path) -> None:
    """Truncate the manifest."""
    path = directory / MANIFEST
    path.write_bytes(path.read_bytes()[:-20])


def from_the_future(directory: Path) -> None:
    """Claim a later format."""
    _edit_manifest(directory, format=99)


def of_another_schema(directory: Path) -> None:
    """Claim to be made for other features."""
    _edit_manifest(directory, feature_schema="0" * 16)


def of_another_shape(directory: Path) -> None:
    """Hold what the manifest says, but not what a model must hold."""
    manifest = orjson.loads((directory / MANIFEST).read_bytes())
    _edit_manifest(directory, numbers={**manifest["numbers"], "colour": 1})


RUINS: dict[str, Callable[[Path], None]] = {
    "corrupt": flip_a_byte,
    "truncated": cut_short,
    "incomplete": leave_out,
    "broken manifest": cut_manifest,
    "future format": from_the_future,
    "other feature schema": of_another_schema,
    "other contents": of_another_shape,
}


def _edit_manifest(directory: Path, **entries: Any) -> None:
    path = directory / MANIFEST
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | entries))
