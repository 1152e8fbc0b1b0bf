"""What the watch finds in an experiment: the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What an alert is about."""

    GUARDRAIL = "guardrail_breached"
    TRUST = "trust_check_failed"
    REPORT = "report_failed"
    RAMP = "ramp_waits"
    VERDICT = "verdict_reached"
    PLAN = "planned_end"


LASTING = frozenset({FindingKind.VERDICT, FindingKind.PLAN})
"""Kinds that are told once and are never over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFinding:
    """One thing that people should be told.

    Attributes:
        kind: What it is about.
        subject: Tells it from others of its kind: a guardrail, a check, a verdict.
        sentence: What was found, in plain words.
        may_stop: Whether it may stop an experiment whose design says so.
    """

    kind: FindingKind
    subject: str
    sentence: str
    may_stop: bool = False

    @property
    def key(self) -> str:
        """Return what the watch remembers it by."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLook:
    """What one look found.

    Attributes:
        at: Epoch seconds.
        day: Days since the start, in whole and parts.
        verdict: Kind of the report's verdict; empty without a report.
        findings: What people should be told.
    """

    at: float
    day: float = 0.0
    verdict: str = ""
    findings: tuple[WatchFinding, ...] = ()


def failed_look(now: float, reason: str) -> WatchLook:
    """Return what is known where no report could be made."""
    sentence = f"The report cannot be made: {reason}."
    return WatchLook(
        at=now,
        findings=(WatchFinding(kind=FindingKind.REPORT, subject="report", sentence=sentence),),
    )
