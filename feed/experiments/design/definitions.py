"""The definition of an experiment: hypothesis, variants, audience, metrics, plan and rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from feed.config import RankingConfig
from feed.custom_data import ATTRIBUTE_NAME
from feed.domain import InvalidInputError, check_id
from feed.experiments.design.assignment import BUCKETS, HOLDOUT, Allocation
from feed.experiments.design.audience import Audience
from feed.experiments.design.metrics import METRICS, Metric, metric_named
from feed.experiments.design.traffic import RampStep, TrafficStep, check_ramp
from feed.setting_fields import override

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Names of experiments, variants and layers: they appear in addresses and file names."""


LONGEST_DAYS = 366
"""No experiment is planned for longer."""
WEEK_DAYS = 7
"""Days that a verdict by a primary metric waits for, unless the design says otherwise."""


MOST_SEGMENTS = 5
"""Attributes that the report of one experiment may split its readers by."""


class Status(StrEnum):
    """Where an experiment stands in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    STOPPED = "stopped"


class StoppingRule(StrEnum):
    """When a verdict may be reached: once at the planned size, or at any look by a sequence."""

    FIXED = "fixed"
    SEQUENTIAL = "sequential"


class OnBreach(StrEnum):
    """What the watch does when a guardrail is breached or readers are dealt unevenly."""

    ALERT = "alert"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to serve.

    Attributes:
        name: How served records name it.
        share: Of the experiment's readers, 0 to 1; 0 only for a side of an interleaving.
        overrides: Ranking settings that differ from the installation's.
        model_version: Model bundle to rank with; empty: the live one.
        interleaves: Names of two other variants whose slates are drafted into one; or empty.
    """

    name: str
    share: float
    overrides: dict[str, Any] = field(default_factory=dict)
    model_version: str = ""
    interleaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailSpec:
    """A metric that must not get worse by more than a margin.

    Attributes:
        metric: Its name.
        margin: Tolerated loss: a share of control, or in the metric's unit if not ``relative``.
        relative: Which of the two.
    """

    metric: str
    margin: float
    relative: bool = True


