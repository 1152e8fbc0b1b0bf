"""The present state of the installation, read from the store at most once a second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from feed.config import Settings
from feed.domain import InvalidInputError, StoreUnavailableError, parse_time
from feed.models.training_runs import DRY, PUBLISHED, RUNNING, TrainingRun, list_runs
from feed.service.pulse import Pulse
from feed.service.snapshot import SnapshotKeeper
from feed.sources.directory import SourceDirectory
from feed.sources.subscription import SourceStatus, status_of
from feed.storage.encoding_part import EncodingProgress
from feed.storage.key_names import LEAD
from feed.storage.link import StoreRefusedError
from feed.storage.pulse_series import FINE_S, PulseSeries
from feed.storage.pulse_writer import slot_of
from feed.storage.redis_store import RedisStore
from feed.watching.memory import Watched

RECENT_SLOTS = 5 * 60 // FINE_S + 1
"""Five minutes, and the slot that is not over yet."""
FRESH_S = 1.0
UNOWNED_S = 20.0
"""How long a partition may be without a worker: another one takes it over in less."""
ENCODING_SILENT_S = 120.0
"""After so long without a sign of life, `feed encode` counts as dead: it gives one every 50
articles."""
NOTES_FRESH_S = 15.0
"""How long sources and experiments count as known: they are larger, and change slowly."""


@dataclass(frozen=True, slots=True)
class ModelNote:
    """The live model.

    Attributes:
        version: "none" before the first.
        trained_at: Epoch seconds; None if it does not say.
        verdict: Of the gate, in words.
        forced: Whether it was published against that verdict.
    """

    version: str = "none"
    trained_at: float | None = None
    verdict: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class TrainingNote:
    """How the last training ended: `refused`, `failed` or `interrupted`, and why; "" if well."""

    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceNote:
    """A source that cannot be read: how many checks in a row failed, and why."""

    source_id: str
    name: str
    failures: int
    is_gone: bool
    message: str


@dataclass(frozen=True, slots=True)
class FindingNote:
    """What the watch found in an experiment and is not over."""

    experiment: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The present state of the installation.

    Attributes:
        at: Epoch seconds.
        store_answers: Whether the store answers this process.
        store_refuses: Whether it answers, but takes no writes.
        leader: Which worker leads; None if none does, or the store is away.
        workers: Those that are at work.
        unowned: Partitions that have had no worker for `UNOWNED_S`.
        recent: The last five minutes and the slot that is not over; of this process alone while
            the store is away.
        articles: How many can be shown.
        snapshot_age_s: Of this process; None before its first snapshot.
        model: The live model.
        refused_model: The version that is marked as live, if this process could not load it.
        training: How the last training ended.
        sources: How many are polled.
        failing: The sources that cannot be read.
        findings: What the watch found in running experiments.
        encoding: How far `feed encode` is, or was; None if it has not run within a week.
        stream_max: Records that the streams may hold.
        budget_ms: What a feed may take.
    """

    at: float
    store_answers: bool
    store_refuses: bool = False
    leader: str | None = None
    workers: tuple[str, ...] = ()
    unowned: tuple[int, ...] = ()
    recent: PulseSeries
    articles: int = 0
    snapshot_age_s: float | None = None
    model: ModelNote = ModelNote()
    refused_model: str = ""
    training: TrainingNote = TrainingNote()
    sources: int = 0
    failing: tuple[SourceNote, ...] = ()
    findings: tuple[FindingNote, ...] = ()
    encoding: EncodingProgress | None = None
    stream_max: int
    budget_ms: int

    @property
    def encoding_stalled(self) -> bool:
        """Whether a run of `feed encode` was broken off: it has long given no sign of life."""
        one = self.encoding
        return one is not None and not one.is_over and self.at - one.at > ENCODING_SILENT_S


