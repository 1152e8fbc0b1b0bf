"""Opens the encoder that the settings name."""

from __future__ import annotations

from pathlib import Path

import structlog

from feed.catalogue.encoder_processes import EncoderProcesses
from feed.config import Settings
from feed.domain import BundleError, InvalidInputError
from feed.features.embeddings import Encoder, SentenceEncoder, TfidfSvdEncoder
from feed.features.onnx_encoder import OnnxEncoder, check_onnx_files

ENCODERS = ("sentence", "tfidf", "none")
ONNX = "onnx:"
"""How the setting begins that names the directory of a model in ONNX files."""
log = structlog.get_logger("feed.catalogue")


def tfidf_path(settings: Settings) -> Path:
    """Return where the fitted tfidf encoder is kept."""
    return settings.data_dir / "encoder" / "tfidf.npz"


def check_encoder(settings: Settings) -> None:
    """Refuse a setting that does not name an encoder which can be opened here.

    Raises:
        InvalidInputError: as `check_encoder_name`.
    """
    check_encoder_name("FEED_ENCODER", settings.encoder)


def check_encoder_name(label: str, name: str) -> None:
    """Refuse what is none of sentence, tfidf, none and onnx:DIRECTORY.

    Args:
        label: what the error calls the value.
        name: the value.

    Raises:
        InvalidInputError: it is none of them, the directory holds no model, or the extra
            `feed[onnx]` is not installed.
    """
    if name.startswith(ONNX):
        try:
            check_onnx_files(_directory(name))
        except BundleError as error:
            raise InvalidInputError(label, str(error)) from None
    elif name not in ENCODERS:
        raise InvalidInputError(label, f"must be one of {', '.join(ENCODERS)}, {ONNX}DIRECTORY")


def open_encoder(settings: Settings, processes: EncoderProcesses | None = None) -> Encoder | None:
    """Return the configured encoder, loaded; None when articles are not encoded (yet).

    Args:
        settings: name it.
        processes: for large loads; only the sentence encoder uses them.

    Raises:
        BundleError: the fitted encoder is damaged, or the model cannot be used.
    """
    if settings.encoder == "tfidf":
        path = tfidf_path(settings)
        if path.exists():
            return TfidfSvdEncoder.load(path)
        log.warning("encoder_not_fitted", remedy="feed encode --fit")
        return None
    if settings.encoder == "sentence" and processes is not None:
        return SentenceEncoder(beside=processes.lanes)
    return open_ready_encoder(settings.encoder)


def open_ready_encoder(name: str) -> Encoder | None:
    """Return an encoder that needs no fitting (sentence or onnx:DIRECTORY), None for none.

    Raises:
        BundleError: the model cannot be used.
    """
    if name.startswith(ONNX):
        return OnnxEncoder(_directory(name))
    return SentenceEncoder() if name == "sentence" else None


def _directory(name: str) -> Path:
    return Path(name.removeprefix(ONNX)).expanduser()
