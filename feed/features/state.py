"""LiveSignals: what all readers do and what is shown where, built from the event stream."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from feed.arrays import Floats, Rows
from feed.domain import PAGE_KEY, EventKind
from feed.features.counters import Counters
from feed.features.covisitation import Covisitation
from feed.features.ids import IdMap
from feed.features.page_lists import PageLists

_COUNTED_TOGETHER = frozenset({EventKind.IMPRESSION, EventKind.CLICK, EventKind.READ})
_Groups = dict[tuple[bool, bool], tuple[list[int], list[float]]]

COUNTERS = "counters"
ROOMS = (COUNTERS, "covisitation", "page_lists")
_LISTS = ("ids", "other_ids")


class LiveSignals:
    """Counters, co-visitation and page lists, with methods for worker, web process and replay.

    The worker calls `apply_event` for every stream record, `delta` each tick, and `dump` for its
    checkpoints. A web process calls `load` and `apply`. Replay calls the `record_...` methods.
    """

    __slots__ = ("counters", "covisitation", "ids", "page_lists")

    def __init__(self, ids: IdMap | None = None) -> None:
        self.ids = IdMap() if ids is None else ids
        self.counters = Counters(self.ids)
        self.covisitation = Covisitation(self.ids)
        self.page_lists = PageLists(self.ids)

    def apply_event(self, payload: Mapping[str, Any]) -> None:
        """Take one event as the stream carries it; custom events count nowhere.

        See `storage.records.StreamRecord`.
        """
        kind = payload["kind"]
        if kind == EventKind.CUSTOM:
            return
        row = self.ids.add(payload["article_id"])
        at = float(payload["occurred_at"])
        if kind == EventKind.IMPRESSION:
            self.record_impressions(np.array([row]), at, self._page(payload))
        elif kind == EventKind.CLICK and payload.get("first"):
            rows, times = self._previous(payload)
            from_feed, on_page = payload.get("request_id") is not None, self._page(payload) >= 0
            self.record_click(row, at, rows, times, from_feed=from_feed, on_page=on_page)
        elif kind == EventKind.READ and payload.get("dwell_s") is not None:
            self.record_dwell(row, float(payload["dwell_s"]))
        likes, dislikes = payload.get("likes") or 0, payload.get("dislikes") or 0
        if likes or dislikes:
            self.counters.add_reactions(np.array([row]), likes, dislikes)

    def apply_events(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Take many events, as `apply_event` would one by one, but counting in one pass."""
        shown: _Groups = defaultdict(lambda: ([], []))
        clicked: _Groups = defaultdict(lambda: ([], []))
        dwell: tuple[list[int], list[float]] = ([], [])
        for payload in payloads:
            kind = payload["kind"]
            if kind == EventKind.IMPRESSION:
                row, at = self.ids.add(payload["article_id"]), float(payload["occurred_at"])
                page = self._page(payload)
                _append(shown[False, page >= 0], row, at)
                if page >= 0:
                    self.page_lists.add_impressions(page, np.array([row]), at)
            elif kind == EventKind.CLICK and payload.get("first"):
                row, at = self.ids.add(payload["article_id"]), float(payload["occurred_at"])
                answers = payload.get("request_id") is not None
                _append(clicked[answers, self._page(payload) >= 0], row, at)
                self.covisitation.add_click(row, at, *self._previous(payload))
            elif kind == EventKind.READ and payload.get("dwell_s") is not None:
                _append(dwell, self.ids.add(payload["article_id"]), float(payload["dwell_s"]))
            elif kind not in _COUNTED_TOGETHER:
                self.apply_event(payload)
        for (_, on_page), (rows, times) in shown.items():
            self.counters.add_impressions(np.array(rows), np.array(times), on_page=on_page)
        for (answers, on_page), (rows, times) in clicked.items():
            self.counters.add_clicks(
                np.array(rows), np.array(times), from_feed=answers, on_page=on_page
            )
        if dwell[0]:
            self.counters.add_dwell(np.array(dwell[0]), np.array(dwell[1]))

    def apply_merge(self, payload: Mapping[str, Any]) -> None:
        """Take back what counted twice while one reader was known under two ids.

        The decayed sums are linear, so a click of weight -1 at its time is as if it had never
        been one. Pairs of clicks stay: each id's reads were a sequence of their own.
        """
        for article_id, at, from_feed, on_page in payload["clicks"]:
            row = self.ids.add_all([article_id])
            self.record_repeats(row, np.array([float(at)]), from_feed=from_feed, on_page=on_page)
        for article_id, _, likes, dislikes in payload["reactions"]:
            self.counters.add_reactions(self.ids.add_all([article_id]), likes, dislikes)

    def record_repeats(
        self, rows: Rows, times: Floats, *, from_feed: bool = False, on_page: bool = False
    ) -> None:
        """Take back clicks at their times: the reader had clicked the article under another id."""
        self.counters.add_clicks(rows, times, -1.0, from_feed=from_feed, on_page=on_page)

    def record_impressions(self, rows: Rows, at: float, page: int = -1) -> None:
        """Count articles that came into one reader's view at a time (epoch seconds).

        `page` is the article below which they stood, -1 on a front page.
        """
        self.counters.add_impressions(rows, np.full(len(rows), at), on_page=page >= 0)
        if page >= 0:
            self.page_lists.add_impressions(page, rows, at)

    def record_click(
        self,
        row: int,
        at: float,
        previous: Rows,
        previous_times: Floats,
        *,
        from_feed: bool = False,
        on_page: bool = False,
    ) -> None:
        """Count a reader's first click on an article, after that reader's earlier clicks."""
        rows, times = np.array([row]), np.array([at])
        self.counters.add_clicks(rows, times, from_feed=from_feed, on_page=on_page)
        self.covisitation.add_click(row, at, previous, previous_times)

    def record_dwell(self, row: int, dwell_s: float) -> None:
        """Count how long one reader stayed with an article, seconds."""
        self.counters.add_dwell(np.array([row]), np.array([dwell_s]))

    def snapshot(self) -> LiveSignals:
        """Return a copy that later events do not touch."""
        twin = LiveSignals(self.ids)
        twin.counters = self.counters.snapshot()
        twin.covisitation = self.covisitation.snapshot()
        twin.page_lists = self.page_lists.snapshot()
        return twin

    def dump(self) -> bytes:
        """Return everything held, for a checkpoint."""
        return _to_bytes(self.pack())

    def pack(self) -> dict[str, dict[str, Any]]:
        """Return everything held, as arrays and lists of ids by room."""
        return {name: getattr(self, name).dump() for name in ROOMS}

    def pack_articles(self, ids: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """Return what is held on some articles of each room, in the form of `pack`."""
        return {n: getattr(self, n).pack(self.ids.add_all(ids.get(n, ()))) for n in ROOMS}

    def apply_packed(self, packed: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace articles by what `pack` or `pack_articles` returned."""
        for name in packed:
            getattr(self, name).apply(packed[name])

    def delta(self) -> bytes:
        """Return what changed since the last call, for processes that hold the rest."""
        return _to_bytes({name: getattr(self, name).delta() for name in ROOMS})

    def apply(self, data: bytes, rooms: Sequence[str] = ROOMS) -> dict[str, list[str]]:
        """Replace by the values of a dump or delta. Applying it twice changes nothing.

        Args:
            data: the dump or delta.
            rooms: what of it to apply.

        Returns:
            The ids of the articles that it holds, by room.
        """
        packed = _from_bytes(data, rooms)
        self.apply_packed(packed)
        return {name: packed[name]["ids"] for name in rooms}

    def _previous(self, payload: Mapping[str, Any]) -> tuple[Rows, Floats]:
        previous = payload.get("previous") or ()
        rows = self.ids.add_all([p[0] for p in previous])
        return rows, np.array([p[1] for p in previous], np.float64)

    def _page(self, payload: Mapping[str, Any]) -> int:
        page = (payload.get("context") or {}).get(PAGE_KEY)
        return self.ids.add(str(page)) if page else -1

    @classmethod
    def load(
        cls, data: bytes, ids: IdMap | None = None, since: float = float("-inf")
    ) -> LiveSignals:
        """Return signals holding a dump; its article ids are added to `ids`.

        Articles neither shown nor clicked since a time (epoch seconds) are left out: so what is
        held does not grow for ever.
        """
        signals = cls(ids)
        if since == float("-inf"):
            signals.apply(data)
            return signals
        packed = _from_bytes(data)
        counters = packed["counters"]
        active = counters["last"].max(axis=1, initial=-np.inf) >= since
        kept = {i for i, keep in zip(counters["ids"], active.tolist(), strict=True) if keep}
        for name in ROOMS:
            getattr(signals, name).apply(_only(packed[name], kept))
        return signals


def _append(group: tuple[list[int], list[float]], row: int, value: float) -> None:
    group[0].append(row)
    group[1].append(value)


def _only(room: Mapping[str, Any], kept: Set[str]) -> dict[str, Any]:
    """Return what a room's dump holds on some articles, pairs only where both are among them."""
    wanted = np.array([i in kept for i in room["ids"]], np.bool_)
    result = dict(room)
    result["ids"] = [i for i in room["ids"] if i in kept]
    for name in ("values", "totals", "last", "bases"):
        if name in room:
            result[name] = room[name][wanted]
    if "other_ids" in room:
        owner = np.repeat(np.arange(len(wanted)), room["counts"])
        both = wanted[owner] & np.array([i in kept for i in room["other_ids"]], np.bool_)
        result["other_ids"] = [i for i, b in zip(room["other_ids"], both, strict=True) if b]
        result["weights"] = room["weights"][both]
        result["counts"] = np.bincount(owner[both], minlength=len(wanted))[wanted]
    return result


def _to_bytes(rooms: Mapping[str, Mapping[str, Any]]) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for room, packed in rooms.items():
        for name, value in packed.items():
            is_list = name in _LISTS
            arrays[f"{room}.{name}"] = _text_array(value) if is_list else np.asarray(value)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _from_bytes(data: bytes, rooms: Sequence[str] = ROOMS) -> dict[str, dict[str, Any]]:
    packed: dict[str, dict[str, Any]] = {name: {} for name in rooms}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            room, _, name = key.partition(".")
            if room not in packed:
                continue
            value = arrays[key]
            packed[room][name] = orjson.loads(value.tobytes()) if name in _LISTS else value
    return packed


def _text_array(values: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(orjson.dumps(values), np.uint8)