class PresentReader:
    """Reads the present state; many who look at the same time cost one read a second.

    Args:
        settings: bounds.
        store: lease, pulse and findings.
        keeper: the snapshot with articles and model.
        pulse: what this process knows by itself.
        sources: what is polled.
        clock: epoch seconds.
    """

    def __init__(
        self,
        settings: Settings,
        store: RedisStore,
        keeper: SnapshotKeeper,
        pulse: Pulse,
        sources: SourceDirectory,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._keeper = keeper
        self._pulse = pulse
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Present | None = None
        self._noted_at = float("-inf")
        self._free_since: dict[int, float] = {}

    def read(self) -> Present:
        """Return the present state; it never fails, and says so if the store is away."""
        with self._lock:
            now, known = self._clock(), self._known
            if known is None or not 0 <= now - known.at < FRESH_S:
                self._known = known = self._read(now)
            return known

    def _read(self, now: float) -> Present:
        first = slot_of(now) - (RECENT_SLOTS - 1) * FINE_S
        known = self._of_this_process(now, first)
        trouble = self._pulse.writer.trouble
        try:
            recent = self._store.read_pulse(first, RECENT_SLOTS, FINE_S)
            known = replace(
                known,
                recent=recent,
                **self._note_workers(now),
                store_refuses=isinstance(trouble, StoreRefusedError),
                encoding=self._store.read_encoding(),
            )
            if not 0 <= now - self._noted_at < NOTES_FRESH_S:
                known = replace(known, **self._notes())
                self._noted_at = now
        except StoreUnavailableError:
            return replace(known, store_answers=False)
        return known

    def _note_workers(self, now: float) -> dict[str, Any]:
        table = self._store.read_workers()
        free = table.unowned(self._store.partitions)
        self._free_since = {p: self._free_since.get(p, now) for p in free}
        return {
            "leader": table.holder_of(LEAD) or None,
            "workers": table.live,
            "unowned": tuple(p for p, at in self._free_since.items() if now - at >= UNOWNED_S),
        }

    def _of_this_process(self, now: float, first: int) -> Present:
        before, snapshot = self._known, self._keeper.current()
        known = Present(
            at=now,
            store_answers=True,
            recent=self._pulse.writer.own_series(first, RECENT_SLOTS),
            training=before.training if before else TrainingNote(),
            sources=before.sources if before else 0,
            failing=before.failing if before else (),
            findings=before.findings if before else (),
            encoding=before.encoding if before else None,
            stream_max=self._settings.stream_max_events,
            budget_ms=self._settings.request_budget_ms,
        )
        if snapshot is None:
            return known
        return replace(
            known,
            articles=int(snapshot.live_articles),
            snapshot_age_s=max(0.0, now - snapshot.taken_at),
            model=_note_model(snapshot.model_version, snapshot.view.bundle.manifest),
            refused_model=self._keeper.refused_model,
        )

    def _notes(self) -> dict[str, Any]:
        directory, states = self._sources.all(), self._sources.states()
        failing = [
            SourceNote(
                source_id,
                source.name or state.title or source.origin,
                state.failures,
                state.gone,
                state.message,
            )
            for source_id, source in directory.items()
            if (state := states.get(source_id)) is not None
            and status_of(source, state) in {SourceStatus.FAILING, SourceStatus.GONE}
        ]
        snapshot = self._keeper.current()
        running = {one.name for one in snapshot.experiments} if snapshot else set()
        watched = {n: Watched.from_json(w) for n, w in self._store.read_watched().items()}
        findings = [
            FindingNote(name, finding.sentence)
            for name, one in sorted(watched.items())
            if name in running
            for finding in one.open.values()
        ]
        failing.sort(key=lambda note: (-note.failures, note.name))
        return {
            "training": _note_training(list_runs(self._settings.data_dir / "models")),
            "sources": len(directory),
            "failing": tuple(failing),
            "findings": tuple(findings),
        }


def _note_model(version: str, manifest: Mapping[str, Any]) -> ModelNote:
    gate = manifest.get("gate") or {}
    reason = str(gate.get("reason", ""))
    return ModelNote(
        version=version,
        trained_at=_time_of(manifest.get("created_at")),
        verdict=f"{gate['verdict']}: {reason}" if gate.get("verdict") else "",
        forced=bool(gate.get("forced")),
    )


def _note_training(runs: Sequence[TrainingRun]) -> TrainingNote:
    """Return how the newest run ended that is over and that was to publish."""
    over = next((run for run in runs if run.outcome not in {RUNNING, DRY}), None)
    if over is None or over.outcome == PUBLISHED:
        return TrainingNote()
    return TrainingNote(over.outcome, over.detail)


def _time_of(text: Any) -> float | None:
    try:
        return parse_time("created_at", str(text)) if text else None
    except InvalidInputError:
        return None