DEFAULT_GUARDRAILS = (
    GuardrailSpec(metric="latency_p95", margin=0.2),
    GuardrailSpec(metric="fallback_share", margin=0.01, relative=False),
    GuardrailSpec(metric="section_entropy", margin=0.1),
)
"""Guardrails of a definition that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment as registered. Times are epoch seconds UTC; 0 where it has not happened.

    Attributes:
        name: Of the experiment; served records carry it.
        version: Of the design; a change after the start is a new version.
        revision: Of the stored record; every write raises it by one.
        hypothesis: What is expected and why, in a sentence.
        owner: Who answers for it.
        unit: What is assigned; readers.
        variants: Control first.
        layer: Experiments of one layer share no reader.
        salt: Of the layer's hash; the same for every experiment of a layer.
        traffic: Share of the layer's readers from the start on, 0 to 1.
        ramp: Planned steps by which the traffic grows.
        buckets: Half-open range within the layer whose readers are in the experiment.
        reserved: The range that is kept free for it; begins where ``buckets`` does.
        steps: The steps by which the traffic grew, the start first.
        audience: Requests that may enter.
        segments: Attributes of readers whose values the report splits readers by.
        holdout_share: Readers kept out of every experiment, 0 to 1.
        primary_metrics: What decides; several are corrected by Holm.
        secondary_metrics: What is reported beside; empty: every other metric.
        guardrails: What must not get worse.
        metrics: The site's own metrics that it names, as they were declared when it was created.
        minimum_effect: Smallest relative effect on a primary metric worth finding.
        planned_readers: Readers planned, every variant together.
        planned_days: Days planned.
        minimum_days: Whole days before a primary metric may decide. Left out: seven, or
            ``planned_days`` if those are fewer.
        stopping_rule: When a verdict may be reached.
        alpha: Two-sided error on the primary metrics.
        power: Chance wanted to find ``minimum_effect``.
        on_breach: Whether the watch stops the experiment on a breach, or only says so.
        pre_days: Days before the start that the covariate is taken from.
        equal_arms: Whether arms may be served alike, as in an A/A test.
        pin_model: Whether variants that name no model keep the one that is live at the start.
        overrides: Variant by reader for testing.
        excluded: Readers who ever had an override: never analysed.
        status: Where it stands.
        created_at: When the design was written.
        started_at: When it took effect.
        stopped_at: When it ended.
        archived: Whether lists leave it out.
    """

    name: str
    hypothesis: str
    owner: str
    variants: tuple[Variant, ...]
    version: int = 1
    revision: int = 1
    unit: str = "user"
    layer: str = "ranking"
    salt: str = "feed"
    traffic: float = 1.0
    ramp: tuple[RampStep, ...] = ()
    buckets: tuple[int, int] = (0, 0)
    reserved: tuple[int, int] = (0, 0)
    steps: tuple[TrafficStep, ...] = ()
    audience: Audience = Audience()
    segments: tuple[str, ...] = ()
    holdout_share: float = 0.0
    primary_metrics: tuple[str, ...] = ("qualified_reads",)
    secondary_metrics: tuple[str, ...] = ()
    guardrails: tuple[GuardrailSpec, ...] = DEFAULT_GUARDRAILS
    metrics: dict[str, Metric] = field(default_factory=dict)
    minimum_effect: float = 0.05
    planned_readers: int = 10_000
    planned_days: int = 14
    minimum_days: int = 0
    stopping_rule: StoppingRule = StoppingRule.SEQUENTIAL
    alpha: float = 0.05
    power: float = 0.8
    on_breach: OnBreach = OnBreach.ALERT
    pre_days: int = 14
    equal_arms: bool = False
    pin_model: bool = False
    overrides: dict[str, str] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    status: Status = Status.DRAFT
    created_at: float = 0.0
    started_at: float = 0.0
    stopped_at: float = 0.0
    archived: bool = False

    def __post_init__(self) -> None:
        if self.minimum_days == 0:
            object.__setattr__(self, "minimum_days", min(WEEK_DAYS, self.planned_days))
        _check_names(self)
        _check_variants(self.variants)
        _check_metrics(self)
        _check_numbers(self)
        check_ramp(self.traffic, self.ramp, self.planned_days)
        _check_segments(self.segments)
        for user_id, variant in self.overrides.items():
            check_id("overrides", user_id)
            if variant not in {arm.name for arm in self.arms}:
                raise InvalidInputError(f"overrides.{user_id}", "must name a variant with a share")

    @property
    def arms(self) -> tuple[Variant, ...]:
        """The variants that readers are dealt to, control first."""
        return tuple(variant for variant in self.variants if variant.share > 0)

    @property
    def control(self) -> Variant:
        """The variant that the others are compared with."""
        return self.variants[0]

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """Every arm but control."""
        return self.arms[1:]

    @property
    def comparisons(self) -> int:
        """How many primary comparisons share the error."""
        return len(self.primary_metrics) * len(self.treatments)

    @property
    def secondaries(self) -> tuple[str, ...]:
        """Metrics reported beside the primary ones."""
        if self.secondary_metrics:
            return self.secondary_metrics
        taken = {*self.primary_metrics, *(spec.metric for spec in self.guardrails)}
        return tuple(name for name in METRICS if name not in taken)

    @property
    def planned_traffic(self) -> float:
        """The largest share of the layer's readers that the design plans."""
        return self.ramp[-1].traffic if self.ramp else self.traffic

    @property
    def held(self) -> tuple[int, int]:
        """The range of the layer's buckets that no other experiment may have."""
        return max(self.buckets, self.reserved, key=lambda found: found[1] - found[0])

    @property
    def opened(self) -> tuple[TrafficStep, ...]:
        """The steps by which the traffic grew; of records from before they were kept, the start."""
        low, high = self.buckets
        traffic = (high - low) / BUCKETS or self.traffic
        return self.steps or (TrafficStep(self.started_at, traffic),)

    def opened_until(self, moment: float) -> tuple[TrafficStep, ...]:
        """Return the start, and the steps by which the traffic had grown before a moment."""
        first, *later = self.opened
        return first, *(step for step in later if step.at < moment)

    @property
    def named_metrics(self) -> frozenset[str]:
        """Every metric that the definition names."""
        guarded = (spec.metric for spec in self.guardrails)
        return frozenset((*self.primary_metrics, *self.secondary_metrics, *guarded))

    def metric(self, name: str, field_name: str = "metric") -> Metric:
        """Return a metric by name: one of its own, or one that feed brings along.

        Raises:
            InvalidInputError: there is none of that name.
        """
        return metric_named(name, self.metrics, field_name)

    def variant(self, name: str) -> Variant:
        """Return a variant by name; the caller got the name from this definition."""
        return next(variant for variant in self.variants if variant.name == name)

    def models_of(self, variant: Variant) -> frozenset[str]:
        """Return the model versions that a variant, or the sides that it interleaves, name."""
        sides = (variant, *map(self.variant, variant.interleaves))
        return frozenset(side.model_version for side in sides if side.model_version)

    def allocation(self) -> Allocation:
        """Return what assignment needs to know."""
        return Allocation(
            experiment_id=f"{self.name}.{self.version}",
            salt=self.salt,
            layer=self.layer,
            buckets=self.buckets,
            variants=tuple(variant.name for variant in self.arms),
            shares=tuple(variant.share for variant in self.arms),
            overrides=self.overrides,
        )


def _check_names(experiment: Experiment) -> None:
    for label, name in (("name", experiment.name), ("layer", experiment.layer)):
        if not NAME_PATTERN.fullmatch(name):
            raise InvalidInputError(label, _NAME_RULE)
    if experiment.layer == HOLDOUT:
        raise InvalidInputError("layer", f"must not be {HOLDOUT!r}")
    for label, text in (("hypothesis", experiment.hypothesis), ("owner", experiment.owner)):
        if not text.strip() or len(text) > 2000:
            raise InvalidInputError(label, "must be given, in at most 2000 characters")
    if "|" in experiment.salt:
        raise InvalidInputError("salt", "must not contain the separator |")
    if experiment.unit != "user":
        raise InvalidInputError("unit", "must be user")


