"""How counters travel from the workers to the web processes: checkpoints and deltas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

TRENDING_BLOB = "trending"
BOUND_BLOB = "bound"
TREND_TESTS_BLOB = "trend_tests"
"""What the trending judgement found for each article that is read; only the desk reads it."""
DELTAS_KEPT = 600
START = "0-0"
KNOWN = 7
"""Values of a click that must be weighed which earlier versions know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A checkpoint (all the signals) or a delta (the signals that have changed).

    `generation` names the worker run that made it, and how often that has adopted checkpoints.
    `previous` is the id of its delta before this one; in a checkpoint, that of its last delta in
    it. `positions` maps each partition to the last stream id that is counted. `at` is the time at
    which it was made (epoch seconds). `body` is what `LiveSignals.dump` or `.delta` returned; it
    is empty in a delta that only announces a run or a new position. `bound` is what
    `NetworkBound.dump` returned, which earlier versions kept in checkpoints. A delta that another
    worker judges has `since`, the positions before it, and `clicks`, those that must be weighed
    (see `signals.weighed_clicks`). An earlier version reads of these only what it knows: the clicks
    with a network, without what the reader had read before. The first delta of a generation that
    has taken over one dead run, and all that it had counted, `continues` from that run's
    generation, as it was after the delta of this id.
    """

    generation: str
    previous: str
    positions: Mapping[int, str]
    at: float
    body: bytes
    bound: bytes = b""
    since: Mapping[int, str] = field(default_factory=dict)
    clicks: Sequence[Sequence[Any]] = ()
    continues: tuple[str, str] | None = None

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
        if self.since:
            head |= {
                "since": {str(p): i for p, i in self.since.items()},
                "clicks": [click[:KNOWN] for click in self.clicks if click[3] is not None],
                "before": [_ids(click) for click in self.clicks if click[3] is not None],
                "trusted": [
                    [*click[:KNOWN], _ids(click)] for click in self.clicks if click[3] is None
                ],
            }
        if self.continues is not None:
            head["continues"] = self.continues
        return b"".join((orjson.dumps(head), b"\n", self.body, self.bound))

    @classmethod
    def from_bytes(cls, data: bytes) -> Publication:
        """Return what `to_bytes` wrote."""
        line, rest = data.split(b"\n", 1)
        head: dict[str, Any] = orjson.loads(line)
        size = head.get("body_bytes", len(rest))
        clicks = head.get("clicks", [])
        before = head.get("before", [()] * len(clicks))
        return cls(
            generation=head["generation"],
            previous=head["previous"],
            positions={int(p): position for p, position in head["positions"].items()},
            at=head["at"],
            body=rest[:size],
            bound=rest[size:],
            since={int(p): position for p, position in head.get("since", {}).items()},
            clicks=[
                [*click[:KNOWN], [(article_id,) for article_id in some]]
                for click, some in (
                    *zip(clicks, before, strict=True),
                    *((click, click[-1]) for click in head.get("trusted", ())),
                )
            ],
            continues=tuple(head["continues"]) if "continues" in head else None,
        )


def _ids(click: Sequence[Any]) -> list[str]:
    """Return the ids of the articles that the reader of a click had clicked before."""
    return [before[0] for before in click[-1]]
