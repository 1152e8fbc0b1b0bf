"""Ranking settings as people read and write them on the desk: slots are counted from 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feed.config import RankingConfig
from feed.ranking.settings_in_force import WEIGHT
from feed.service.setting_lines import SettingLine
from feed.setting_fields import LEAST, documented

_BY_NAME = {one.name: one for one in documented(RankingConfig)}


def title_of(name: str) -> str:
    """Return what people call a setting; a weight is named `weights.FEATURE`."""
    one = _BY_NAME.get(name)
    if one is not None:
        return str(one.metadata["title"])
    return f"Weight of {name.removeprefix(WEIGHT).replace('_', ' ')}"


def value_text(name: str, value: Any) -> str:
    """Return the value of a setting as people read it and as the desk's forms send it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{one} {number:g}" for one, number in value.items()) or "none"
    return f"{value + 1 if _is_slot(name) else value:.10g}"


def wire_text(name: str, text: str) -> str:
    """Return what people wrote as the API takes it; what is no whole number stays as it is."""
    is_slot = _is_slot(name) and text.isascii() and text.isdecimal()
    return str(int(text) - 1) if is_slot else text


def range_text(line: SettingLine) -> str:
    """Return the range of a setting in words."""
    if line.kind == "flag":
        return "yes or no"
    only = _BY_NAME[line.name].metadata["only"] if line.name in _BY_NAME else ()
    if only:
        return " or ".join(f"{number:g}" for number in only)
    if line.most is None or line.least is None:
        return "any number"
    if line.least == 0 and _BY_NAME[line.name].metadata["between"][0] == LEAST:
        return f"more than 0, up to {line.most:,g}"
    shift = _is_slot(line.name)
    return f"{line.least + shift:g} to {line.most + shift:,g}"


def rule_text(name: str, rule: str) -> str:
    """Return the rule that a value breaks; of a slot, with its range as people count."""
    if not _is_slot(name):
        return rule
    low, high = _BY_NAME[name].metadata["between"]
    return f"must be a whole number from {low + 1:g} to {high + 1:g}"


def _is_slot(name: str) -> bool:
    return name in _BY_NAME and bool(_BY_NAME[name].metadata["is_slot"])
