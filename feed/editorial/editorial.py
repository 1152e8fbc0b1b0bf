"""Editorial: everything that the newsroom has decided, as web processes follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feed.editorial.boosts import Boost
from feed.editorial.editorial_limits import Limit, limit_from_json
from feed.editorial.setting_changes import SettingChange, read_changes

BOOSTS, LIMITS, RANKING = "boosts", "limits", "ranking"
"""Names of the values in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Editorial:
    """What the newsroom has decided.

    Attributes:
        boosts: By article id.
        limits: On front pages.
        ranking: Changed settings of the ranking, by name.
        versions: How often each value was written; a change is made to the version that was read.
    """

    boosts: Mapping[str, Boost] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    ranking: Mapping[str, SettingChange] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)


def editorial_from_store(values: Mapping[str, tuple[int, Any]]) -> Editorial:
    """Return what `EditorialPart.read_editorial` gave: version and value by name."""

    def value(name: str) -> Any:
        return values.get(name, (0, {}))[1]

    return Editorial(
        boosts={b["article_id"]: Boost(**b) for b in value(BOOSTS) or ()},
        limits=tuple(limit_from_json(one) for one in value(LIMITS)),
        ranking=read_changes(value(RANKING)),
        versions={name: version for name, (version, _) in values.items()},
    )
