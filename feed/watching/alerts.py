"""What an alert says, and to which finding it belongs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from secrets import token_hex
from typing import Any

from feed.config import DAY_S
from feed.domain import format_time
from feed.experiments.design.definitions import Experiment
from feed.watching.findings import WatchFinding

LONGEST_WAIT_S = DAY_S
"""An alert that could not be delivered for so long is dropped: nobody needs it any more."""
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0


class AlertState(StrEnum):
    """Whether a finding began or ended."""

    NEW = "new"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message that waits for its delivery. Times are epoch seconds.

    Attributes:
        id: Tells a receiver that it got the same alert twice.
        experiment: Name.
        version: Of the design.
        kind: Of the finding.
        subject: Of the finding.
        state: Whether the finding is new or over.
        sentence: For people.
        stopped: Whether the experiment was stopped for it.
        day: Days since the start.
        at: When it was made.
        tries: Attempts to deliver it that failed.
        due_at: When the next attempt is due.
    """

    id: str
    experiment: str
    version: int
    kind: str
    subject: str
    state: str
    sentence: str
    stopped: bool
    day: float
    at: float
    tries: int = 0
    due_at: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as the store holds it."""
        return asdict(self)

    def body(self, public_url: str) -> dict[str, Any]:
        """Return what is posted: `text` for chat, the rest for programs.

        Args:
            public_url: Where people reach the service; without it, `url` is only a path.
        """
        url = f"{public_url.rstrip('/')}/experiments/{self.experiment}"
        said = self.sentence + (" The experiment was stopped." if self.stopped else "")
        link = f" {url}" if public_url else ""
        return {
            "text": f"{self.experiment}: {_escaped(said)}{link}",
            "id": self.id,
            "experiment": self.experiment,
            "version": self.version,
            "kind": self.kind,
            "subject": self.subject,
            "state": self.state,
            "sentence": self.sentence,
            "action": "stopped" if self.stopped else "none",
            "day": round(self.day, 2),
            "at": format_time(self.at),
            "url": url,
        }


def new_alert(
    experiment: Experiment, finding: WatchFinding, *, at: float, day: float, stopped: bool
) -> Alert:
    """Return the alert of a finding that was not there before."""
    return Alert(
        id=token_hex(8),
        experiment=experiment.name,
        version=experiment.version,
        kind=finding.kind.value,
        subject=finding.subject,
        state=AlertState.NEW.value,
        sentence=finding.sentence,
        stopped=stopped,
        day=day,
        at=at,
    )


def pause_after(tries: int, chance: float) -> float:
    """Return the seconds to wait after so many failed attempts.

    The pause doubles with each attempt, and chance (0 to 1) takes away up to half of it, so that
    a receiver that comes back is not called by everybody at once.
    """
    pause = min(FIRST_PAUSE_S * 2.0 ** min(tries, 20), LONGEST_PAUSE_S)
    return pause * (1.0 - 0.5 * chance)


def _escaped(text: str) -> str:
    """Return text with the three characters that Slack reads as markup escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
