"""An encoder that runs a sentence model of the newsroom's choice, kept in ONNX files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from feed.arrays import Matrix
from feed.domain import BundleError
from feed.features.embeddings import unit_rows

MODEL_FILE, TOKENIZER_FILE, POOLING_FILE = "model.onnx", "tokenizer.json", "1_Pooling/config.json"
"""The files of a model's directory, named as the sentence-transformers exports name them. Without
the third, tokens are averaged."""

TOKENS_MAX = 256
"""Most tokens of a text that are read; the model's own limit may be lower."""
_BATCH = 32
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_POOLINGS = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}


class OnnxEncoder:
    """A transformer that turns a text into one vector, on the processor, by onnxruntime.

    If the model's first output has a vector for each token, these are averaged, or the first one
    is taken where the pooling file says so. If it has one vector for a text, that one counts.

    Source: Reimers and Gurevych: Sentence-BERT (2019).

    Args:
        directory: holds `model.onnx` and `tokenizer.json`.
        threads: that compute; None: as many as there are cores, but at most 2.

    Raises:
        BundleError: a file is missing or cannot be used, or the extra `feed[onnx]` is not there.
    """

    def __init__(self, directory: Path, threads: int | None = None) -> None:
        check_onnx_files(directory)
        onnxruntime, tokenizers = import_module("onnxruntime"), import_module("tokenizers")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or min(2, os.cpu_count() or 1)
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(directory / MODEL_FILE), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = tokenizers.Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        except Exception as error:  # both libraries raise errors of their own, some without a base
            raise BundleError(f"the encoder in {directory} cannot be used: {error}") from error
        _limit_tokens(self._tokenizer)
        self._inputs = {one.name for one in self._session.get_inputs()}
        if not {"input_ids"} <= self._inputs <= _INPUTS:
            raise BundleError(f"the encoder in {directory} has inputs other than text tokens")
        self._takes_first = _takes_first(directory)
        self._name = f"onnx-{_fingerprint(directory)}"
        self._dimensions = int(self._run(["a"]).shape[1])

    @property
    def name(self) -> str:
        """`onnx-` and a fingerprint of the files."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return f32 [n, dimensions]; rows of unit length, or zero for a text without words."""
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        worded = [i for i, text in enumerate(texts) if text.strip()]
        worded.sort(key=lambda i: len(texts[i]))  # texts of one batch are padded to one length
        for start in range(0, len(worded), _BATCH):
            rows = worded[start : start + _BATCH]
            vectors[rows] = self._run([texts[i] for i in rows])
        return unit_rows(vectors)

    def _run(self, texts: list[str]) -> Matrix:
        encodings = self._tokenizer.encode_batch(texts)
        columns = {
            "input_ids": [one.ids for one in encodings],
            "attention_mask": [one.attention_mask for one in encodings],
            "token_type_ids": [one.type_ids for one in encodings],
        }
        arrays = {name: np.array(columns[name], np.int64) for name in columns}
        given = {name: arrays[name] for name in self._inputs}
        output = np.asarray(self._session.run(None, given)[0], np.float32)
        if output.ndim == 2:
            return output
        if self._takes_first:
            return np.ascontiguousarray(output[:, 0])
        mask = arrays["attention_mask"][:, :, None].astype(np.float32)
        mean: Matrix = (output * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0)
        return mean


def check_onnx_files(directory: Path) -> None:
    """Refuse a directory without a model, and an installation that cannot run one.

    Raises:
        BundleError: it names what is missing.
    """
    for name in (MODEL_FILE, TOKENIZER_FILE):
        if not (directory / name).is_file():
            raise BundleError(f"the directory {directory} holds no {name}")
    for module in ("onnxruntime", "tokenizers"):
        if find_spec(module) is None:
            raise BundleError(f"the package {module} is not here: install feed[onnx]")


def _limit_tokens(tokenizer: Any) -> None:
    """Cut texts at the limit, and pad those of a batch to the longest of them."""
    padding, truncation = tokenizer.padding or {}, tokenizer.truncation or {}
    pad = {name: padding[name] for name in ("pad_id", "pad_type_id", "pad_token") if padding}
    tokenizer.enable_padding(**pad)
    tokenizer.enable_truncation(min(truncation.get("max_length", TOKENS_MAX), TOKENS_MAX))


def _takes_first(directory: Path) -> bool:
    path = directory / POOLING_FILE
    if not path.is_file():
        return False
    try:
        modes = orjson.loads(path.read_bytes())
        chosen = [name for name, on in modes.items() if "mode" in name and on is True]
    except (ValueError, AttributeError):
        raise BundleError(f"{path}: must be a JSON object") from None
    if len(chosen) != 1 or chosen[0] not in _POOLINGS:
        raise BundleError(f"{path}: must choose one of {', '.join(_POOLINGS)}")
    return _POOLINGS[chosen[0]]


def _fingerprint(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in (MODEL_FILE, f"{MODEL_FILE}_data", TOKENIZER_FILE, POOLING_FILE):
        path = directory / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
