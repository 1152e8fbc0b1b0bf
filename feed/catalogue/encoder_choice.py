"""Opens the encoder that the settings name."""

from __future__ import annotations

from pathlib import Path

import structlog

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.features.embeddings import Encoder, SentenceEncoder, TfidfSvdEncoder

ENCODERS = ("sentence", "tfidf", "none")
log = structlog.get_logger("feed.catalogue")


def tfidf_path(settings: Settings) -> Path:
    """Return where the fitted tfidf encoder is kept."""
    return settings.data_dir / "encoder" / "tfidf.npz"


def check_encoder(settings: Settings) -> None:
    """Refuse a setting that does not name an encoder.

    Raises:
        InvalidInputError: it is none of sentence, tfidf and none.
    """
    if settings.encoder not in ENCODERS:
        raise InvalidInputError("FEED_ENCODER", "must be one of " + ", ".join(ENCODERS))


def open_encoder(settings: Settings) -> Encoder | None:
    """Return the configured encoder, loaded; None when articles are not encoded (yet).

    Raises:
        BundleError: the fitted encoder is damaged.
    """
    if settings.encoder == "sentence":
        return SentenceEncoder()
    if settings.encoder == "tfidf":
        path = tfidf_path(settings)
        if path.exists():
            return TfidfSvdEncoder.load(path)
        log.warning("encoder_not_fitted", remedy="feed encode --fit")
    return None
