"""The contents of a report: the numbers behind each of its lines, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from feed.experiments.design.definitions import Experiment, GuardrailSpec
from feed.experiments.design.metrics import Metric
from feed.experiments.log.exposure import Window
from feed.experiments.statistics.effects import AdjustedEffect, Effect, Interval
from feed.experiments.statistics.interaction import Heterogeneity, SimpsonCheck
from feed.experiments.statistics.interleaving import Preference
from feed.experiments.statistics.noninferiority import Guardrail
from feed.experiments.statistics.sequential import SequentialEstimate


class VerdictKind(StrEnum):
    """What the registered rule says."""

    SHIP = "ship"
    DO_NOT_SHIP = "do not ship"
    INCONCLUSIVE = "inconclusive"
    GO_ON = "go on"
    BROKEN = "broken"


class Cause(StrEnum):
    """Why a variant is not to be shipped."""

    HARM = "harm"
    FUTILITY = "futility"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, in a few sentences for a product owner.

    Attributes:
        kind: What the registered rule says.
        sentence: The verdict with its main number.
        reasons: What led to it, one sentence each.
        variant: The variant to ship, or empty.
        causes: Why nothing is to be shipped: harm, futility or, of several variants, both.
    """

    kind: VerdictKind
    sentence: str
    reasons: tuple[str, ...]
    variant: str = ""
    causes: tuple[Cause, ...] = ()


class CheckState(StrEnum):
    """Outcome of a trust check; one failed check forbids a verdict."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrustCheck:
    """One question about whether the numbers can be believed.

    Attributes:
        name: Short title.
        state: Outcome.
        finding: What was seen, in a sentence with its numbers.
        p_value: Of the test behind it, where there is one.
        fault: What is wrong when it fails, in plain words for the verdict.
    """

    name: str
    state: CheckState
    finding: str
    p_value: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """What one variant holds.

    Attributes:
        name: Of the variant.
        share: Registered.
        exposed: Readers exposed.
        analysed: Readers who enter the estimates.
        views: Feeds served after the first exposure.
        events: Events after the first exposure.
    """

    name: str
    share: float
    exposed: int
    analysed: int
    views: int
    events: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric in one treatment against control.

    Attributes:
        treatment: Name of the variant.
        raw: The effect as it is.
        adjusted: With the time before the start taken out (CUPED); None where there is none.
        sequence: The always-valid interval around the effect that decides; primaries only.
        p_value: Of the registered rule: fixed or always valid.
        p_adjusted: Corrected for the other comparisons of its family (Holm or BH).
        simultaneous: Relative interval by the registered rule that holds for all primary
            comparisons together (Bonferroni); of a single one the same as its own interval.
        simultaneous_difference: The same for the difference, in the metric's own unit.
        corrected: Relative effect with the early stop taken into account, where a gain was found
            before the planned end.
    """

    treatment: str
    raw: Effect
    adjusted: AdjustedEffect | None = None
    sequence: SequentialEstimate | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    simultaneous: Interval | None = None
    simultaneous_difference: Interval | None = None
    corrected: float | None = None

    @property
    def deciding(self) -> Effect:
        """The adjusted effect where there is one, else the raw one."""
        return self.adjusted.effect if self.adjusted is not None else self.raw


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric in every treatment."""

    metric: Metric
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """One guardrail in one treatment."""

    spec: GuardrailSpec
    metric: Metric
    comparison: Comparison
    outcome: Guardrail


@dataclass(frozen=True, slots=True)
class Look:
    """The effect as it stood at the end of a day, or on a single day.

    Attributes:
        step: Day of the experiment, or days since exposure, from 0.
        label: ISO date, or the step.
        effect: At that point.
        sequence: Its always-valid interval; None for single days.
        p_value: The smallest always-valid p-value so far.
    """

    step: int
    label: str
    effect: Effect
    sequence: SequentialEstimate | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether the relative effect changes with the days since first exposure.

    Attributes:
        effect: Difference of the mean day on which the metric comes, in days.
        p_value: By the registered rule, corrected by Holm for all primary comparisons.
        early: Relative effect in the first third of the days since exposure.
        late: Relative effect in the last third.
    """

    effect: Effect
    p_value: float | None = None
    early: float | None = None
    late: float | None = None


@dataclass(frozen=True, slots=True)
class TimeCourse:
    """A primary metric over time in one treatment, cumulative, by day and by age of exposure."""

    metric: Metric
    treatment: str
    cumulative: tuple[Look, ...]
    daily: tuple[Look, ...]
    since_exposure: tuple[Look, ...]
    drift: Drift | None = None


@dataclass(frozen=True, slots=True)
class SegmentFamily:
    """The first primary metric in each value of one property of the readers; exploratory."""

    title: str
    metric: Metric
    treatment: str
    effects: Mapping[str, Effect]
    interaction: Heterogeneity
    simpson: SimpsonCheck


