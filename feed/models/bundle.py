"""ModelBundle: everything that was learned, as one immutable version on disk, without pickle."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from feed.arrays import Floats, Matrix
from feed.domain import BundleError
from feed.features.ids import IdMap
from feed.features.vector_spaces import UNNAMED
from feed.models.plugin_ranker import TaughtByPlugin, plugin_files, read_plugin_ranker
from feed.models.ranker import LearnedRanker, LightGBMRanker, WeightedSum
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.models.schema import BUILT_IN, FEATURES, FEWEST_BUILT_IN, FeatureSpec, fingerprint

FORMAT = 2
"""Version of the layout on disk, as long as no ranker multiplies clicks by reads ..."""
FORMAT_OF_READS = 3
"""... and where one does: who knows only the trees of the clicks must not serve by these alone."""
READABLE_FORMATS = (1, FORMAT, FORMAT_OF_READS)
"""In format 1 a ranker's trees stood alone, without the sum that they start from."""
MANIFEST = "manifest.json"
HEADS = ("pool", "slate")
"""The learned rankers a bundle may hold: `pool` orders a whole feed, `slate` an editor's list."""

_READS = "_reads.txt"
"""End of the names of the files with the trees that foretell satisfied reads."""
_BLOCK = 4096
"""Rows reduced at a time: a whole catalogue at once would double a web process's memory."""

_ARRAYS = {
    "factors": (2, np.float32),
    "readers": (1, np.float64),
    "content_map": (2, np.float32),
    "content_bias": (1, np.float32),
    "content_mean": (1, np.float32),
    "content_projection": (2, np.float32),
    "neighbour_index": (2, np.int32),
    "neighbour_weights": (2, np.float32),
}


