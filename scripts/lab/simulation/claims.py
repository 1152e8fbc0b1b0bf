"""What the statistics promise, and the trials that test it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lab.simulation.bandits import try_off_policy
from lab.simulation.drifts import try_constant_effects
from lab.simulation.fixed import (
    try_effects,
    try_guardrails,
    try_heavy_tails,
    try_multiplicity,
    try_planned_size,
)
from lab.simulation.looks import (
    try_arriving_readers,
    try_early_stops,
    try_group_metric,
    try_planned_sequence,
    try_returning_readers,
    try_sample_ratio,
)
from lab.simulation.tally import Tally
from lab.simulation.watch import AT_THE_MARGIN, NO_HARM, SLOW, UNVARIED, try_watch

Judgement = Literal["ok", "chance", "OUT", "contrast"]
Trial = Callable[[int, int], dict[str, Tally]]

BATCHES = 8
"""Parts into which each trial's runs are cut, for the processes and the progress bar."""

NOMINAL = (0.04, 0.06)
COVERAGE = (0.94, 0.96)

TRIALS: dict[str, Trial] = {
    "A/A": partial(try_effects, lift=0.0),
    "lift 10 %": partial(try_effects, lift=0.1),
    "A/A, heavy tail": try_heavy_tails,
    "loss of the margin": try_guardrails,
    "many metrics": try_multiplicity,
    "planned": try_planned_size,
    "A/A, arriving": partial(try_arriving_readers, lift=0.0),
    "lift 10 %, arriving": partial(try_arriving_readers, lift=0.1),
    "A/A, returning": try_returning_readers,
    "A/A, latency": try_group_metric,
    "planned, daily": try_planned_sequence,
    "sample ratio": try_sample_ratio,
    "planned effect, early stop": partial(try_early_stops, share=1.0),
    "half the planned effect, early stop": partial(try_early_stops, share=0.5),
    "days since exposure": try_constant_effects,
    "off-policy": try_off_policy,
    "no harm": partial(try_watch, harm=NO_HARM),
    "all guardrails at their margin": partial(try_watch, harm=AT_THE_MARGIN),
    "latency 50 % higher": partial(try_watch, harm=SLOW),
    "section entropy 20 % lower": partial(try_watch, harm=UNVARIED),
}
"""Worlds, by name, with what is tried in them."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One promised rate.

    Attributes:
        section: Heading of the table.
        what: World and name of the tally.
        wanted: Range of the true rate; None for a contrast, which promises nothing.
    """

    section: str
    what: str
    wanted: tuple[float, float] | None

    def judge(self, tally: Tally) -> Judgement:
        """Compare what was measured with what was promised.

        Args:
            tally: The measurement.

        Returns:
            ``chance`` when the rate is out of range but its 99 % interval is not; ``OUT`` when
            both are.
        """
        interval = tally.interval(0.99)
        if self.wanted is None or tally.rate is None or interval is None:
            return "contrast"
        low, high = self.wanted
        if low <= tally.rate <= high:
            return "ok"
        return "chance" if interval.low <= high and interval.high >= low else "OUT"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the runs of one trial.

    Attributes:
        world: Key of ``TRIALS``.
        seed: Of the chance.
        runs: How many.
    """

    world: str
    seed: int
    runs: int


def cut_batches(runs: int, seed: int) -> Iterator[Batch]:
    """Cut every trial's runs into batches with seeds of their own.

    Args:
        runs: Runs of each trial.
        seed: Of everything.

    Yields:
        The batches.
    """
    for place, world in enumerate(TRIALS):
        for batch in range(BATCHES):
            size = runs * (batch + 1) // BATCHES - runs * batch // BATCHES
            if size:
                yield Batch(world, seed + 1_000 * place + batch, size)


def run_batch(batch: Batch) -> dict[str, Tally]:
    """Run one batch, here or in another process.

    Args:
        batch: What to run.

    Returns:
        Tallies under ``WORLD | NAME``.
    """
    found = TRIALS[batch.world](batch.seed, batch.runs)
    return {f"{batch.world} | {name}": tally for name, tally in found.items()}


def _each(section: str, wanted: tuple[float, float] | None, *names: str) -> list[Claim]:
    return [Claim(section, name, wanted) for name in names]


_EARLY = "Gains found before the planned end"
_WATCH = "Stopped by the watch, a look every hour of 14 days"
_EFFECTS = ("mean", "mean, CUPED", "ratio", "ratio, CUPED")

CLAIMS: tuple[Claim, ...] = (
    *_each("False positives", NOMINAL, *(f"A/A | {name}: rejected" for name in _EFFECTS)),
    *_each(
        "False positives",
        NOMINAL,
        "A/A | winsorised dwell: rejected",
        "A/A | four segments: rejected",
        "loss of the margin | guardrail at its margin: holds",
        "loss of the margin | guardrail at its margin: breached",
        "many metrics | one false claim or more in 3, Holm",
        "sample ratio | p < .05, three variants",
        "days since exposure | constant effect: drift found",
        "days since exposure | constant effect, ratio: drift found",
    ),
    *_each(
        "False positives",
        (0.0, 0.06),
        "A/A, heavy tail | halves: rejected",
        "A/A, heavy tail | halves, CUPED: rejected",
    ),
    Claim("False positives", "many metrics | false share of claims in 20, BH", (0.0, 0.05)),
    Claim("False positives", "sample ratio | alarm, split right", (0.0005, 0.0015)),
    *_each(
        "False positives",
        None,
        "A/A | naive z per impression: rejected",
        "A/A, heavy tail | a twentieth: rejected",
        "A/A, heavy tail | a twentieth, CUPED: rejected",
        "many metrics | one false claim or more in 3, raw",
    ),
    *_each(
        "Looking on each of 28 days, no effect",
        (0.0, 0.05),
        "A/A, arriving | a look every day, sequence: rejected",
        "A/A, returning | the same readers every day, sequence: rejected",
        "A/A, latency | sequence: rejected",
        "sample ratio | sequence p < .05, a look every day",
    ),
    Claim(
        "Looking on each of 28 days, no effect",
        "sample ratio | sequence alarm, a look every day",
        (0.0, 0.001),
    ),
    *_each(
        "Looking on each of 28 days, no effect",
        None,
        "A/A, arriving | a look every day, fixed test: rejected",
        "A/A, returning | the same readers every day, fixed test: rejected",
        "A/A, latency | fixed test: rejected",
        "sample ratio | fixed alarm, a look every day",
    ),
    *_each(
        _WATCH,
        (0.0, 0.05),
        "no harm | stopped by the watch",
        "all guardrails at their margin | stopped by the watch",
    ),
    *_each(
        _WATCH,
        (0.9, 1.0),
        "latency 50 % higher | stopped by the watch",
        "section entropy 20 % lower | stopped by the watch",
    ),
    *_each(
        _WATCH,
        None,
        "latency 50 % higher | share of two weeks until the stop",
        "section entropy 20 % lower | share of two weeks until the stop",
        "no harm | stopped by tests for one look",
        "all guardrails at their margin | stopped by tests for one look",
    ),
    *_each("Coverage", COVERAGE, *(f"A/A | {name}: covered" for name in _EFFECTS)),
    *_each("Coverage", COVERAGE, *(f"lift 10 % | {name}: covered" for name in _EFFECTS)),
    *_each("Coverage", COVERAGE, *(f"lift 10 % | {name}: relative covered" for name in _EFFECTS)),
    *_each(
        "Coverage",
        COVERAGE,
        "A/A | share of slots: covered",
        "A/A | share of slots, 60 readers: covered",
    ),
    *_each(
        "Coverage",
        (0.95, 1.0),
        "lift 10 %, arriving | a look every day, sequence: covered at every look",
        "lift 10 %, arriving | a look every day, sequence: relative covered at every look",
    ),
    *_each(
        "Coverage",
        (0.93, 0.97),
        *(f"off-policy | {name}: covered" for name in ("replay", "ips", "snips", "doubly_robust")),
    ),
    *_each(
        _EARLY,
        None,
        "planned effect, early stop | gain found before the end",
        "planned effect, early stop | as it looks: over the truth",
        "planned effect, early stop | as it looks: over 1.5 times the truth",
        "half the planned effect, early stop | gain found before the end",
        "half the planned effect, early stop | as it looks: over the truth",
        "half the planned effect, early stop | as it looks: over 1.5 times the truth",
    ),
    Claim(_EARLY, "planned effect, early stop | corrected: over the truth", (0.2, 0.5)),
    Claim(_EARLY, "planned effect, early stop | corrected: over 1.5 times the truth", (0.0, 0.2)),
    Claim(
        _EARLY,
        "half the planned effect, early stop | corrected: over 1.5 times the truth",
        (0.0, 0.55),
    ),
    *_each(
        "Power",
        (0.77, 0.83),
        "planned | power at the planned size",
        "planned | power at the planned size, CUPED",
    ),
    Claim("Power", "planned, daily | power at the planned size, a look every day", (0.8, 1.0)),
    Claim("Power", "planned, daily | share of the planned readers used", None),
    Claim("Power", "A/A, heavy tail | halves: warned", (0.0, 0.01)),
    Claim("Power", "A/A, heavy tail | a twentieth: warned", (0.95, 1.0)),
    Claim("Power", "sample ratio | alarm, a tenth of an arm lost", (0.9, 1.0)),
    Claim("Power", "sample ratio | sequence alarm, a tenth of an arm lost", None),
    Claim("Power", "days since exposure | effect gone after two days: drift found", (0.9, 1.0)),
    Claim("Power", "off-policy | fair log refused", (0.0, 0.01)),
    Claim("Power", "off-policy | log with wrong propensities refused", (0.99, 1.0)),
)
"""Every promise, in the order of the table."""
