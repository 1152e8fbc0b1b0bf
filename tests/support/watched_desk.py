"""A newsroom whose experiments are watched, with a receiver of its alerts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from receiver import Receiver

from feed.config import Settings
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.design.lifecycle import create_experiment, start_experiment
from feed.models.registry import ModelRegistry
from feed.storage.redis_store import RedisStore
from feed.watching.findings import FindingKind, WatchFinding, WatchLook
from feed.watching.watcher import Watcher

HOUR = 3600.0
START = 1_780_000_000.0
BREACH = WatchFinding(
    kind=FindingKind.GUARDRAIL,
    subject="latency_p95 in calmer",
    sentence="In calmer, latency rose by 40 % (p < 0.001 & more).",
    may_stop=True,
)
MISSING = WatchFinding(
    kind=FindingKind.TRUST, subject="Archive complete", sentence="A day is missing from the log."
)


@dataclass
class Desk:
    """A newsroom with a watch, whose clock and findings a test sets."""

    store: RedisStore
    settings: Settings
    receiver: Receiver
    now: float = START + HOUR

    def __post_init__(self) -> None:
        self.findings: dict[str, list[WatchFinding] | Exception] = {}
        self.looked: list[str] = []

    def begin(self, name: str = "calmer-trending", **changes: Any) -> Experiment:
        """Create and start an experiment at START."""
        design = Experiment(
            name=name,
            hypothesis="h",
            owner="o",
            layer=name,
            variants=(
                Variant(name="control", share=0.5),
                Variant(name="calmer", share=0.5),
            ),
            equal_arms=True,
        )
        create_experiment(self.store, replace(design, **changes), now=START, by="desk")
        registry = ModelRegistry(self.settings.data_dir / "models")
        return start_experiment(self.store, name, registry=registry, now=START, by="desk")

    def watcher(self, **changes: Any) -> Watcher:
        """A watch as a process that has just started would make it."""
        settings = replace(self.settings, **changes)
        return Watcher(
            self.store, settings, clock=lambda: self.now, look=self._look, chance=lambda: 0.0
        )

    def later(self, seconds: float = HOUR) -> None:
        self.now += seconds

    def _look(
        self, _: Settings, experiment: Experiment, now: float, may_go_on: Callable[[], bool]
    ) -> WatchLook | None:
        assert may_go_on()
        self.looked.append(experiment.name)
        found = self.findings.get(experiment.name, [])
        if isinstance(found, Exception):
            raise found
        return WatchLook(at=now, day=1.0, verdict="go on", findings=tuple(found))