def _check_variants(variants: tuple[Variant, ...]) -> None:
    names = [variant.name for variant in variants]
    if len(set(names)) != len(names) or not 2 <= len(names) <= 20:
        raise InvalidInputError("variants", "must be 2 to 20 with different names, control first")
    for place, variant in enumerate(variants):
        label = f"variants.{place}"
        if not NAME_PATTERN.fullmatch(variant.name):
            raise InvalidInputError(f"{label}.name", _NAME_RULE)
        if not 0 <= variant.share <= 1:
            raise InvalidInputError(f"{label}.share", "must lie between 0 and 1")
        override(RankingConfig(), variant.overrides, prefix=f"{label}.overrides.")
        _check_interleaving(label, variant, names)
    if abs(sum(variant.share for variant in variants) - 1.0) > 1e-9:
        raise InvalidInputError("variants", "must have shares that add up to 1")
    if variants[0].share == 0 or sum(variant.share > 0 for variant in variants) < 2:
        raise InvalidInputError("variants", "must give control and one other variant a share")
    mentioned = {name for variant in variants for name in variant.interleaves}
    idle = [v.name for v in variants if v.share == 0 and v.name not in mentioned]
    if idle:
        raise InvalidInputError("variants", f"must give {', '.join(idle)} a share")


def _check_interleaving(label: str, variant: Variant, names: list[str]) -> None:
    sides = variant.interleaves
    if not sides:
        return
    if len(sides) != 2 or len(set(sides)) != 2 or variant.name in sides:
        raise InvalidInputError(f"{label}.interleaves", "must name two other variants")
    if not set(sides) <= set(names):
        raise InvalidInputError(f"{label}.interleaves", "names a variant that does not exist")
    if variant.overrides or variant.model_version:
        raise InvalidInputError(f"{label}.overrides", "must be empty: the two sides have them")


def _check_metrics(experiment: Experiment) -> None:
    if not experiment.primary_metrics:
        raise InvalidInputError("primary_metrics", "must name at least one metric")
    for name in experiment.primary_metrics:
        if experiment.metric(name, "primary_metrics").grouped:
            raise InvalidInputError("primary_metrics", f"{name} exists for groups, not readers")
    for name in experiment.secondary_metrics:
        experiment.metric(name, "secondary_metrics")
    for place, spec in enumerate(experiment.guardrails):
        experiment.metric(spec.metric, f"guardrails.{place}.metric")
        if not 0 <= spec.margin < (1 if spec.relative else float("inf")):
            raise InvalidInputError(f"guardrails.{place}.margin", "must be 0 or more, a share < 1")


def _check_segments(segments: tuple[str, ...]) -> None:
    if len(segments) > MOST_SEGMENTS or len(set(segments)) < len(segments):
        raise InvalidInputError(
            "segments", f"must name at most {MOST_SEGMENTS} attributes, each once"
        )
    for place, name in enumerate(segments):
        if not ATTRIBUTE_NAME.fullmatch(name):
            raise InvalidInputError(f"segments.{place}", "must be the name of an attribute")


def _check_numbers(experiment: Experiment) -> None:
    days, least = experiment.planned_days, experiment.minimum_days
    rules = (
        ("traffic", 0.0 < experiment.traffic <= 1.0, "must be more than 0 and at most 1"),
        (
            "holdout_share",
            0.0 <= experiment.holdout_share < 1.0,
            "must be at least 0 and less than 1",
        ),
        (
            "minimum_effect",
            0.0 < experiment.minimum_effect <= 10.0,
            "must be more than 0 and at most 10",
        ),
        (
            "planned_readers",
            1 <= experiment.planned_readers <= 10**10,
            "must lie between 1 and 10 billion",
        ),
        ("planned_days", 1 <= days <= LONGEST_DAYS, "must lie between 1 and 366"),
        ("minimum_days", 1 <= least <= days, "must lie between 1 and planned_days"),
        ("pre_days", 0 <= experiment.pre_days <= 90, "must lie between 0 and 90"),
        ("alpha", 0.0001 <= experiment.alpha <= 0.2, "must lie between 0.0001 and 0.2"),
        (
            "power",
            experiment.alpha < experiment.power < 1.0,
            "must be more than alpha and less than 1",
        ),
        ("version", experiment.version >= 1, "must be 1 or more"),
        ("revision", experiment.revision >= 1, "must be 1 or more"),
    )
    for name, holds, rule in rules:
        if not holds:
            raise InvalidInputError(name, rule)


_NAME_RULE = "must be 1 to 64 lower-case letters, digits, - or _, starting with a letter or digit"
