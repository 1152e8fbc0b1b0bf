"""How far `feed encode` is, in the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson

from feed.storage.key_names import ENCODING_TTL_S
from feed.storage.part import StorePart


@dataclass(frozen=True, slots=True)
class EncodingProgress:
    """How far the last run of `feed encode` is, or was when it last said so.

    Attributes:
        encoder: Name of the vectors that it makes.
        began_at: Epoch seconds.
        at: When it said this, epoch seconds.
        done: Articles that have a vector of this encoder, or one of their publisher.
        total: Articles that there were at the beginning.
        is_over: Whether it came to its end.
    """

    encoder: str
    began_at: float
    at: float
    done: int
    total: int
    is_over: bool = False


class EncodingPart(StorePart):
    """The progress of encoding anew, which whoever looks after the installation can see."""

    def write_encoding(self, progress: EncodingProgress) -> None:
        """Replace what is known; it is kept for a week."""
        key = self._keys.catalogue("encoding")
        self._link.call(key, "SET", key, orjson.dumps(asdict(progress)), "EX", ENCODING_TTL_S)

    def read_encoding(self) -> EncodingProgress | None:
        """Return how far the last run is; None if there was none within a week."""
        key = self._keys.catalogue("encoding")
        data = self._link.call(key, "GET", key)
        return None if data is None else EncodingProgress(**orjson.loads(data))
