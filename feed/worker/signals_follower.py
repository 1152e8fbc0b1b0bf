"""Copies of what the workers have counted, kept up to date from their deltas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from feed.features.ids import IdMap
from feed.features.signal_sums import sum_rooms
from feed.features.state import COUNTERS, ROOMS, LiveSignals
from feed.storage.worker_part import WorkerPart
from feed.worker.publication import START, Publication

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class WorkerCopy:
    """What one worker has counted, up to its delta `delta_id`, which it made at `at`.

    The signals of this process's own worker (`is_own`) are left empty.
    """

    signals: LiveSignals
    delta_id: str
    at: float
    positions: Mapping[int, str]
    is_own: bool = False


@dataclass(slots=True)
class News:
    """What has come: articles changed by room, the deltas, and whether all was loaded anew."""

    changed: dict[str, set[str]] = field(default_factory=dict)
    deltas: list[Publication] = field(default_factory=list)
    is_loaded: bool = False


class WorkerCopies:
    """A copy of each worker's signals, by generation.

    The deltas of a generation form a chain. Where a link is missing, or a generation is unknown,
    the checkpoints of all workers are loaded, as they were at one moment. A delta from before
    that moment whose generation has no checkpoint is void: its worker is dead, and what it had
    counted beyond its checkpoint is counted again by others. So no record is in two copies.
    A generation that continues from the one that a copy is of, just as the copy is, takes that
    copy over: nothing is loaded then, and forked processes go on sharing what they hold.

    Args:
        store: where checkpoints and deltas are.
        ids: the numbering of articles.
        without: run whose signals are not wanted, because it is this process's own.
        only_counters: whether co-visitation and page lists are left out.
    """

    def __init__(
        self, store: WorkerPart, ids: IdMap, *, without: str = "", only_counters: bool = False
    ) -> None:
        self._store = store
        self._ids = ids
        self._without, self._rooms = without, (COUNTERS,) if only_counters else ROOMS
        self._loaded: set[tuple[str, str]] = set()
        self._loaded_at = ""
        self._is_behind = False
        self._news = News()
        self.copies: dict[str, WorkerCopy] = {}
        self.cursor = ""
        """The id of the last delta that was read."""

    def follow(self) -> News:
        """Read what the workers have since published; return what is new since the last return.

        Raises:
            StoreUnavailableError: the store does not answer. What was read before is kept, and the
                next call that succeeds returns it.
        """
        if not self._loaded:
            self._load()
        self._apply_deltas()
        if self._is_behind and self._load():
            self._apply_deltas()
        news, self._news = self._news, News()
        return news

    def _apply_deltas(self) -> None:
        """Apply the deltas that follow ours, up to a missing one."""
        self._is_behind = False
        for delta_id, data in self._store.read_deltas(self.cursor or START):
            delta = Publication.from_bytes(data)
            copy = self.copies.get(delta.generation) or self._continued(delta)
            if copy is None:
                if stream_order(delta_id) > stream_order(self._loaded_at or START):
                    self._is_behind = True
                    return
            elif stream_order(delta_id) > stream_order(copy.delta_id or START):
                if delta.previous != copy.delta_id:
                    self._is_behind = True
                    return
                self._apply(copy, delta_id, delta)
            self.cursor = delta_id

    def _continued(self, delta: Publication) -> WorkerCopy | None:
        """Return the copy of the generation from which another one goes on, if it is just so."""
        if delta.continues is None or self._is_own(delta):
            return None
        before, last = delta.continues
        held = self.copies.get(before)
        if held is None or held.delta_id != last or held.is_own:
            return None
        self.copies[delta.generation] = self.copies.pop(before)
        held.delta_id = ""  # nothing of this generation is in it yet
        return held

    def _apply(self, copy: WorkerCopy, delta_id: str, delta: Publication) -> None:
        if delta.body and not copy.is_own:
            for room, changed in copy.signals.apply(delta.body, self._rooms).items():
                self._news.changed.setdefault(room, set()).update(changed)
        copy.delta_id, copy.at, copy.positions = delta_id, delta.at, delta.positions
        self._news.deltas.append(delta)

    def _load(self) -> bool:
        """Load the checkpoints; return False if they are those that were loaded before."""
        newest, stored = self._store.read_shares()
        checkpoints = [Publication.from_bytes(data) for data in stored]
        found = {(one.generation, one.previous) for one in checkpoints}
        if found == self._loaded:
            self._loaded_at = newest
            return False
        self.copies = {one.generation: self._copy(one) for one in checkpoints}
        self._loaded, self._loaded_at = found, newest
        self.cursor = min((one.previous or START for one in checkpoints), key=stream_order)
        self._news.is_loaded = True
        log.info("signals_loaded", generations=sorted(self.copies), position=self.cursor)
        return True

    def _copy(self, checkpoint: Publication) -> WorkerCopy:
        signals = LiveSignals(self._ids)
        is_own = self._is_own(checkpoint)
        if not is_own:
            signals.apply(checkpoint.body, self._rooms)
        return WorkerCopy(
            signals, checkpoint.previous, checkpoint.at, checkpoint.positions, is_own=is_own
        )

    def _is_own(self, publication: Publication) -> bool:
        return publication.generation.partition("+")[0] == self._without


class SignalsFollower:
    """A web process's copy of all workers' signals together, which deltas keep up to date.

    `signals` never changes once it is returned. `delta_id` is the id of the last delta in it, and
    `at` is the time up to which every worker's deltas are in it (epoch seconds).
    """

    def __init__(self, store: WorkerPart, ids: IdMap) -> None:
        self._ids = ids
        self._copies = WorkerCopies(store, ids)
        self._total = LiveSignals(ids)
        self.signals = self._total.snapshot()

    @property
    def delta_id(self) -> str:
        """The id of the last delta that was read."""
        return self._copies.cursor

    @property
    def at(self) -> float:
        """The time up to which every worker's deltas are in the signals, epoch seconds."""
        return min((copy.at for copy in self._copies.copies.values()), default=0.0)

    def follow(self) -> bool:
        """Read what the workers have since published; return whether `signals` was replaced.

        Raises:
            StoreUnavailableError: the store does not answer. What was read before is kept and is
                in the signals after the next call that succeeds.
        """
        news = self._copies.follow()
        if not news.changed and not news.is_loaded:
            return False
        parts = [copy.signals for copy in self._copies.copies.values()]
        if len(parts) == 1:
            self._total = parts[0]
        elif news.is_loaded:
            self._total = LiveSignals(self._ids)
            self._total.apply_packed(sum_rooms([part.pack() for part in parts]))
        else:
            changed = {room: sorted(ids) for room, ids in news.changed.items()}
            self._total.apply_packed(sum_rooms([part.pack_articles(changed) for part in parts]))
        self.signals = self._total.snapshot()
        return True


def stream_order(stream_id: str) -> tuple[int, int]:
    """Return what stream ids are ordered by."""
    milliseconds, sequence = stream_id.split("-")
    return int(milliseconds), int(sequence)