def _empty(dimensions: int, kind: Any) -> Any:
    return field(default_factory=lambda: np.zeros((0,) * dimensions, kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBundle:
    """One trained version. Rows are those of `article_ids`, m articles in all.

    `factors` f32 [m, f]; `readers` f64 [m]; `content_mean` f32 [d], `content_projection`
    f32 [d, d'] reduce embeddings; `content_map` f32 [d', f] with `content_bias` f32 [f] turns
    reduced content into factors; `neighbour_index` int32 [m, K] (-1 pads) with
    `neighbour_weights` f32 [m, K]; `ranker` orders a whole feed, `slate_ranker` a list that an
    editor already chose. `alpha`, `regularization` are those of fold-in, `shrinkage_readers` of
    the blend of learnt and content-mapped factors.
    """

    version: str
    manifest: dict[str, Any] = field(default_factory=dict)
    article_ids: IdMap = field(default_factory=IdMap)
    factors: Matrix = _empty(2, np.float32)
    readers: Floats = _empty(1, np.float64)
    content_map: Matrix = _empty(2, np.float32)
    content_bias: Matrix = _empty(1, np.float32)
    content_mean: Matrix = _empty(1, np.float32)
    content_projection: Matrix = _empty(2, np.float32)
    neighbour_index: npt.NDArray[np.int32] = _empty(2, np.int32)
    neighbour_weights: Matrix = _empty(2, np.float32)
    alpha: float = 10.0
    regularization: float = 0.05
    shrinkage_readers: float = 10.0
    ranker: LearnedRanker | None = None
    slate_ranker: LearnedRanker | None = None
    gramian: Matrix = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gramian", self.factors.T @ self.factors)

    def fits_to(self, encoder: str) -> bool:
        """Return whether it was trained on vectors of an encoder, as far as both are named."""
        known = {self.manifest.get("vectors") or UNNAMED, encoder or UNNAMED}
        return len(known - {UNNAMED}) < 2

    def content_dimensions(self, embedding_dimensions: int) -> int:
        """Return the length of a reduced vector made of embeddings of a length."""
        fits = embedding_dimensions == len(self.content_mean) and embedding_dimensions > 0
        return self.content_projection.shape[1] if fits else embedding_dimensions

    def reduce_content(self, embedding: npt.NDArray[np.floating]) -> Matrix:
        """Return embeddings centred, projected and of unit length, f32 [k, d'].

        Zero rows stay zero. Embeddings of another encoder than the one trained on come back
        as they are: their cosines still mean something, the projection would not.
        """
        if embedding.shape[1] == 0 or embedding.shape[1] != len(self.content_mean):
            return embedding.astype(np.float32, copy=False)
        result = np.zeros((len(embedding), self.content_projection.shape[1]), np.float32)
        for start in range(0, len(embedding), _BLOCK):
            result[start : start + _BLOCK] = self._reduce_block(embedding[start : start + _BLOCK])
        return result

    def _reduce_block(self, embedding: npt.NDArray[np.floating]) -> Matrix:
        worded = np.asarray(embedding.any(axis=1))
        reduced = (embedding.astype(np.float32) - self.content_mean) @ self.content_projection
        norms = np.linalg.norm(reduced, axis=1, keepdims=True)
        norms[norms < 1e-8] = 1.0
        result: Matrix = np.where(worded[:, None], reduced / norms, np.float32(0.0))
        return result


def empty_bundle() -> ModelBundle:
    """Return the model of day one: nothing learnt, version "none"."""
    return ModelBundle(version="none")


def save_bundle(bundle: ModelBundle, directory: Path) -> None:
    """Write a bundle into a new directory, every file synced, the manifest last.

    Raises:
        BundleError: the directory exists or cannot be written.
    """
    try:
        directory.mkdir(parents=True)
        files = {f"{name}.npy": _array_bytes(getattr(bundle, name)) for name in _ARRAYS}
        files["article_ids.json"] = orjson.dumps(bundle.article_ids.ids)
        for head, ranker in zip(HEADS, (bundle.ranker, bundle.slate_ranker), strict=True):
            if ranker is not None:
                files |= _ranker_files(head, ranker)
        for name, data in files.items():
            _write_synced(directory / name, data)
        _write_synced(directory / MANIFEST, orjson.dumps(_manifest(bundle, files), option=_PRETTY))
    except OSError as error:
        raise BundleError(f"cannot write the model: {error.strerror}") from error


def load_bundle(directory: Path) -> ModelBundle:
    """Return the bundle in a directory after checking every file against the manifest.

    Raises:
        BundleError: a file is missing or altered, the format or the feature schema is another.
    """
    manifest = read_manifest(directory)
    if manifest.get("format") not in READABLE_FORMATS:
        raise BundleError(
            f"cannot read model format {manifest.get('format')}, only up to {FORMAT_OF_READS}"
        )
    _check_features(manifest)
    files = {name: _checked(directory / name, sha) for name, sha in manifest["sha256"].items()}
    try:
        arrays = {name: _read_array(files[f"{name}.npy"], *_ARRAYS[name]) for name in _ARRAYS}
        rankers = {head: _read_ranker(files, head) for head in HEADS}
        bundle = ModelBundle(
            version=manifest["version"],
            manifest=manifest,
            article_ids=IdMap(orjson.loads(files["article_ids.json"])),
            ranker=rankers["pool"],
            slate_ranker=rankers["slate"],
            **manifest["numbers"],
            **arrays,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"the model in {directory.name} is incomplete: {error}") from error
    if not len(bundle.article_ids) == len(bundle.factors) == len(bundle.readers):
        raise BundleError("the model's arrays do not fit its articles")
    return bundle


def _check_features(manifest: dict[str, Any]) -> None:
    """Refuse a model that knows a feature that is not there.

    Features of plugins come last, so a model that was trained before one of them came still fits.
    So does one without plugins that was trained before the last of feed's own features came.
    """
    names = manifest.get("plugin_features", [])
    schemas = {fingerprint(FEATURES[: len(BUILT_IN) + len(names)])}
    if not names:
        schemas.add(fingerprint(FEATURES[:FEWEST_BUILT_IN]))
    if manifest.get("feature_schema") in schemas:
        return
    lacking = sorted(set(names) - {feature.name for feature in FEATURES})
    if lacking:
        raise BundleError(
            f"the model needs plugins with the features {', '.join(lacking)}, which are not in use"
        )
    raise BundleError("the model was made for another feature schema; retrain it")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return a bundle's manifest without loading the rest.

    Raises:
        BundleError: there is none, or it is broken.
    """
    try:
        data = (directory / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"no readable model in {directory.name}") from error
    return parse_manifest(data, directory.name)


def parse_manifest(data: bytes, version: str) -> dict[str, Any]:
    """Return a manifest from its bytes.

    Raises:
        BundleError: it is broken.
    """
    try:
        manifest = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BundleError(f"no readable model in {version}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), dict):
        raise BundleError(f"the manifest in {version} is broken")
    return manifest


_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def _manifest(bundle: ModelBundle, files: dict[str, bytes]) -> dict[str, Any]:
    return bundle.manifest | {
        "version": bundle.version,
        "format": FORMAT_OF_READS if any(map(_is_of_reads, files)) else FORMAT,
        "feature_schema": fingerprint(),
        "plugin_features": [feature.name for feature in FEATURES[len(BUILT_IN) :]],
        "articles": len(bundle.article_ids),
        "numbers": {
            "alpha": bundle.alpha,
            "regularization": bundle.regularization,
            "shrinkage_readers": bundle.shrinkage_readers,
        },
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }


def _array_bytes(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read_array(data: bytes, dimensions: int, kind: Any) -> Any:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.ndim != dimensions or array.dtype != kind:
        raise ValueError("an array has another shape or type than expected")
    return array


def _read_ranker(files: dict[str, bytes], head: str) -> LearnedRanker | None:
    if f"ranker_{head}_neutral.npy" not in files:
        return None
    neutral = _read_array(files[f"ranker_{head}_neutral.npy"], 1, np.float32)
    text = files.get(f"ranker_{head}.txt")
    if text is None:
        return read_plugin_ranker(files, head, neutral)
    start = files.get(f"ranker_{head}_start.json")
    clicks = LightGBMRanker(text.decode(), neutral, None if start is None else _read_start(start))
    reads = files.get(f"ranker_{head}{_READS}")
    if reads is None:
        return clicks
    return SatisfiedRanker(clicks, LightGBMRanker(reads.decode(), neutral))


def _ranker_files(head: str, ranker: LearnedRanker) -> dict[str, bytes]:
    if isinstance(ranker, TaughtByPlugin):
        neutral = {f"ranker_{head}_neutral.npy": _array_bytes(ranker.known_neutral)}
        return neutral | plugin_files(head, ranker)
    if isinstance(ranker, SatisfiedRanker):
        reads = {f"ranker_{head}{_READS}": ranker.reads.text.encode()}
        return _ranker_files(head, ranker.clicks) | reads
    if not isinstance(ranker, LightGBMRanker):
        raise BundleError(f"there is no format for a ranker of the kind {type(ranker).__name__}")
    files = {
        f"ranker_{head}.txt": ranker.text.encode(),
        f"ranker_{head}_neutral.npy": _array_bytes(ranker.neutral),
    }
    if ranker.start is not None:
        files[f"ranker_{head}_start.json"] = _start_bytes(ranker.start)
    return files


def _is_of_reads(file: str) -> bool:
    return file.endswith(_READS)


def _start_bytes(start: WeightedSum) -> bytes:
    """Return a sum as JSON, with the features by name: a person may want to read it."""
    names = [f.name for f in FEATURES]
    parts = {
        "intercept": start.intercept,
        "weights": dict(zip(names, start.weights.tolist(), strict=True)),
        "neutral": dict(zip(names, start.neutral.tolist(), strict=True)),
    }
    return orjson.dumps(parts, option=orjson.OPT_INDENT_2)


def _read_start(data: bytes) -> WeightedSum:
    parts = orjson.loads(data)
    weights, neutral = (
        np.array([_of_feature(parts[key], f) for f in FEATURES], np.float64)
        for key in ("weights", "neutral")
    )
    return WeightedSum(float(parts["intercept"]), weights, neutral)


def _of_feature(values: dict[str, float], feature: FeatureSpec) -> float:
    """Return a feature's value; one that came after the training has none, which is 0."""
    came_later = feature in FEATURES[FEWEST_BUILT_IN:]
    return values.get(feature.name, 0.0) if came_later else values[feature.name]


def _checked(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"the model lacks {path.name}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"the model's file {path.name} was altered")
    return data


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
