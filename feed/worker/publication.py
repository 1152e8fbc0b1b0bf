"""How counters travel from the worker to the web processes: checkpoints and deltas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from feed.features.ids import IdMap
from feed.features.state import LiveSignals
from feed.storage.key_names import CHECKPOINT_BLOB
from feed.storage.stream_part import StreamPart

SIGNALS_BLOB = CHECKPOINT_BLOB
TRENDING_BLOB = "trending"
TREND_TESTS_BLOB = "trend_tests"
"""What the trending judgement found for each article that is read; only the desk reads it."""
DELTAS_KEPT = 600
START = "0-0"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A checkpoint (all the signals) or a delta (the signals that have changed).

    `generation` names the worker run that made it. `previous` is the id of the delta before this
    one (in a checkpoint: of the last delta that it includes). `positions` maps each partition to
    the last stream id that is counted. `at` is the time at which it was made (epoch seconds).
    `body` is what `LiveSignals.dump` or `.delta` returned; it is empty in a delta that only
    announces a run or a new position. `bound` is what `NetworkBound.dump` returned; it is only in
    checkpoints, because only the worker needs it.
    """

    generation: str
    previous: str
    positions: Mapping[int, str]
    at: float
    body: bytes
    bound: bytes = b""

    def to_bytes(self) -> bytes:
        """Return a line of JSON, the body and the bound."""
        head = {
            "format": 1,
            "generation": self.generation,
            "previous": self.previous,
            "positions": {str(p): position for p, position in self.positions.items()},
            "at": self.at,
            "body_bytes": len(self.body),
        }
        return b"".join((orjson.dumps(head), b"\n", self.body, self.bound))

    @classmethod
    def from_bytes(cls, data: bytes) -> Publication:
        """Return what `to_bytes` wrote."""
        line, rest = data.split(b"\n", 1)
        head: dict[str, Any] = orjson.loads(line)
        size = head.get("body_bytes", len(rest))
        return cls(
            generation=head["generation"],
            previous=head["previous"],
            positions={int(p): position for p, position in head["positions"].items()},
            at=head["at"],
            body=rest[:size],
            bound=rest[size:],
        )


class SignalsFollower:
    """A web process's copy of the worker's signals, which deltas keep up to date.

    The checkpoint is loaded at the first call, when another worker has taken over, and when this
    copy has fallen behind the deltas that are kept. `signals` never changes once it is returned.
    `delta_id` is the id of the last delta in it, and `at` is the time at which the worker made
    that delta (epoch seconds).
    """

    def __init__(self, store: StreamPart, ids: IdMap) -> None:
        self._store = store
        self._ids = ids
        self._generation = ""
        self._loaded = ("", "")
        self._is_behind = False
        self._has_news = False
        self._live = LiveSignals(ids)
        self.signals = self._live.snapshot()
        self.delta_id = ""
        self.at = 0.0

    def follow(self) -> bool:
        """Read what the worker has since published; return whether `signals` was replaced.

        Raises:
            StoreUnavailableError: the store does not answer. What was read before is kept and is
                in the signals after the next call that succeeds.
        """
        if not self._generation:
            self._load()
        self._apply_deltas()
        if self._is_behind and self._load():
            self._apply_deltas()
        if not self._has_news:
            return False
        self.signals = self._live.snapshot()
        self._has_news = False
        return True

    def _apply_deltas(self) -> None:
        """Apply the deltas that follow ours, up to a missing one."""
        self._is_behind = False
        for delta_id, data in self._store.read_deltas(self.delta_id or START):
            delta = Publication.from_bytes(data)
            if (delta.generation, delta.previous) != (self._generation, self.delta_id):
                self._is_behind = True
                break
            if delta.body:
                self._has_news = True
                self._live.apply(delta.body)
            self.delta_id, self.at = delta_id, delta.at

    def _load(self) -> bool:
        """Load the stored checkpoint; return False if it is the one loaded before."""
        data = self._store.read_blob(SIGNALS_BLOB)
        if data is None:
            return False
        checkpoint = Publication.from_bytes(data)
        if (checkpoint.generation, checkpoint.previous) == self._loaded:
            return False
        self._live = LiveSignals.load(checkpoint.body, self._ids)
        self._has_news = True
        self._loaded = (checkpoint.generation, checkpoint.previous)
        self._generation, self.delta_id = self._loaded
        self.at = checkpoint.at
        log.info("signals_loaded", generation=self._generation, position=self.delta_id)
        return True
