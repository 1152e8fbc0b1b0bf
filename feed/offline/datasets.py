"""The data sets that can be replayed, and their articles' vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from feed.arrays import Matrix
from feed.features.embeddings import Encoder, article_text
from feed.offline.archive_log import read_archive
from feed.offline.ebnerd import read_ebnerd
from feed.offline.event_log import EventLog
from feed.offline.mind import read_mind
from feed.storage.archive import Archive

NAMES = ("ebnerd", "mind", "archive")
"""Layouts that can be read."""

_BATCH = 256


def read_dataset(name: str, directory: Path) -> tuple[EventLog, Matrix | None]:
    """Return a log and, where the data set carries them, its articles' vectors.

    Args:
        name: one of `NAMES`.
        directory: the data set's directory; for `archive`, an installation's data directory, or
            the archive in it.

    Raises:
        NotFoundError: the directory does not hold such a data set.
        ArchiveError: what it holds cannot be read.
    """
    if name == "archive":
        inside = directory / "archive"
        return read_archive(Archive(inside if inside.is_dir() else directory))
    return (read_ebnerd(directory) if name == "ebnerd" else read_mind(directory)), None


def encode_catalogue(
    log: EventLog, encoder: Encoder, progress: Callable[[float], None] | None = None
) -> Matrix | None:
    """Return the vectors of a log's articles, f32 [articles, d]; None if none has a text.

    Rows of articles without text are zero.
    """
    texts = [(log.articles.row(a.article_id), article_text(a)) for a in log.catalogue]
    texts = [(row, text) for row, text in texts if row >= 0 and text]
    if not texts:
        return None
    vectors = np.zeros((len(log.articles), encoder.dimensions), np.float32)
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        vectors[[row for row, _ in batch]] = encoder.encode([text for _, text in batch])
        if progress is not None:
            progress(min(start + _BATCH, len(texts)) / len(texts))
    return vectors
