"""The lifecycle of an experiment in the store: create, start, stop, archive, override for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from feed.config import Settings
from feed.domain import (
    BundleError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    check_id,
)
from feed.experiments.design.assignment import BUCKETS, free_buckets
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment, Status
from feed.experiments.design.design_rules import check_design
from feed.experiments.design.neighbours import check_neighbours
from feed.experiments.design.stored_experiments import (
    Act,
    StoredExperiment,
    advance,
    audit_entry,
    essentials,
    find_stored,
    parse_stored,
    write_stored,
)
from feed.experiments.design.traffic import TrafficStep, count_buckets
from feed.models.registry import ModelRegistry
from feed.storage.control_part import ControlPart

DEFAULTS = Settings()


def parse_experiments(stored: Mapping[str, dict[str, Any]]) -> dict[str, Experiment]:
    """Return the current version of every experiment as `ControlPart.read_experiments` gave it."""
    return {name: parse_stored(data).current for name, data in sorted(stored.items())}


def read_experiments(store: ControlPart) -> dict[str, Experiment]:
    """Return the current version of every experiment by name."""
    return parse_experiments(store.read_experiments())


def running_experiments(experiments: Iterable[Experiment]) -> tuple[Experiment, ...]:
    """Return those that take effect, in the order of their names."""
    running = (e for e in experiments if e.status is Status.RUNNING)
    return tuple(sorted(running, key=lambda e: e.name))


def listed_experiments(
    experiments: Iterable[Experiment], *, archived: bool = False, status: Status | None = None
) -> list[Experiment]:
    """Return those that a list shows: with `archived`, these too; with `status`, only such."""
    return [e for e in experiments if (archived or not e.archived) and status in {None, e.status}]


def read_experiment(store: ControlPart, name: str, version: int | None = None) -> Experiment:
    """Return one experiment, its current version or an earlier one.

    Raises:
        NotFoundError: there is no such experiment or version.
    """
    found = find_stored(store.read_experiments(), name)
    if version in {None, found.current.version}:
        return found.current
    for data in found.earlier:
        if data["version"] == version:
            return experiment_from_json(data)
    raise NotFoundError(f"experiment {name} has no version {version}")


def read_reported(store: ControlPart, name: str, version: int | None = None) -> Experiment:
    """Return the version of an experiment to report on: by default the newest that has started.

    Raises:
        NotFoundError: there is no such experiment or version.
        ConflictError: no version of it has started.
    """
    if version is not None:
        return read_experiment(store, name, version)
    found = find_stored(store.read_experiments(), name)
    for experiment in (found.current, *map(experiment_from_json, reversed(found.earlier))):
        if experiment.started_at:
            return experiment
    raise ConflictError(f"experiment {name} has not started: there is nothing to report")


def create_experiment(
    store: ControlPart, design: Experiment, *, now: float, by: str, settings: Settings = DEFAULTS
) -> Experiment:
    """Register a design: new, in place of a draft, or as the next version of a stopped one.

    Args:
        store: Where definitions live.
        design: The definition, a draft; its times, version and buckets are set here.
        now: Epoch seconds.
        by: Who does it, for the audit log.
        settings: Of the installation.

    Returns:
        The definition as stored, a draft.

    Raises:
        ConflictError: the experiment is running: what started is frozen until it is stopped.
        InvalidInputError: it is no draft, or nothing could be learnt from it (see `design_rules`).
    """
    if design.status is not Status.DRAFT:
        raise InvalidInputError("status", "must be draft or left out: an experiment starts later")
    check_design(design, settings)
    excluded = {*design.excluded, *design.overrides}
    stored = store.read_experiments()
    if design.name not in stored:
        draft = _drafted(design, now=now, excluded=tuple(sorted(excluded)))
        entry = audit_entry(Act("created", by, now), draft.name, None, essentials(draft))
        write_stored(store, StoredExperiment(draft), entry)
        return draft
    found = parse_stored(stored[design.name])
    present, earlier = found.current, found.earlier
    if present.status is Status.RUNNING:
        raise ConflictError(
            f"experiment {design.name} is running and frozen; stop it, then create the change"
            " as a new version"
        )
    is_stopped = present.status is Status.STOPPED
    if is_stopped:
        earlier = (*earlier, experiment_to_json(present))
    draft = _drafted(
        design,
        now=now,
        version=present.version + is_stopped,
        excluded=tuple(sorted(excluded | {*present.excluded})),
    )
    act = Act("created" if is_stopped else "changed", by, now)
    changes = {f.name: getattr(draft, f.name) for f in fields(draft) if f.name != "revision"}
    return advance(store, StoredExperiment(present, earlier), act, **changes)


def duplicate_experiment(
    store: ControlPart,
    name: str,
    new_name: str,
    *,
    now: float,
    by: str,
    settings: Settings = DEFAULTS,
) -> Experiment:
    """Register the design of an experiment as a draft of another name.

    Test overrides stay behind, and with them the readers who are never analysed.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: there is an experiment of the new name.
        InvalidInputError: the new name is malformed, or as `create_experiment`.
    """
    stored = store.read_experiments()
    source = find_stored(stored, name).current
    design = replace(source, name=new_name, overrides={}, excluded=())
    if new_name in stored:
        raise ConflictError(f"there is an experiment named {new_name} already")
    check_design(design, settings)
    draft = _drafted(design, now=now)
    told = {"copy_of": name, **essentials(draft)}
    entry = audit_entry(Act("duplicated", by, now), new_name, None, told)
    write_stored(store, StoredExperiment(draft), entry)
    return draft


def start_experiment(
    store: ControlPart, name: str, *, registry: ModelRegistry, now: float, by: str
) -> Experiment:
    """Let a draft take effect, in a free range of its layer.

    The range is as large as the largest planned traffic; the first part of it is open from now on.

    Args:
        store: Where definitions live.
        name: Of the experiment.
        registry: Of the models that its variants may name.
        now: Epoch seconds.
        by: Who does it, for the audit log.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is no draft, or archived, its layer has no room, another running
            experiment changes the same setting for the same readers, interleaves too, or has
            another holdout, or no model is live that could be pinned.
        InvalidInputError: a variant names a model that cannot be loaded.
    """
    stored = store.read_experiments()
    present = find_stored(stored, name)
    draft = present.current
    if draft.status is not Status.DRAFT:
        raise ConflictError(f"experiment {name} is {draft.status}, only a draft can start")
    if draft.archived:
        raise ConflictError(f"experiment {name} is archived: take it out of the archive first")
    others = running_experiments(parse_experiments(stored).values())
    check_neighbours(draft, others)
    draft = _with_models(draft, registry)
    beside = [other for other in others if other.layer == draft.layer]
    seed = f"{draft.salt}|{name}|{draft.version}"
    reserved = free_buckets([other.held for other in beside], draft.planned_traffic, seed)
    if reserved is None:
        raise ConflictError(
            f"layer {draft.layer} has no room for {draft.planned_traffic:.2%} of its readers"
            f" beside {', '.join(other.name for other in beside)}"
        )
    size = count_buckets(draft.traffic)
    return advance(
        store,
        present,
        Act("started", by, now),
        relies_on=stored,
        variants=draft.variants,
        status=Status.RUNNING,
        started_at=now,
        reserved=reserved,
        buckets=(reserved[0], reserved[0] + size),
        steps=(TrafficStep(now, size / BUCKETS),),
    )


def stop_experiment(store: ControlPart, name: str, *, now: float, by: str) -> Experiment:
    """End a running experiment; its readers get the installation's ranking from now on.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is not running.
    """
    present = find_stored(store.read_experiments(), name)
    if present.current.status is not Status.RUNNING:
        raise ConflictError(
            f"experiment {name} is {present.current.status}, only a running one can stop"
        )
    return advance(store, present, Act("stopped", by, now), status=Status.STOPPED, stopped_at=now)


def archive_experiment(store: ControlPart, name: str, *, now: float, by: str) -> Experiment:
    """Hide a draft or a stopped experiment from lists; nothing is deleted.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is running, or archived already.
    """
    present = find_stored(store.read_experiments(), name)
    if present.current.status is Status.RUNNING:
        raise ConflictError(f"experiment {name} is running: stop it before it is archived")
    if present.current.archived:
        raise ConflictError(f"experiment {name} is archived already")
    return advance(store, present, Act("archived", by, now), archived=True)


def unarchive_experiment(store: ControlPart, name: str, *, now: float, by: str) -> Experiment:
    """Show an archived experiment in lists again.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: it is not archived.
    """
    present = find_stored(store.read_experiments(), name)
    if not present.current.archived:
        raise ConflictError(f"experiment {name} is not archived")
    return advance(store, present, Act("unarchived", by, now), archived=False)


def set_override(
    store: ControlPart, name: str, user_id: str, variant: str | None, *, now: float, by: str
) -> Experiment:
    """Show one reader a chosen variant for testing; None takes the override back.

    The reader never enters the analysis, not even after the override is gone. The audit log names
    the variant and not the reader, so an erasure need not touch the entry.

    Raises:
        NotFoundError: there is no such experiment, or no override to take back.
        ConflictError: the experiment is stopped, and takes no further overrides.
        InvalidInputError: the experiment has no such variant, or the id is malformed.
    """
    check_id("user_id", user_id)
    present = find_stored(store.read_experiments(), name)
    experiment = present.current
    if experiment.status is Status.STOPPED and variant is not None:
        raise ConflictError(f"experiment {name} is stopped: it takes no test overrides")
    if variant is None and user_id not in experiment.overrides:
        raise NotFoundError(f"experiment {name} has no test override for {user_id}")
    if variant is not None and variant not in {arm.name for arm in experiment.arms}:
        raise InvalidInputError("variant", "must name a variant that readers are dealt to")
    overrides = {u: v for u, v in experiment.overrides.items() if u != user_id}
    if variant is not None:
        overrides[user_id] = variant
    return advance(
        store,
        present,
        Act("override removed" if variant is None else "override set", by, now),
        told=({"variant": experiment.overrides.get(user_id)}, {"variant": variant}),
        overrides=overrides,
        excluded=tuple(sorted({*experiment.excluded, user_id})),
    )


def named_models(experiments: Iterable[Experiment]) -> frozenset[str]:
    """Return the model versions that running and planned experiments name."""
    present = (e for e in experiments if e.status is not Status.STOPPED and not e.archived)
    return frozenset(v.model_version for e in present for v in e.variants if v.model_version)


def _drafted(design: Experiment, *, now: float, **changes: Any) -> Experiment:
    """Return a design as a draft of its first version, with nothing that a start decides."""
    fresh: dict[str, Any] = {
        "version": 1,
        "revision": 1,
        "status": Status.DRAFT,
        "created_at": now,
        "started_at": 0.0,
        "stopped_at": 0.0,
        "buckets": (0, 0),
        "reserved": (0, 0),
        "steps": (),
        "archived": False,
    }
    return replace(design, **{**fresh, **changes})


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
