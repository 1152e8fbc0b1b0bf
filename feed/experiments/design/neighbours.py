"""Which experiments may run at the same time."""

from __future__ import annotations

from collections.abc import Iterable

from feed.domain import ConflictError
from feed.experiments.design.definitions import Experiment


def check_neighbours(draft: Experiment, others: Iterable[Experiment]) -> None:
    """Refuse to start a draft beside running experiments that it would disturb.

    Raises:
        ConflictError: names the experiment and what is in the way.
    """
    changed = _settings_of(draft)
    for other in others:
        if other.layer == draft.layer and other.salt != draft.salt:
            raise ConflictError(
                f"layer {draft.layer} is dealt with another salt by {other.name}; "
                "one layer has one salt"
            )
        if other.salt == draft.salt and other.holdout_share != draft.holdout_share:
            raise ConflictError(
                f"{other.name} holds {other.holdout_share:.2%} of the readers out of every"
                f" experiment, {draft.name} {draft.holdout_share:.2%}: give both the same"
                " holdout_share"
            )
        if other.layer != draft.layer and _interleaves(draft) and _interleaves(other):
            raise ConflictError(
                f"{other.name} in layer {other.layer} interleaves too; "
                "experiments that interleave belong in one layer"
            )
        common = changed & _settings_of(other)
        if other.layer != draft.layer and common:
            raise ConflictError(
                f"{other.name} in layer {other.layer} changes {', '.join(sorted(common))} too; "
                "experiments on one setting belong in one layer"
            )


def _interleaves(experiment: Experiment) -> bool:
    return any(variant.interleaves for variant in experiment.variants)


def _settings_of(experiment: Experiment) -> set[str]:
    changed = {name for variant in experiment.variants for name in variant.overrides}
    if experiment.pin_model or any(variant.model_version for variant in experiment.variants):
        changed.add("model_version")
    return changed
