"""Rules for new designs: one from which nothing could be learnt is refused before it is stored.

They do not apply to what was stored before a rule existed, which must still be read and reported.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.experiments.design.assignment import BUCKETS
from feed.experiments.design.definitions import Experiment, StoppingRule, Variant
from feed.experiments.design.metrics import METRICS
from feed.experiments.statistics.sequential import DEFAULT_BURN_IN
from feed.setting_fields import check_ranges, override

LEAST_EFFECT = 0.001
"""Smallest `minimum_effect`: reports show shares to a tenth of a percent."""

SHARED_SETTINGS = frozenset({"trending_half_life_minutes"})
"""Ranking settings that the worker uses for all readers, so that no variant can change them."""


def check_design(design: Experiment, settings: Settings) -> None:
    """Refuse a design that cannot tell its arms apart, or whose data would be gone too soon.

    Args:
        design: The definition.
        settings: Of the installation: its ranking, and how long the archive keeps events.

    Raises:
        InvalidInputError: names the field and the rule.
    """
    if design.name == "new":
        raise InvalidInputError(
            "name", "must not be new: the form for experiments is at that address"
        )
    _check_sizes(design)
    _check_metrics_named_once(design)
    _check_roles_of_metrics(design)
    _check_overrides(design, settings.ranking)
    _check_arms_differ(design, settings.ranking)
    retention_days = settings.retention_days
    days = design.pre_days + design.planned_days
    if retention_days and days > retention_days:
        raise InvalidInputError(
            "planned_days",
            f"and pre_days together must be at most the {retention_days} days that the archive"
            f" keeps, not {days}",
        )


def _check_sizes(design: Experiment) -> None:
    readers = round(design.traffic * BUCKETS)
    if not readers:
        raise InvalidInputError("traffic", f"must be at least {1 / BUCKETS}")
    for place, variant in enumerate(design.variants):
        if variant.share and not round(variant.share * BUCKETS):
            raise InvalidInputError(
                f"variants.{place}.share", f"must be 0 or at least {1 / BUCKETS}"
            )
    if design.minimum_effect < LEAST_EFFECT:
        raise InvalidInputError("minimum_effect", f"must be at least {LEAST_EFFECT}")
    if design.stopping_rule is StoppingRule.SEQUENTIAL:
        least = math.ceil(DEFAULT_BURN_IN / min(arm.share for arm in design.arms))
        if design.planned_readers < least:
            rule = f"must be at least {least}, so that every variant gets {DEFAULT_BURN_IN} readers"
            raise InvalidInputError("planned_readers", rule)


def _check_metrics_named_once(design: Experiment) -> None:
    named = {
        "primary_metrics": design.primary_metrics,
        "secondary_metrics": design.secondary_metrics,
        "guardrails": tuple(spec.metric for spec in design.guardrails),
    }
    for label, names in named.items():
        if len(set(names)) < len(names):
            raise InvalidInputError(label, "must name each metric once")
    both = sorted({*design.primary_metrics} & {*design.secondary_metrics})
    if both:
        raise InvalidInputError("secondary_metrics", f"must not name {both[0]}, which is primary")


def _check_roles_of_metrics(design: Experiment) -> None:
    for name in design.metrics.keys() & METRICS.keys():
        raise InvalidInputError(f"metrics.{name}", "must not have the name of a built-in metric")
    deciding = [("primary_metrics", name) for name in design.primary_metrics]
    for place, spec in enumerate(design.guardrails):
        deciding.append((f"guardrails.{place}.metric", spec.metric))
    for label, name in deciding:
        if design.metric(name, label).better == "neither":
            rule = f"must not name {name}: neither direction of it is better; name it as secondary"
            raise InvalidInputError(label, rule)


def _check_overrides(design: Experiment, base: RankingConfig) -> None:
    for place, variant in enumerate(design.variants):
        prefix = f"variants.{place}.overrides."
        for name in SHARED_SETTINGS & variant.overrides.keys():
            raise InvalidInputError(prefix + name, "cannot differ between variants")
        check_ranges(override(base, variant.overrides), variant.overrides, prefix)


def _check_arms_differ(design: Experiment, base: RankingConfig) -> None:
    if design.equal_arms:
        return
    for variant in design.variants:
        if len({_served(side, base) for side in map(design.variant, variant.interleaves)}) == 1:
            rule = "must name two variants that are served differently"
            raise InvalidInputError(f"variants.{_place(design, variant)}.interleaves", rule)
    for one, other in combinations(design.arms, 2):
        if _served(one, base) == _served(other, base):
            rule = (
                f"must differ from {one.name} in a setting, the model or what is interleaved;"
                " for an A/A test, set equal_arms"
            )
            raise InvalidInputError(f"variants.{_place(design, other)}", rule)


def _served(variant: Variant, base: RankingConfig) -> tuple[Any, ...]:
    """Return what decides how a variant is served; equal for variants that are served alike."""
    config = override(base, variant.overrides)
    return repr(config), variant.model_version, frozenset(variant.interleaves)


def _place(design: Experiment, variant: Variant) -> int:
    return design.variants.index(variant)
