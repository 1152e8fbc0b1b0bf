"""Experiments as the store holds them: read, and written together with who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from feed.domain import NotFoundError
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment
from feed.storage.control_part import ControlPart
from feed.storage.records import AuditEntry

SUBJECTS = "experiments/"
"""What the subjects of audit entries about experiments begin with, before the name."""

_DEFINITION, _EARLIER = "definition", "earlier"
_ESSENTIALS = ("version", "hypothesis", "owner", "variants", "traffic")
_NOT_AUDITED = {"revision", "created_at", "overrides", "excluded"}
"""What a change in the audit log leaves out: a counter, its own time, and the ids of readers."""
_LONGEST = 500
"""Characters of one value in the audit log; longer ones are cut."""

Stored = Mapping[str, dict[str, Any]]
"""Every record by name, as `ControlPart.read_experiments` gives them."""


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """One record: the present definition, and those it replaced as JSON, oldest first."""

    current: Experiment
    earlier: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """Who does what to an experiment, and when (epoch seconds)."""

    action: str
    by: str
    now: float


def parse_stored(data: dict[str, Any]) -> StoredExperiment:
    """Return one record as `ControlPart.read_experiments` gave it."""
    return StoredExperiment(experiment_from_json(data[_DEFINITION]), tuple(data.get(_EARLIER, ())))


def find_stored(stored: Stored, name: str) -> StoredExperiment:
    """Return the record of an experiment.

    Raises:
        NotFoundError: there is none.
    """
    if name not in stored:
        raise NotFoundError(f"there is no experiment named {name}")
    return parse_stored(stored[name])


def advance(
    store: ControlPart,
    present: StoredExperiment,
    act: Act,
    *,
    told: tuple[dict[str, Any], dict[str, Any]] | None = None,
    relies_on: Stored | None = None,
    **changes: Any,
) -> Experiment:
    """Write a changed definition together with its entry in the audit log.

    Args:
        store: Where definitions live.
        present: What is changed.
        act: For the audit log.
        told: What the audit log says was before and is after; by default the fields that changed.
        relies_on: Records that must not have changed since they were read, if the change depends
            on other experiments.
        **changes: New values of fields.

    Raises:
        ConflictError: somebody else changed it, or one of `relies_on`, meanwhile.
    """
    before = present.current
    after = replace(before, revision=before.revision + 1, **changes)
    entry = audit_entry(act, after.name, *(told or _differences(before, after)))
    write_stored(store, replace(present, current=after), entry, relies_on)
    return after


def write_stored(
    store: ControlPart,
    record: StoredExperiment,
    entry: AuditEntry,
    relies_on: Stored | None = None,
) -> None:
    """Write a record and an entry of the audit log; both or neither.

    Raises:
        ConflictError: as `advance`.
    """
    current = record.current
    data = {_DEFINITION: experiment_to_json(current), _EARLIER: list(record.earlier)}
    writes = None if relies_on is None else sum(other["version"] for other in relies_on.values())
    store.write_experiment(current.name, data, version=current.revision, entry=entry, writes=writes)


def audit_entry(
    act: Act, name: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> AuditEntry:
    """Return the audit log's entry on an experiment."""
    return AuditEntry(act.now, act.by, act.action, f"{SUBJECTS}{name}", before, after)


def essentials(experiment: Experiment) -> dict[str, Any]:
    """Return what the audit log says of a new design."""
    data = experiment_to_json(experiment)
    return {name: _cut(data[name]) for name in _ESSENTIALS}


def _differences(before: Experiment, after: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    old, new = experiment_to_json(before), experiment_to_json(after)
    names = [name for name in new if name not in _NOT_AUDITED and old[name] != new[name]]
    return {name: _cut(old[name]) for name in names}, {name: _cut(new[name]) for name in names}


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return value if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
