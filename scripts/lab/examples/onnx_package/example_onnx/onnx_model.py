"""A ranker that any library has trained, such as scikit-learn, kept as ONNX.

The directory `ONNX_RANKER` holds `pool.onnx` and `slate.onnx`. Where one of them is missing, a
training writes the examples there, as `pool.npz` or `slate.npz`, for you to learn from, and its
model has no learned ranker for that use. The input of an ONNX model is f32 [k, n]. Its metadata may
say under `features` which columns it wants, as names with commas between them. Its last output is
log-odds [k] or [k, 1], or the probabilities [k, 2] of a classifier of scikit-learn.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import onnxruntime

from feed.plugins import Floats, Matrix, PluginExamples, Rows

DIRECTORY = "ONNX_RANKER"
CHANCE_MIN = 1e-6


class FittedOnnx:
    """An ONNX model, and which of the features it is given."""

    def __init__(self, model: bytes, columns: Rows) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # web processes share the cores among them
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._model, self._columns = model, columns

    def margin(self, features: Matrix) -> Floats:
        """Return log-odds, f64 [k]."""
        given = {self._input: np.ascontiguousarray(features[:, self._columns], np.float32)}
        output = np.asarray(self._session.run(None, given)[-1], np.float64)
        if output.ndim == 1 or output.shape[1] == 1:
            return output.reshape(-1)
        chance = np.clip(output[:, 1], CHANCE_MIN, 1.0 - CHANCE_MIN)
        return np.log(chance / (1.0 - chance))

    def save(self) -> bytes:
        """Return the model and its columns as an npz file."""
        file = io.BytesIO()
        np.savez(file, model=np.frombuffer(self._model, np.uint8), columns=self._columns)
        return file.getvalue()


class OnnxRanker:
    """Takes its models from files; it learns nothing by itself."""

    name = "onnx_model"

    def fit(self, examples: PluginExamples) -> FittedOnnx | None:
        """Return the model of this use; without one, leave the examples in its place."""
        place = Path(os.environ[DIRECTORY]) / examples.head
        if place.with_suffix(".onnx").exists():
            model = place.with_suffix(".onnx").read_bytes()
            return FittedOnnx(model, columns_of(model, examples.names))
        np.savez(
            place.with_suffix(".npz"),
            features=examples.features,
            names=examples.names,
            clicked=examples.clicked,
            sizes=examples.sizes,
        )
        return None

    def load(self, data: bytes) -> FittedOnnx:
        """Return what `save` wrote."""
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
        return FittedOnnx(arrays["model"].tobytes(), arrays["columns"])


def columns_of(model: bytes, names: tuple[str, ...]) -> Rows:
    """Return the positions of the features that a model wants; all, if it does not say.

    Raises:
        ValueError: there is no feature of a name, or the model takes another number of them.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map.get("features", "")
    wanted = said.split(",") if said else list(names)
    unknown = set(wanted) - set(names)
    if unknown:
        raise ValueError(f"the model wants unknown features: {', '.join(sorted(unknown))}")
    width = session.get_inputs()[0].shape[1]
    if isinstance(width, int) and width != len(wanted):  # it may also leave the number open
        raise ValueError(f"the model takes {width} features, not {len(wanted)}")
    return np.array([names.index(name) for name in wanted], np.int64)
