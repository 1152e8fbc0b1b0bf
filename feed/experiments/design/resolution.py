"""The settings and variants that one request gets from all running experiments together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from feed.config import RankingConfig
from feed.experiments.design.assignment import HELD_OUT, NOT_JOINED, assign
from feed.experiments.design.audience import NO_ATTRIBUTES
from feed.experiments.design.definitions import Experiment, Variant
from feed.setting_fields import override


@dataclass(frozen=True, slots=True)
class Side:
    """One of two rankings that are interleaved."""

    name: str
    config: RankingConfig
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """How to rank one request.

    Attributes:
        variants: Variant by experiment name, as the served record keeps it; `HELD_OUT` where the
            reader is kept out by the holdout, so that reports can compare with them, and
            `NOT_JOINED` where the process cannot serve the reader's variant.
        config: The ranking settings after every override.
        model_version: Model to rank with; empty: the live one.
        interleaving: Two rankings to draft into one slate, or none.
        interleaved_by: Name of the experiment that interleaves, or empty.
    """

    variants: dict[str, str]
    config: RankingConfig
    model_version: str = ""
    interleaving: tuple[Side, Side] | None = field(default=None)
    interleaved_by: str = ""


def resolve(
    experiments: Sequence[Experiment],
    user_id: str,
    base: RankingConfig,
    *,
    models: Collection[str] = (),
    unit: str = "",
    personalized: bool = True,
    platform: str = "",
    language: str = "",
    section: str = "",
    attributes: Mapping[str, str] = NO_ATTRIBUTES,
) -> Resolution:
    """Return what a reader's request gets from the running experiments.

    Args:
        experiments: The running ones.
        user_id: The reader.
        base: The installation's ranking settings.
        models: Versions that this process can rank with.
        unit: What decides the reader's variants; the reader's own id if empty.
        personalized: Whether the reader allows personalization; others are in no experiment.
        platform: Of the request, for audience filters.
        language: Of the request.
        section: Of the request.
        attributes: Of the reader, for audience filters.

    Returns:
        The variants and the settings; depends on nothing but the arguments.
    """
    answer = Resolution({}, base)
    interleaving: tuple[Experiment, Variant] | None = None
    for experiment in experiments:
        admitted = experiment.audience.admits(
            platform=platform, language=language, section=section, attributes=attributes
        )
        if not admitted and user_id not in experiment.overrides:
            continue
        found = assign(
            user_id,
            experiment.allocation(),
            unit=unit,
            personalized=personalized,
            holdout_share=experiment.holdout_share,
        )
        if found.why == "holdout":
            answer = _noted(answer, experiment, HELD_OUT)
        if found.variant is None:
            continue
        variant = experiment.variant(found.variant)
        is_second = bool(variant.interleaves and interleaving)
        if is_second or not experiment.models_of(variant) <= {*models}:
            answer = _noted(answer, experiment, NOT_JOINED)
            continue
        answer = _with_settings(_noted(answer, experiment, variant.name), variant)
        if variant.interleaves:
            interleaving = experiment, variant
    return _interleaved(answer, *interleaving) if interleaving else answer


def _noted(answer: Resolution, experiment: Experiment, variant: str) -> Resolution:
    return replace(answer, variants=answer.variants | {experiment.name: variant})


def _with_settings(answer: Resolution, variant: Variant) -> Resolution:
    config = override(answer.config, variant.overrides)
    return replace(
        answer, config=config, model_version=variant.model_version or answer.model_version
    )


def _interleaved(answer: Resolution, experiment: Experiment, variant: Variant) -> Resolution:
    """Give both sides the settings that the other experiments left, then each side its own."""
    first, second = (
        Side(
            side.name,
            override(answer.config, side.overrides),
            side.model_version or answer.model_version,
        )
        for side in map(experiment.variant, variant.interleaves)
    )
    return replace(answer, interleaving=(first, second), interleaved_by=experiment.name)
