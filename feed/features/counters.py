"""Decayed and total clicks and impressions per article, for the service and for replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Integers, Rows
from feed.features.decay import DecayedTable
from feed.features.ids import IdMap, are_known

HALF_LIVES_S = (1800.0, 7200.0, 21600.0, 86400.0)
"""Half-lives of the decayed clicks and impressions, seconds."""

TOTALS = ("readers", "impressions", "likes", "dislikes", "dwell_log_sum", "dwell_readers")
"""Undecayed totals kept per article, in the order of their columns."""
_REACTIONS = slice(TOTALS.index("likes"), TOTALS.index("dislikes") + 1)

BLOCKS = ("clicks", "impressions", "feed_clicks", "page_impressions", "page_clicks")
"""Decayed signals, each with a column per half-life: first clicks of readers from anywhere;
impressions; clicks that answered an impression (what click-through is made of); and of the last
two the part that happened below another article instead of on a front page."""

NEVER = -1e12
"""The time of a last click or impression that has not been (epoch seconds)."""

_N = len(HALF_LIVES_S)
_BLOCK = {name: slice(i * _N, (i + 1) * _N) for i, name in enumerate(BLOCKS)}
_WIDTH = _N * len(BLOCKS)
_SITE: Rows = np.zeros(1, np.int64)


class Counters:
    """What all readers did with each article, decayed and in total.

    Clicks count distinct readers: the caller adds only a reader's first click on an article.
    The order in which events are added does not matter, except to rounding. `began_at` is when
    the earliest counted event occurred (epoch seconds, inf before any): nothing is known about
    rates before it.
    """

    __slots__ = ("_changed", "_ids", "_last", "_site", "_table", "_totals", "began_at")

    def __init__(self, ids: IdMap) -> None:
        self._ids = ids
        self._table = DecayedTable(HALF_LIVES_S * len(BLOCKS))
        self._site = DecayedTable(HALF_LIVES_S * len(BLOCKS))
        self._totals: Floats = np.zeros((64, len(TOTALS)))
        self._last: Floats = np.full((64, 2), NEVER)
        self._changed: set[int] = set()
        self.began_at = np.inf

    @property
    def ids(self) -> IdMap:
        """The article numbering that rows refer to."""
        return self._ids

    def add_clicks(
        self,
        rows: Rows,
        times: Floats,
        weights: npt.ArrayLike = 1.0,
        *,
        from_feed: bool = False,
        on_page: bool = False,
    ) -> None:
        """Count first clicks of readers: rows int64 [k], times f64 [k] epoch seconds.

        `from_feed`: they answered an impression; `on_page`: one shown below another article.
        """
        blocks = ["clicks"]
        if from_feed:
            blocks += ["feed_clicks", "page_clicks"] if on_page else ["feed_clicks"]
        self._add(rows, times, weights, blocks, "readers")

    def add_impressions(
        self, rows: Rows, times: Floats, weights: npt.ArrayLike = 1.0, *, on_page: bool = False
    ) -> None:
        """Count articles that came into a reader's view: rows int64 [k], times f64 [k]."""
        blocks = ["impressions", "page_impressions"] if on_page else ["impressions"]
        self._add(rows, times, weights, blocks, "impressions")

    def add_reactions(self, rows: Rows, likes: npt.ArrayLike, dislikes: npt.ArrayLike) -> None:
        """Change the totals of likes and dislikes by -1, 0 or 1 each."""
        self._add_totals(rows, "likes", likes)
        self._add_totals(rows, "dislikes", dislikes)

    def add_dwell(self, rows: Rows, dwell_s: Floats) -> None:
        """Count how long readers stayed, seconds; kept as the sum of log(1 + dwell)."""
        self._add_totals(rows, "dwell_log_sum", np.log1p(np.maximum(dwell_s, 0.0)))
        self._add_totals(rows, "dwell_readers", np.ones(len(rows)))

    def clicks(self, rows: Rows, now: float) -> Floats:
        """Return decayed first clicks at `now`, f64 [k, 4], a column per half-life."""
        return self._table.read(rows, now, _BLOCK["clicks"])

    def impressions(self, rows: Rows, now: float) -> Floats:
        """Return decayed impressions at `now`, f64 [k, 4], a column per half-life."""
        return self._table.read(rows, now, _BLOCK["impressions"])

    def blocks(self, rows: Rows, now: float) -> dict[str, Floats]:
        """Return every one of `BLOCKS` at `now` in one read, f64 [4, k], a row per half-life."""
        values = np.ascontiguousarray(self._table.read(rows, now).T)
        return {name: values[part] for name, part in _BLOCK.items()}

    def site_blocks(self, now: float) -> dict[str, Floats]:
        """Return every one of `BLOCKS` summed over the whole site at `now`, f64 [4] each."""
        values = self._site.read_first(now)
        return {name: values[columns] for name, columns in _BLOCK.items()}

    def site_clicks(self, now: float) -> Floats:
        """Return decayed first clicks of the whole site at `now`, f64 [4]."""
        return self.site_blocks(now)["clicks"]

    def totals(self, name: str, rows: Rows) -> Floats:
        """Return one of `TOTALS` for rows, f64 [k]; unknown rows are zero."""
        return self.all_totals(rows)[:, TOTALS.index(name)]

    def all_totals(self, rows: Rows) -> Floats:
        """Return every total for rows, f64 [k, len(TOTALS)]; unknown rows are zero."""
        if are_known(rows, len(self._totals)):
            return self._totals[rows]
        known = (rows >= 0) & (rows < len(self._totals))
        return np.where(known[:, None], self._totals[np.where(known, rows, 0)], 0.0)

    def reactions(self, rows: Rows) -> Integers:
        """Return likes and dislikes of rows, int64 [k, 2], none negative; unknown rows have 0."""
        found = self.all_totals(rows)[:, _REACTIONS]
        return np.maximum(found, 0.0).astype(np.int64)

    def readers(self, rows: Rows) -> Floats:
        """Return distinct readers since the beginning, f64 [k]."""
        return self.totals("readers", rows)

    def last_times(self, rows: Rows) -> Floats:
        """Return when rows were last clicked and last shown, f64 [2, k]; `NEVER` if not."""
        if are_known(rows, len(self._last)):
            return np.ascontiguousarray(self._last[rows].T)
        known = (rows >= 0) & (rows < len(self._last))
        return np.where(known, self._last[np.where(known, rows, 0)].T, NEVER)

    def snapshot(self) -> Counters:
        """Return a copy that later events do not touch."""
        twin = Counters(self._ids)
        twin._table, twin._site = self._table.copy(), self._site.copy()
        twin._totals, twin._last = self._totals.copy(), self._last.copy()
        twin.began_at = self.began_at
        return twin

    @property
    def has_changes(self) -> bool:
        """Whether something has changed that no `delta` has held yet."""
        return bool(self._changed)

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and one list of ids."""
        return self.pack(np.arange(max(self._table.size, self._used_totals()), dtype=np.int64))

    def delta(self) -> dict[str, Any]:
        """Return the rows that changed since the last call, in the form of `dump`."""
        rows = np.fromiter(sorted(self._changed), np.int64, len(self._changed))
        self._changed.clear()
        return self.pack(rows)

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the rows of a dump or delta of another process by its values."""
        rows = self._ids.add_all(packed["ids"])
        self._make_room(rows)
        if not np.isnan(packed["landmark"]):
            self._table.write(rows, packed["values"], float(packed["landmark"]))
        self._totals[rows] = packed["totals"]
        self._last[rows] = packed["last"]
        self.began_at = min(self.began_at, float(packed["began_at"]))
        if not np.isnan(packed["site_landmark"]):
            self._site.write(_SITE, packed["site_values"], float(packed["site_landmark"]))

    @classmethod
    def load(cls, ids: IdMap, packed: Mapping[str, Any]) -> Counters:
        """Return counters holding a dump, its ids added to `ids`."""
        counters = cls(ids)
        counters.apply(packed)
        return counters

    def _add(
        self,
        rows: Rows,
        times: Floats,
        weights: npt.ArrayLike,
        blocks: Sequence[str],
        total: str,
    ) -> None:
        if not len(rows):
            return
        self.began_at = min(self.began_at, float(times.min()))
        weight = np.broadcast_to(np.asarray(weights, np.float64), rows.shape)
        columns = [_BLOCK[name] for name in blocks]
        self._table.add_to_blocks(rows, times, weight, columns)
        self._site.add_to_blocks(np.zeros(len(rows), np.int64), times, weight, columns)
        self._add_totals(rows, total, weight)
        np.maximum.at(self._last[:, int(total == "impressions")], rows, times)

    def _add_totals(self, rows: Rows, name: str, amounts: npt.ArrayLike) -> None:
        self._make_room(rows)
        np.add.at(self._totals[:, TOTALS.index(name)], rows, np.asarray(amounts, np.float64))
        self._changed.update(rows.tolist())

    def _make_room(self, rows: Rows) -> None:
        size = int(rows.max(initial=-1)) + 1
        if size > len(self._totals):
            grown = np.zeros((max(size, 2 * len(self._totals)), len(TOTALS)))
            grown[: len(self._totals)] = self._totals
            self._totals = grown
            last = np.full((len(grown), 2), NEVER)
            last[: len(self._last)] = self._last
            self._last = last

    def _used_totals(self) -> int:
        used = np.flatnonzero(self._totals.any(axis=1))
        return int(used[-1]) + 1 if len(used) else 0

    def pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some rows, in the form of `dump`."""
        known = rows < self._table.size
        values = np.zeros((len(rows), _WIDTH))
        values[known] = self._table.stored(rows[known])
        ids: Sequence[str] = self._ids.ids
        self._make_room(rows)
        return {
            "ids": [ids[r] for r in rows.tolist()],
            "landmark": _number(self._table.landmark),
            "values": values,
            "totals": self._totals[rows],
            "last": self._last[rows],
            "began_at": self.began_at,
            "site_landmark": _number(self._site.landmark),
            "site_values": self._site.all_stored(),
        }


def _number(landmark: float | None) -> float:
    return np.nan if landmark is None else landmark
