"""The ranking settings in force: those of the environment, with the newsroom's changes above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from feed.config import RankingConfig
from feed.domain import InvalidInputError
from feed.editorial.setting_changes import EVERY_CHANGE, SettingChange
from feed.models.ranker import default_ranker
from feed.models.schema import FEATURES, feature_index
from feed.setting_fields import check_ranges, documented, override

WEIGHT = "weights."
"""How the name of a single weight begins, before the feature."""


@dataclass(frozen=True, slots=True)
class SettingsInForce:
    """What feeds are ranked with where no experiment says otherwise.

    Attributes:
        config: Every setting.
        base: What the environment says.
        changes: The newsroom's changes that hold, by name; a weight is named `weights.FEATURE`.
        faults: Stored changes that cannot be used: the rule that each breaks, by name.
    """

    config: RankingConfig
    base: RankingConfig
    changes: Mapping[str, SettingChange] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def put_in_force(base: RankingConfig, stored: Mapping[str, SettingChange]) -> SettingsInForce:
    """Return the settings in force; a stored change that breaks a rule is left out.

    Args:
        base: What the environment says.
        stored: The newsroom's changes, by name.
    """
    config, faults = base, {}
    for name, change in stored.items():
        try:
            config = with_values(config, {name: change.value})
        except InvalidInputError as error:
            faults[name] = "cannot be read" if name == EVERY_CHANGE else error.rule
    held = {name: change for name, change in stored.items() if name not in faults}
    return SettingsInForce(config, base, held, faults)


def with_values(config: RankingConfig, values: Mapping[str, Any]) -> RankingConfig:
    """Return settings with some values replaced, by the rules that the environment obeys.

    Args:
        config: What holds for every setting that is not named.
        values: By name; a weight is named `weights.FEATURE`.

    Raises:
        InvalidInputError: names the setting and the rule.
    """
    weights = {n.removeprefix(WEIGHT): v for n, v in values.items() if n.startswith(WEIGHT)}
    plain = {name: value for name, value in values.items() if not name.startswith(WEIGHT)}
    changed = override(config, plain)
    check_ranges(changed, plain)
    if weights:
        read = override(RankingConfig(), {"weights": weights}).weights
        changed = replace(changed, weights={**config.weights, **read})
    default_ranker(changed.weights)
    return changed


def value_of(config: RankingConfig, name: str) -> Any:
    """Return the value of a setting or of a single weight.

    Raises:
        InvalidInputError: there is no such setting.
    """
    feature = name.removeprefix(WEIGHT)
    if name.startswith(WEIGHT) and feature in feature_index():
        return config.weights.get(feature, FEATURES[feature_index()[feature]].weight)
    if name.startswith(WEIGHT):
        raise InvalidInputError(name, "is not a feature")
    if name not in {one.name for one in documented(config)}:
        raise InvalidInputError(name, "is not a setting")
    return getattr(config, name)
