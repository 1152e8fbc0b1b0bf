"""The settings and variants that one request gets from all running experiments together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from feed.config import RankingConfig, override
from feed.experiments.design.assignment import HELD_OUT, assign
from feed.experiments.design.definitions import Experiment, Variant


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
            reader is kept out by the holdout, so that reports can compare with them.
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
    unit: str = "",
    personalized: bool = True,
    platform: str = "",
    language: str = "",
    section: str = "",
) -> Resolution:
    """Return what a reader's request gets from the running experiments.

    Args:
        experiments: The running ones.
        user_id: The reader.
        base: The installation's ranking settings.
        unit: What decides the reader's variants; the reader's own id if empty.
        personalized: Whether the reader allows personalization; others are in no experiment.
        platform: Of the request, for audience filters.
        language: Of the request.
        section: Of the request.

    Returns:
        The variants and the settings; depends on nothing but the arguments.
    """
    answer = Resolution({}, base)
    for experiment in experiments:
        admitted = experiment.audience.admits(platform=platform, language=language, section=section)
        if not admitted and user_id not in experiment.overrides:
            continue
        found = assign(
            user_id,
            experiment.allocation(),
            unit=unit,
            personalized=personalized,
            holdout_share=experiment.holdout_share,
        )
        if found.variant is not None:
            answer = _apply(answer, experiment, experiment.variant(found.variant))
        elif found.why == "holdout":
            answer = replace(answer, variants=answer.variants | {experiment.name: HELD_OUT})
    return answer


def _apply(answer: Resolution, experiment: Experiment, variant: Variant) -> Resolution:
    variants = answer.variants | {experiment.name: variant.name}
    config = override(answer.config, variant.overrides)
    model = variant.model_version or answer.model_version
    if not variant.interleaves:
        return replace(answer, variants=variants, config=config, model_version=model)
    first, second = (
        Side(side.name, override(answer.config, side.overrides), side.model_version or model)
        for side in map(experiment.variant, variant.interleaves)
    )
    return replace(
        answer, variants=variants, interleaving=(first, second), interleaved_by=experiment.name
    )
