"""LiveSignals: what all readers do and what is shown where, built from the event stream."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from itertools import chain, product
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

COUNTERS = "counters"
ROOMS = (COUNTERS, "covisitation", "page_lists")
_LISTS = ("ids", "names", "other_ids")


class LiveSignals:
    """Counters, co-visitation and page lists, with methods for worker, web process and replay.

    The worker calls `apply_events` for the records of a stream, `delta` each tick, and `dump` for
    its checkpoints. A web process calls `apply`. A replay counts in the rooms themselves.
    """

    __slots__ = ("counters", "covisitation", "ids", "page_lists")

    def __init__(self, ids: IdMap | None = None) -> None:
        self.ids = IdMap() if ids is None else ids
        self.counters = Counters(self.ids)
        self.covisitation = Covisitation(self.ids)
        self.page_lists = PageLists(self.ids)

    def apply_event(self, payload: Mapping[str, Any]) -> None:
        """Take one event as the stream carries it. See `storage.records.StreamRecord`."""
        self.apply_events([payload])

    def apply_events(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Take events as the stream carries them, counting in one pass; custom ones count nowhere.

        Their order does not matter, but that the neighbours of an article are bounded.
        """
        of_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for payload in payloads:
            of_kind[payload["kind"]].append(payload)
        of_kind.pop(EventKind.CUSTOM, None)
        self._apply_impressions(of_kind[EventKind.IMPRESSION])
        self._apply_clicks([p for p in of_kind[EventKind.CLICK] if p.get("first")])
        reads = [p for p in of_kind[EventKind.READ] if p.get("dwell_s") is not None]
        if reads:
            self.counters.add_dwell(self._rows(reads), np.array([p["dwell_s"] for p in reads]))
        reactions = [
            p for some in of_kind.values() for p in some if p.get("likes") or p.get("dislikes")
        ]
        if reactions:
            self.counters.add_reactions(
                self._rows(reactions),
                [p.get("likes") or 0 for p in reactions],
                [p.get("dislikes") or 0 for p in reactions],
            )

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

    def apply_erasure(self, payload: Mapping[str, Any]) -> None:
        """Take the reactions of an erased reader off the totals; earlier versions name none."""
        for article_id, likes, dislikes in payload.get("reactions", ()):
            self.counters.add_reactions(self.ids.add_all([article_id]), likes, dislikes)

    def record_repeats(
        self, rows: Rows, times: Floats, *, from_feed: bool = False, on_page: bool = False
    ) -> None:
        """Take back clicks at their times: the reader had clicked the article under another id."""
        self.counters.add_clicks(rows, times, -1.0, from_feed=from_feed, on_page=on_page)

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

    @property
    def has_changes(self) -> bool:
        """Whether something has changed that no `delta` has held yet."""
        return any(getattr(self, name).has_changes for name in ROOMS)

    def delta(self) -> bytes:
        """Return what changed since the last call, for processes that hold the rest.

        It has a bounded size: of many changed neighbourhoods some wait for the next call.
        """
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

    def _apply_impressions(self, shown: Sequence[Mapping[str, Any]]) -> None:
        rows, times, pages = self._rows(shown), _times(shown), self._pages(shown)
        below = pages >= 0
        for flag in (False, True):
            part = below == flag
            self.counters.add_impressions(rows[part], times[part], on_page=flag)
        self.page_lists.add_impressions(pages[below], rows[below], times[below])

    def _apply_clicks(self, clicks: Sequence[Mapping[str, Any]]) -> None:
        rows, times, below = self._rows(clicks), _times(clicks), self._pages(clicks) >= 0
        answers = np.array([p.get("request_id") is not None for p in clicks], np.bool_)
        for from_feed, on_page in product((False, True), repeat=2):
            part = (answers == from_feed) & (below == on_page)
            self.counters.add_clicks(rows[part], times[part], from_feed=from_feed, on_page=on_page)
        previous = [p.get("previous") or () for p in clicks]
        counts = np.array([len(some) for some in previous], np.int64)
        flat = list(chain.from_iterable(previous))
        before = np.fromiter([at for _, at in flat], np.float64, len(flat))
        befores = self.ids.add_all([article_id for article_id, _ in flat])
        self.covisitation.add_clicks(rows, times, befores, before, counts)

    def _rows(self, payloads: Sequence[Mapping[str, Any]]) -> Rows:
        return self.ids.add_all([p["article_id"] for p in payloads])

    def _pages(self, payloads: Sequence[Mapping[str, Any]]) -> Rows:
        """Return the article below which each event happened, -1 on a front page."""
        pages = [(p.get("context") or {}).get(PAGE_KEY) for p in payloads]
        if not any(pages):
            return np.full(len(pages), -1)
        return self.ids.add_all([str(page or "") for page in pages])

    @classmethod
    def load(
        cls, data: bytes, ids: IdMap | None = None, kept: Set[str] | None = None
    ) -> LiveSignals:
        """Return signals holding a dump; its article ids are added to `ids`.

        If `kept` is given, other articles are left out: so what is held does not grow for ever.
        """
        signals = cls(ids)
        if kept is None:
            signals.apply(data)
        else:
            signals.apply_packed({n: _only(r, kept) for n, r in _from_bytes(data).items()})
        return signals


def active_articles(data: bytes, since: float) -> list[str]:
    """Return the articles of a dump that were shown or clicked since a time, epoch seconds."""
    counters = _from_bytes(data, (COUNTERS,))[COUNTERS]
    active = counters["last"].max(axis=1, initial=-np.inf) >= since
    return [i for i, is_active in zip(counters["ids"], active.tolist(), strict=True) if is_active]


def named_articles(data: bytes) -> set[str]:
    """Return every article that a dump holds anything on."""
    held = _from_bytes(data).values()
    return {one for room in held for name in ("ids", "names") for one in room.get(name, ())}


def _times(payloads: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([p["occurred_at"] for p in payloads], np.float64)


def _only(room: Mapping[str, Any], kept: Set[str]) -> dict[str, Any]:
    """Return what a room's dump holds on some articles, pairs only where both are among them."""
    wanted = np.array([i in kept for i in room["ids"]], np.bool_)
    result = dict(room)
    result["ids"] = [i for i in room["ids"] if i in kept]
    for name in ("values", "totals", "last", "bases"):
        if name in room:
            result[name] = room[name][wanted]
    if "others" in room:
        owner = np.repeat(np.arange(len(wanted)), room["counts"])
        named = np.array([i in kept for i in room["names"]], np.bool_)
        both = wanted[owner] & named[room["others"]]
        result["others"], result["weights"] = room["others"][both], room["weights"][both]
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
    for held in packed.values():
        if "other_ids" in held:  # written by a version that repeated every id
            names = IdMap()
            held["others"], held["names"] = names.add_all(held.pop("other_ids")), names.ids
    return packed


def _text_array(values: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(orjson.dumps(values), np.uint8)
