"""The lifecycle of an experiment in the store: create, start, stop, override for tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from feed.config import Settings
from feed.domain import (
    BundleError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    check_id,
)
from feed.experiments.design.assignment import free_buckets
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment, Status
from feed.experiments.design.design_rules import check_design
from feed.models.registry import ModelRegistry
from feed.storage.control_part import ControlPart

DEFAULTS = Settings()

_DEFINITION, _EARLIER = "definition", "earlier"
"""A stored record: the current definition and those it replaced, oldest first."""


def parse_experiments(stored: dict[str, dict[str, Any]]) -> dict[str, Experiment]:
    """Return the current version of every experiment as `ControlPart.read_experiments` gave it."""
    return {name: _current(data) for name, data in sorted(stored.items())}


def read_experiments(store: ControlPart) -> dict[str, Experiment]:
    """Return the current version of every experiment by name."""
    return parse_experiments(store.read_experiments())


def running_experiments(experiments: Iterable[Experiment]) -> tuple[Experiment, ...]:
    """Return those that take effect, in the order of their names."""
    running = (e for e in experiments if e.status is Status.RUNNING)
    return tuple(sorted(running, key=lambda e: e.name))


def read_experiment(store: ControlPart, name: str, version: int | None = None) -> Experiment:
    """Return one experiment, its current version or an earlier one.

    Raises:
        NotFoundError: there is no such experiment or version.
    """
    current, earlier = _read(store, name)
    if version in {None, current.version}:
        return current
    for data in earlier:
        if data["version"] == version:
            return experiment_from_json(data)
    raise NotFoundError(f"experiment {name} has no version {version}")


def read_started(store: ControlPart, name: str) -> Experiment:
    """Return the newest version of an experiment that has started: the one to report on.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: no version of it has started.
    """
    current, earlier = _read(store, name)
    for experiment in (current, *(experiment_from_json(data) for data in reversed(earlier))):
        if experiment.started_at:
            return experiment
    raise ConflictError(f"experiment {name} has not started: there is nothing to report")


def create_experiment(
    store: ControlPart, design: Experiment, *, now: float, settings: Settings = DEFAULTS
) -> Experiment:
    """Register a design: new, in place of a draft, or as the next version of a stopped one.

    Args:
        store: Where definitions live.
        design: The definition; its status, times, version and buckets are set here.
        now: Epoch seconds.
        settings: Of the installation.

    Returns:
        The definition as stored, a draft.

    Raises:
        ConflictError: the experiment is running: what started is frozen until it is stopped.
        InvalidInputError: nothing could be learnt from the design (see `design_rules`).
    """
    check_design(design, settings)
    stored = store.read_experiments()
    version, revision, excluded = 1, 1, {*design.excluded, *design.overrides}
    earlier: list[dict[str, Any]] = []
    if design.name in stored:
        present = _current(stored[design.name])
        earlier = list(stored[design.name].get(_EARLIER, []))
        if present.status is Status.RUNNING:
            raise ConflictError(
                f"experiment {design.name} is running and frozen; stop it, then create the change"
                " as a new version"
            )
        if present.status is Status.STOPPED:
            earlier.append(experiment_to_json(present))
        version = present.version + (present.status is Status.STOPPED)
        revision = present.revision + 1
        excluded |= set(present.excluded)
    draft = replace(
        design,
        version=version,
        revision=revision,
        status=Status.DRAFT,
        created_at=now,
        started_at=0.0,
        stopped_at=0.0,
        buckets=(0, 0),
        excluded=tuple(sorted(excluded)),
    )
    _write(store, draft, earlier)
    return draft


def start_experiment(
    store: ControlPart, name: str, *, registry: ModelRegistry, now: float
) -> Experiment:
    """Let a draft take effect, in a free range of its layer.

    Args:
        store: Where definitions live.
        name: Of the experiment.
        registry: Of the models that its variants may name.
        now: Epoch seconds.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is no draft, its layer has no room, another running experiment changes
            the same setting for the same readers, interleaves too, or has another holdout, or no
            model is live that could be pinned.
        InvalidInputError: a variant names a model that cannot be loaded.
    """
    experiments = read_experiments(store)
    draft, earlier = _read(store, name)
    if draft.status is not Status.DRAFT:
        raise ConflictError(f"experiment {name} is {draft.status}, only a draft can start")
    others = running_experiments(experiments.values())
    _check_neighbours(draft, others)
    draft = _with_models(draft, registry)
    taken = [other.buckets for other in others if other.layer == draft.layer]
    buckets = free_buckets(taken, draft.traffic, f"{draft.salt}|{name}|{draft.version}")
    if buckets is None:
        raise ConflictError(
            f"layer {draft.layer} has no room for {draft.traffic:.2%} of its readers beside "
            + ", ".join(other.name for other in others if other.layer == draft.layer)
        )
    return _advance(store, draft, earlier, status=Status.RUNNING, started_at=now, buckets=buckets)


def stop_experiment(store: ControlPart, name: str, *, now: float) -> Experiment:
    """End a running experiment; its readers get the installation's ranking from now on.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is not running.
    """
    running, earlier = _read(store, name)
    if running.status is not Status.RUNNING:
        raise ConflictError(f"experiment {name} is {running.status}, only a running one can stop")
    return _advance(store, running, earlier, status=Status.STOPPED, stopped_at=now)


def set_override(store: ControlPart, name: str, user_id: str, variant: str | None) -> Experiment:
    """Show one reader a chosen variant for testing; None takes the override back.

    The reader never enters the analysis, not even after the override is gone.

    Raises:
        NotFoundError: there is no such experiment.
        InvalidInputError: the experiment has no such variant, or the id is malformed.
    """
    check_id("user_id", user_id)
    present, earlier = _read(store, name)
    if variant is not None and variant not in {arm.name for arm in present.arms}:
        raise InvalidInputError("variant", "must name a variant that readers are dealt to")
    overrides = {u: v for u, v in present.overrides.items() if u != user_id}
    if variant is not None:
        overrides[user_id] = variant
    excluded = tuple(sorted({*present.excluded, user_id}))
    return _advance(store, present, earlier, overrides=overrides, excluded=excluded)


def named_models(experiments: Iterable[Experiment]) -> frozenset[str]:
    """Return the model versions that running and planned experiments name."""
    present = (e for e in experiments if e.status is not Status.STOPPED)
    return frozenset(v.model_version for e in present for v in e.variants if v.model_version)


def _with_models(draft: Experiment, registry: ModelRegistry) -> Experiment:
    """Return a draft whose models were checked, and pinned to the live one if it asks for that."""
    if draft.pin_model:
        live = registry.live_version()
        if live is None:
            raise ConflictError("pin_model: there is no live model to pin")
        draft = replace(
            draft,
            variants=tuple(
                v if v.interleaves else replace(v, model_version=v.model_version or live)
                for v in draft.variants
            ),
        )
    for place, variant in enumerate(draft.variants):
        if variant.model_version:
            try:
                registry.load(variant.model_version)
            except (NotFoundError, BundleError) as error:
                raise InvalidInputError(f"variants.{place}.model_version", str(error)) from error
    return draft


def _check_neighbours(draft: Experiment, others: tuple[Experiment, ...]) -> None:
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


def _advance(
    store: ControlPart, present: Experiment, earlier: list[dict[str, Any]], **changes: Any
) -> Experiment:
    following = replace(present, revision=present.revision + 1, **changes)
    _write(store, following, earlier)
    return following


def _write(store: ControlPart, experiment: Experiment, earlier: list[dict[str, Any]]) -> None:
    data = {_DEFINITION: experiment_to_json(experiment), _EARLIER: earlier}
    store.write_experiment(experiment.name, data, version=experiment.revision)


def _read(store: ControlPart, name: str) -> tuple[Experiment, list[dict[str, Any]]]:
    stored = store.read_experiments()
    if name not in stored:
        raise NotFoundError(f"there is no experiment named {name}")
    return _current(stored[name]), list(stored[name].get(_EARLIER, []))


def _current(data: dict[str, Any]) -> Experiment:
    return experiment_from_json(data[_DEFINITION])
