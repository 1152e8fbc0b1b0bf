"""The outcome of one injected fault."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.faults.proof import Reckoning


@dataclass(slots=True)
class Outcome:
    """One row of the table.

    `tried` says what was done and `times` how often; `failures` are broken promises (any makes
    the run fail), `remarks` what was seen; `skipped` is why it could not be tried.
    """

    name: str
    tried: str = ""
    times: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    longest_gap_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    skipped: str = ""

    def expect(self, holds: bool, promise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Note a promise that was not kept."""
        if not holds:
            self.failures.append(promise)

    def take(self, reckoning: Reckoning) -> None:
        """Enter what became of the acknowledged events."""
        self.acknowledged += reckoning.acknowledged
        self.lost += reckoning.lost
        self.duplicated += reckoning.duplicated
        self.expect(reckoning.lost == 0, f"{reckoning.lost} acknowledged events lost")
        self.expect(reckoning.duplicated == 0, f"{reckoning.duplicated} events archived twice")
        self.expect(reckoning.foreign == 0, f"{reckoning.foreign} events from nowhere")
        self.expect(reckoning.miscounted == 0, f"{reckoning.miscounted} articles miscounted")
