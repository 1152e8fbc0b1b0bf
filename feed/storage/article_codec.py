"""Articles and pins as the bytes the store keeps."""

from __future__ import annotations

import struct
import zlib
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import orjson

from feed.domain import AiGenerated, Article, Pin
from feed.storage.records import Contribution, StoredArticle

_LENGTH = struct.Struct("<I")
_NAMES = tuple(f.name for f in fields(Article) if f.name != "embedding")
_META_NAMES = tuple(name for name in _NAMES if name != "body")


def encode_whole(stored: StoredArticle) -> bytes:
    """Return an article with its body, and what is known of where it came from.

    Its vector is only in `encode_meta`. What changes the vector changes these bytes as well: the
    encoder and the text's hash are here, and a check sum of a vector that the publisher supplied.
    """
    more = {
        "owned": sorted(stored.owned),
        "held": sorted(stored.held),
        "origins": [[one.origin, one.sections, one.tags, one.digest] for one in stored.origins],
        "fillers": dict(sorted(stored.fillers.items())),
        "vector": zlib.crc32(_vector(stored)) if stored.article.embedding is not None else 0,
    }
    return _encode(stored, _NAMES, {name: value for name, value in more.items() if value})


def encode_meta(stored: StoredArticle) -> bytes:
    """Return an article without its body, with its vector."""
    return _encode(stored, _META_NAMES, {}) + _vector(stored)


def decode_article(data: bytes, meta: bytes = b"") -> StoredArticle:
    """Return the article that `encode_whole` or `encode_meta` wrote.

    Vectors are stored as float16, which halves the memory and the time of a scan. Each component of
    a unit vector changes by less than 0.0005, far less than what is significant to the encoders.

    Args:
        data: what is stored of the article.
        meta: the bytes that have its vector, unless `data` has it. Earlier versions wrote it to
            both. Without any, the vector is of length 0.
    """
    start = _text_end(data)
    values = orjson.loads(data[_LENGTH.size : start])
    values.pop("vector", None)
    holder, start = (meta, _text_end(meta)) if meta else (data, start)
    embedding = np.frombuffer(holder, np.float16, offset=start).astype(np.float32)
    if values.pop("supplied") and embedding.size:
        values["embedding"] = tuple(embedding.tolist())
    values["tags"] = tuple(values["tags"])
    values["other_sections"] = tuple(values.get("other_sections", ()))
    values["ai_generated"] = AiGenerated(values["ai_generated"])
    known = {
        "encoder": values.pop("encoder"),
        "text_hash": values.pop("hash"),
        "added_at": values.pop("added"),
        "fresh_at": values.pop("fresh", values["published_at"]),
        "owned": frozenset(values.pop("owned", ())),
        "held": frozenset(values.pop("held", ())),
        "origins": tuple(
            Contribution(origin, tuple(sections), tuple(tags), *more)
            for origin, sections, tags, *more in values.pop("origins", ())
        ),
        "fillers": values.pop("fillers", {}),
    }
    return StoredArticle(Article(**values), embedding, **known)


def encode_pins(pins: list[Pin]) -> bytes:
    """Return pins as JSON."""
    return orjson.dumps([asdict(pin) for pin in pins])


def decode_pins(data: bytes | None) -> list[Pin]:
    """Return the pins that `encode_pins` wrote."""
    return [_pin(values) for values in orjson.loads(data)] if data else []


def _pin(values: dict[str, Any]) -> Pin:
    for name in ("platforms", "languages"):
        values[name] = tuple(values.get(name, ()))
    attributes = values.pop("attributes", {})
    return Pin(**values, attributes={name: tuple(some) for name, some in attributes.items()})


def _encode(stored: StoredArticle, names: tuple[str, ...], more: dict[str, Any]) -> bytes:
    article = stored.article
    values: dict[str, Any] = {name: getattr(article, name) for name in names}
    values["encoder"] = stored.encoder
    values["hash"] = stored.text_hash
    values["added"] = stored.added_at
    values["fresh"] = stored.fresh_at
    values["supplied"] = article.embedding is not None
    text = orjson.dumps(values | more)
    return _LENGTH.pack(len(text)) + text


def _vector(stored: StoredArticle) -> bytes:
    return np.asarray(stored.embedding, np.float16).tobytes()


def _text_end(data: bytes) -> int:
    (length,) = _LENGTH.unpack_from(data)
    return int(_LENGTH.size + length)
