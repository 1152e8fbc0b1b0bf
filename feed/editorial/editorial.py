"""Editorial: everything that the newsroom has decided, as web processes follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from feed.domain import InvalidInputError
from feed.editorial.boosts import Boost, boost_from_json
from feed.editorial.editorial_limits import Limit, check_limits, limit_from_json
from feed.editorial.setting_changes import SettingChange, read_changes

BOOSTS, LIMITS, RANKING = "boosts", "limits", "ranking"
"""Names of the values in the store."""
Item = TypeVar("Item")

log = structlog.get_logger("feed.editorial")


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
    """Return what `EditorialPart.read_editorial` gave: version and value by name.

    A boost or limit that cannot be read is left out, so that it stops no feed.
    """

    def value(name: str) -> Any:
        return values.get(name, (0, {}))[1]

    return Editorial(
        boosts={boost.article_id: boost for boost in _readable(value(BOOSTS), boost_from_json)},
        limits=tuple(_readable(value(LIMITS), _limit)),
        ranking=read_changes(value(RANKING)),
        versions={name: version for name, (version, _) in values.items()},
    )


def _readable(stored: Any, read: Callable[[Any], Item]) -> Iterator[Item]:
    """Yield what can be read of a stored list; nothing if it is none."""
    for one in stored if isinstance(stored, list) else ():
        try:
            yield read(one)
        except (InvalidInputError, KeyError, TypeError, ValueError):
            log.warning("decision_unreadable", stored=f"{one!r}"[:200])


def _limit(one: Any) -> Limit:
    limit = limit_from_json(one)
    check_limits([limit])
    return limit
