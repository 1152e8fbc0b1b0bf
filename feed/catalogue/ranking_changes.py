"""Changes the ranking settings of the whole installation, and takes such a change back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from feed.config import RankingConfig, Settings
from feed.domain import ConflictError, InvalidInputError, format_time
from feed.editorial.editorial import RANKING, editorial_from_store
from feed.editorial.setting_changes import SettingChange
from feed.ranking.settings_in_force import (
    WEIGHT,
    SettingsInForce,
    put_in_force,
    value_of,
    with_values,
)
from feed.storage.editorial_part import EditorialPart
from feed.storage.records import AuditEntry

SUBJECT = "settings/ranking"
_WEIGHTS = WEIGHT.rstrip(".")


def read_in_force(store: EditorialPart, base: RankingConfig) -> SettingsInForce:
    """Return the ranking settings in force.

    Args:
        store: Where the changes are.
        base: What the environment says.
    """
    return put_in_force(base, editorial_from_store(store.read_editorial()).ranking)


def settings_in_force(store: EditorialPart, settings: Settings) -> Settings:
    """Return an installation's settings with the newsroom's changes of the ranking."""
    return replace(settings, ranking=read_in_force(store, settings.ranking).config)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a change asks for: `config` as it would be, and `values` by name, None: taken back."""

    config: RankingConfig
    values: Mapping[str, Any]


def read_wanted(present: SettingsInForce, patch: Mapping[str, Any]) -> Wanted:
    """Return what a JSON Merge Patch (RFC 7396) of the settings asks for.

    Args:
        present: The settings in force.
        patch: Values by name; None takes a change back. `weights` is an object of them.

    Raises:
        InvalidInputError: names the setting and the rule.
    """
    values = _flat(present, patch)
    for name in values:
        value_of(present.base, name)  # refuses unknown names
    held = {name: change.value for name, change in present.changes.items() if name not in values}
    given = {name: value for name, value in values.items() if value is not None}
    config = with_values(with_values(present.base, held), given)
    return Wanted(
        config, {n: None if v is None else value_of(config, n) for n, v in values.items()}
    )


def change_ranking(
    store: EditorialPart,
    base: RankingConfig,
    patch: Mapping[str, Any],
    *,
    now: float,
    by: str,
    version: int | None = None,
    action: str = "changed",
) -> AuditEntry | None:
    """Change ranking settings; a value that the environment gives anyway is no change any more.

    Args:
        store: Where the changes are.
        base: What the environment says.
        patch: As in `read_wanted`.
        now: Epoch seconds.
        by: Who does it.
        version: Of the stored changes that the caller has seen; None: whatever is there.
        action: For the audit log.

    Returns:
        The entry of the audit log; None if everything was so already.

    Raises:
        InvalidInputError: names the setting and the rule.
        ConflictError: somebody else changed a setting meanwhile.
    """
    editorial = editorial_from_store(store.read_editorial())
    held = editorial.versions.get(RANKING, 0)
    if version not in {None, held}:
        raise ConflictError("the settings were changed meanwhile: look at them again")
    present = put_in_force(base, editorial.ranking)
    wanted = read_wanted(present, patch)
    after = dict(present.changes)
    for name, value in wanted.values.items():
        after.pop(name, None)
        if value is not None and value != value_of(base, name):
            after[name] = SettingChange(value=value, at=now, by=by)
    before = {n: value_of(present.config, n) for n in wanted.values}
    left = {n: value_of(wanted.config, n) for n in wanted.values}
    if before == left and after.keys() == editorial.ranking.keys():
        return None
    moved = [n for n in before if before[n] != left[n]] or list(before)
    entry = AuditEntry(
        now, by, action, SUBJECT, {n: before[n] for n in moved}, {n: left[n] for n in moved}
    )
    stored = {name: change.to_json() for name, change in after.items()}
    store.write_editorial(RANKING, stored, version=held + 1, entry=entry)
    return entry


def undo_ranking_change(
    store: EditorialPart, base: RankingConfig, entry: AuditEntry, *, now: float, by: str
) -> AuditEntry:
    """Give settings the values back that they had before an entry of the audit log.

    Raises:
        ConflictError: one of them was changed since.
    """
    editorial = editorial_from_store(store.read_editorial())
    present = put_in_force(base, editorial.ranking)
    for name, left in (entry.after or {}).items():
        value = value_of(present.config, name)
        if value != left:
            raise ConflictError(f"{name} was changed since{_by_whom(present, name)}: it is {value}")
    done = change_ranking(
        store,
        base,
        nested(entry.before or {}),
        now=now,
        by=by,
        version=editorial.versions.get(RANKING, 0),
        action="changed back",
    )
    if done is None:
        raise ConflictError("the settings are already as they were before")
    return done


def _by_whom(present: SettingsInForce, name: str) -> str:
    change = present.changes.get(name)
    return f" by {change.by} at {format_time(change.at)}" if change else ""


def _flat(present: SettingsInForce, patch: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in patch.items():
        if name != _WEIGHTS:
            flat[name] = value
        elif value is None:
            flat |= {changed: None for changed in present.changes if changed.startswith(WEIGHT)}
        elif isinstance(value, Mapping):
            flat |= {f"{WEIGHT}{feature}": weight for feature, weight in value.items()}
        else:
            raise InvalidInputError(name, "must be an object of numbers")
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name as a patch, in which weights are an object of their own."""
    weights = {n.removeprefix(WEIGHT): v for n, v in flat.items() if n.startswith(WEIGHT)}
    plain = {name: value for name, value in flat.items() if not name.startswith(WEIGHT)}
    return plain | ({_WEIGHTS: weights} if weights else {})
