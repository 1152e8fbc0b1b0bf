"""The ranking settings one by one: meaning, range, default, value, and who changed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field
from typing import Any, get_type_hints

from feed.config import RankingConfig
from feed.domain import format_time
from feed.editorial.setting_changes import SettingChange
from feed.experiments.design.definitions import Experiment
from feed.models.schema import FEATURES, FeatureSpec
from feed.ranking.settings_in_force import WEIGHT, SettingsInForce, value_of
from feed.setting_fields import documented
from feed.settings_text import KINDS, range_of

Words = tuple[str, str, str]
"""Title, text and plain text of a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """One ranking setting, or one weight of the default linear ranker.

    Attributes:
        name: As the API takes it; a weight is named `weights.FEATURE`.
        title: What people call it.
        text: What it is, and in which unit; of a slot, how the API counts it.
        plain: The same for people, who count slots from 1.
        kind: What it holds: flag, whole or number.
        value: In force.
        default: Where neither the environment nor the newsroom says anything.
        environment: What the environment says; `default` if nothing.
        least: The lowest value that it may have, None without one.
        most: The highest.
        change: Of the newsroom, if there is one.
        experiments: What running experiments set instead, as "EXPERIMENT, VARIANT: VALUE".
    """

    name: str
    title: str
    text: str
    plain: str
    kind: str
    value: Any
    default: Any
    environment: Any
    least: float | None = None
    most: float | None = None
    change: SettingChange | None = None
    experiments: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as the API answers it."""
        change = self.change
        return {
            **{name: getattr(self, name) for name in ("name", "text", "kind", "value")},
            **{name: getattr(self, name) for name in ("default", "environment", "least", "most")},
            "changed_at": format_time(change.at) if change else None,
            "changed_by": change.by if change else None,
            "experiments": list(self.experiments),
        }


def setting_lines(found: SettingsInForce, running: Sequence[Experiment]) -> list[SettingLine]:
    """Return every setting, and after them the weight of every feature.

    Args:
        found: The settings in force.
        running: The running experiments.
    """
    hints = get_type_hints(RankingConfig)
    lines = [
        _line(found, running, one.name, _words_of(one), KINDS[hints[one.name]], range_of(one))
        for one in documented(RankingConfig)
        if hints[one.name] in KINDS
    ]
    weights = [
        _line(found, running, f"{WEIGHT}{one.name}", _words_of_feature(one), "number", {})
        for one in FEATURES
    ]
    return lines + weights


def _line(
    found: SettingsInForce,
    running: Sequence[Experiment],
    name: str,
    words: Words,
    kind: str,
    limits: dict[str, float | None],
) -> SettingLine:
    return SettingLine(
        name=name,
        kind=kind,
        value=value_of(found.config, name),
        default=value_of(RankingConfig(), name),
        environment=value_of(found.base, name),
        change=found.changes.get(name),
        experiments=tuple(_overrides(running, name)),
        title=words[0],
        text=words[1],
        plain=words[2],
        **limits,
    )


def _words_of(one: Field[Any]) -> Words:
    return one.metadata["title"], one.metadata["doc"], one.metadata["text"]


def _words_of_feature(one: FeatureSpec) -> Words:
    title = one.name.replace("_", " ")
    return f"{title[:1].upper()}{title[1:]}", one.doc, one.doc


def _overrides(running: Sequence[Experiment], name: str) -> list[str]:
    """Return which variants of running experiments set a setting to something else."""
    group, _, feature = name.partition(".")
    overrides = []
    for experiment in running:
        for variant in experiment.variants:
            value = variant.overrides.get(group)
            if feature:
                value = (value or {}).get(feature)
            if value is not None:
                overrides.append(f"{experiment.name}, {variant.name}: {value}")
    return overrides