@dataclass(frozen=True, slots=True)
class SlotCell:
    """Slots of one kind in one variant.

    Attributes:
        label: The kind.
        variant: Name.
        shown: Slots served.
        examined: Of these, those that came into view or were clicked.
        clicked: Of these, those clicked.
        readers: Readers with an examined slot.
        interval: 95 % interval of the click-through, over readers; None with fewer than two.
        expected: Clicks that all examined slots together, of any variant, get at such positions.
        against_place: 95 % interval of clicked over expected, over readers; None with fewer than
            two, or where too little is expected to say anything.
    """

    label: str
    variant: str
    shown: int
    examined: int
    clicked: int
    readers: int = 0
    interval: Interval | None = None
    expected: float = 0.0
    against_place: Interval | None = None

    @property
    def click_through(self) -> float | None:
        """Clicks over examined slots; None without any."""
        return self.clicked / self.examined if self.examined else None


@dataclass(frozen=True, slots=True)
class SlotTable:
    """Click-through by one property of a slot; descriptive."""

    title: str
    cells: tuple[SlotCell, ...]


@dataclass(frozen=True, slots=True)
class BoostComparison:
    """A variant without the trending boost against one with it.

    Attributes:
        without: Name of the variant with a boost of zero.
        with_boost: Name of the variant compared with.
        strength: Of its boost.
        cells: Trending and other slots of both.
    """

    without: str
    with_boost: str
    strength: float
    cells: tuple[SlotCell, ...]


@dataclass(frozen=True, slots=True)
class HoldoutResult:
    """Readers kept out of every experiment, against those of this one; exploratory.

    Attributes:
        readers: Held-out readers who got a feed that the experiment could have changed.
        expected: How many there should be, from the registered shares and the readers exposed.
        p_value: Of that number, at one look; None without readers.
        metrics: Each primary metric and each guardrail that single readers have; every variant
            and, last, `everyone` in the experiment is compared with the held-out readers, who
            stand in control's place.
    """

    readers: int
    expected: float
    p_value: float | None
    metrics: tuple[MetricResult, ...]


@dataclass(frozen=True, slots=True)
class TeamResult:
    """Two rankings interleaved in one variant: which one the same readers clicked more.

    Attributes:
        variant: Name of the interleaving variant.
        a: Name of the first ranking.
        b: Name of the second.
        preference: From the clicks that each ranking's slots got.
        sequence: Of the mean credit, valid at every look; None under the fixed rule.
        p_value: Of the registered rule, corrected by Holm for all interleaving variants.
    """

    variant: str
    a: str
    b: str
    preference: Preference
    sequence: SequentialEstimate | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class PowerSummary:
    """How much a primary metric in one treatment could have shown.

    Attributes:
        metric: Name.
        treatment: Name.
        registered_effect: Relative, from the definition.
        power: Chance to find it with the readers so far, corrected for all primary comparisons;
            None if it cannot be told: without an estimate, or before the sequence says anything.
        detectable: Relative effect found with the registered power so far; None likewise.
    """

    metric: str
    treatment: str
    registered_effect: float
    power: float | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything an experiment's report says; the HTML, Markdown and JSON are views of it.

    Attributes:
        experiment: As registered.
        window: What was read.
        generated_at: Epoch seconds.
        days_run: Days since the start, in whole and parts.
        command: How to make this report again.
        versions: Of the software that computed it.
        verdict: By the registered rule.
        arms: Control first.
        checks: Trust checks, all of them.
        primaries: What decides.
        guardrails: What must not get worse.
        secondaries: What is reported beside.
        courses: Primaries over time.
        segments: Exploratory.
        slot_tables: Descriptive.
        boost: Of the trending boost, if a variant has none.
        holdout: Of the readers kept out of every experiment, if there are any.
        teams: Of the interleaving variants.
        power: Of the primaries.
    """

    experiment: Experiment
    window: Window
    generated_at: float
    days_run: float
    command: str
    versions: Mapping[str, str]
    verdict: Verdict
    arms: tuple[ArmSummary, ...]
    checks: tuple[TrustCheck, ...]
    primaries: tuple[MetricResult, ...]
    guardrails: tuple[GuardrailResult, ...]
    secondaries: tuple[MetricResult, ...]
    courses: tuple[TimeCourse, ...]
    segments: tuple[SegmentFamily, ...]
    slot_tables: tuple[SlotTable, ...]
    boost: BoostComparison | None
    holdout: HoldoutResult | None
    teams: tuple[TeamResult, ...]
    power: tuple[PowerSummary, ...]

    @property
    def chosen_by_hand(self) -> bool:
        """Whether the window begins after the start: such numbers are exploratory."""
        return self.window.from_at > self.experiment.started_at
