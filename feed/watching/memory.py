"""What the watch remembers of an experiment, so that it says everything once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from secrets import token_hex
from typing import Any

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment
from feed.watching.alerts import Alert, AlertState, new_alert
from feed.watching.findings import LASTING, FindingKind, WatchFinding, WatchLook

WAITING_MAX = 50
"""Alerts of one experiment that wait for their delivery; the oldest are dropped for others."""
QUIET_S = DAY_S
"""A finding is over when it was not seen for so long: one that comes and goes is told once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFinding:
    """A finding that was told and is not over.

    `seen_at` is when it was last seen, `stopped` whether people were told of a stop for it.
    """

    kind: str
    subject: str
    sentence: str
    seen_at: float
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of one experiment.

    Attributes:
        version: Of the design that it is known of.
        at: When it was last looked at, epoch seconds; 0 before the first look.
        told: Keys of verdicts that were told.
        open: Findings that were told and are not over, by key.
        waiting: Alerts to be delivered, oldest first.
    """

    version: int = 0
    at: float = 0.0
    told: tuple[str, ...] = ()
    open: dict[str, OpenFinding]
    waiting: tuple[Alert, ...] = ()

    @property
    def stops(self) -> frozenset[str]:
        """Keys of open findings for which, as people were told, the experiment was stopped."""
        return frozenset(key for key, one in self.open.items() if one.stopped)

    def to_json(self) -> dict[str, Any]:
        """Return it as the store holds it."""
        return {
            "version": self.version,
            "at": self.at,
            "told": self.told,
            "open": {key: asdict(one) for key, one in self.open.items()},
            "waiting": [alert.to_json() for alert in self.waiting],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Watched:
        """Return what the store holds; nothing is known where it holds nothing."""
        return cls(
            version=data.get("version", 0),
            at=data.get("at", 0.0),
            told=tuple(data.get("told", ())),
            open={key: OpenFinding(**one) for key, one in data.get("open", {}).items()},
            waiting=tuple(Alert(**alert) for alert in data.get("waiting", ())),
        )

    def remember(
        self, experiment: Experiment, look: WatchLook, *, stopped: bool
    ) -> tuple[Watched, tuple[Alert, ...]]:
        """Take in a look; return what is known now, and the alerts that it calls for.

        Args:
            experiment: Which was looked at; a new version of it begins from nothing.
            look: What was found.
            stopped: Whether the experiment was stopped for it.
        """
        known = self
        if experiment.version != self.version:
            known = Watched(version=experiment.version, open={}, waiting=self.waiting)
        found = {finding.key: finding for finding in look.findings}
        ended = {key for key, f in found.items() if stopped and f.may_stop}
        said = known.open.keys() - (ended - known.stops)
        fresh = [f for key, f in found.items() if key not in said and key not in known.told]
        alerts = [
            new_alert(experiment, f, at=look.at, day=look.day, stopped=f.key in ended)
            for f in fresh
        ]
        over = {key: one for key, one in known.open.items() if _is_over(one, look, found)}
        alerts += _ends(experiment, look, over)
        still = {key: one for key, one in known.open.items() if key not in over}
        seen = {
            key: _opened(f, look.at, stopped=key in ended or key in known.stops)
            for key, f in found.items()
            if f.kind not in LASTING
        }
        told = dict.fromkeys([*known.told, *(f.key for f in fresh if f.kind in LASTING)])
        after = replace(known, at=look.at, told=tuple(told), open=still | seen)
        return after, tuple(alerts)

    def queue(self, alerts: tuple[Alert, ...]) -> Watched:
        """Let alerts wait for their delivery."""
        return replace(self, waiting=(*self.waiting, *alerts)[-WAITING_MAX:])

    def without(self, alert: Alert) -> Watched:
        """Forget an alert that was delivered, or will never be."""
        return replace(self, waiting=tuple(one for one in self.waiting if one.id != alert.id))

    def delay(self, alert: Alert, due_at: float) -> Watched:
        """Note that an alert could not be delivered."""
        later = replace(alert, tries=alert.tries + 1, due_at=due_at)
        return replace(
            self, waiting=tuple(later if one.id == alert.id else one for one in self.waiting)
        )


def _is_over(one: OpenFinding, look: WatchLook, found: dict[str, WatchFinding]) -> bool:
    """Whether a finding has ended; where no report could be made, nothing is known of the rest."""
    if f"{one.kind}:{one.subject}" in found:
        return False
    if one.kind in {FindingKind.REPORT, FindingKind.RAMP}:
        return bool(look.verdict)
    return bool(look.verdict) and look.at - one.seen_at >= QUIET_S


def _ends(experiment: Experiment, look: WatchLook, over: dict[str, OpenFinding]) -> Iterator[Alert]:
    for one in over.values():
        yield Alert(
            id=token_hex(8),
            experiment=experiment.name,
            version=experiment.version,
            kind=one.kind,
            subject=one.subject,
            state=AlertState.OVER.value,
            sentence=f"This is over: {one.sentence}",
            stopped=False,
            day=look.day,
            at=look.at,
        )


def _opened(finding: WatchFinding, at: float, *, stopped: bool) -> OpenFinding:
    return OpenFinding(
        kind=finding.kind.value,
        subject=finding.subject,
        sentence=finding.sentence,
        seen_at=at,
        stopped=stopped,
    )
