"""Which plugins this process uses: those of the packages that the setting names, and no others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution
from typing import Any, cast

from feed.domain import FeedError, InvalidInputError
from feed.environment import plugins_from_environment
from feed.plugins.protocols import (
    GROUPS,
    PluginFeature,
    PluginRanker,
    PluginRule,
    PluginSource,
)

SETTING = "FEED_PLUGINS"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WANTED: dict[str, dict[str, type]] = {
    "feed.candidates": {"name": str, "reason": str},
    "feed.features": {"name": str, "doc": str, "weight": float, "neutral": float},
    "feed.rankers": {"name": str},
    "feed.rules": {"name": str},
}
_METHODS = {
    "feed.candidates": ("propose",),
    "feed.features": ("compute",),
    "feed.rankers": ("fit", "load"),
    "feed.rules": ("apply",),
}


class PluginError(FeedError):
    """A plugin raised an error, or returned what it must not."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins in use, in the order of the setting; `ranker` is None for the built-in trees."""

    sources: tuple[PluginSource, ...] = ()
    features: tuple[PluginFeature, ...] = ()
    rules: tuple[PluginRule, ...] = ()
    ranker: PluginRanker | None = None


@cache
def active_plugins() -> Plugins:
    """Return the plugins that `FEED_PLUGINS` names, made once for the life of the process.

    Raises:
        InvalidInputError: a name is that of no installed package or plugin.
        PluginError: a plugin cannot be made, or does not keep to its protocol.
    """
    return load_plugins(plugins_from_environment())


def load_plugins(names: Sequence[str]) -> Plugins:
    """Return new plugins.

    Args:
        names: of packages, or `package:plugin` for one plugin of a package.

    Raises:
        InvalidInputError: a name is that of no installed package or plugin.
        PluginError: a plugin cannot be made, or does not keep to its protocol.
    """
    made: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for entry in find_entries(names):
        plugin = make_plugin(entry)
        if plugin.name in made[entry.group]:
            raise PluginError(f"two plugins are a {GROUPS[entry.group]} named {plugin.name}")
        made[entry.group][plugin.name] = plugin
    sources, features, rankers, rules = (tuple(of.values()) for of in made.values())
    if len(rankers) > 1:
        found = ", ".join(ranker.name for ranker in rankers)
        raise InvalidInputError(SETTING, f"may name one ranker, not {found}")
    return Plugins(sources, features, rules, next(iter(rankers), None))


def find_entries(names: Sequence[str], groups: Collection[str] = GROUPS) -> Iterator[EntryPoint]:
    """Yield the entry points of plugins that names stand for.

    Args:
        names: of packages, or `package:plugin`.
        groups: of the entry points that count.

    Raises:
        InvalidInputError: a name is that of no installed package or plugin.
    """
    for name in names:
        package, _, wanted = name.partition(":")
        entries = [entry for entry in _package(package).entry_points if entry.group in groups]
        found = [entry for entry in entries if wanted in {"", entry.name}]
        if not found:
            what = f"no plugin {wanted}" if wanted else "no plugins"
            raise InvalidInputError(SETTING, f"the package {package} has {what}")
        yield from found


def _package(name: str) -> Distribution:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        raise InvalidInputError(SETTING, f"no package {name!r} is installed") from None


def make_plugin(entry: EntryPoint) -> Any:
    """Return a new plugin after a look at its attributes.

    Raises:
        PluginError: it cannot be made, or lacks what its protocol asks for.
    """
    label = f"{GROUPS[entry.group]} {entry.name}"
    try:
        plugin = entry.load()()
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"{label} cannot be made: {type(error).__name__}: {error}") from error
    for name, kind in _WANTED[entry.group].items():
        value = getattr(plugin, name, None)
        is_fit = isinstance(value, (int, float) if kind is float else kind)
        if not is_fit or isinstance(value, bool) or value == "":
            what = "a number" if kind is float else "a text"
            raise PluginError(f"{label}: {name} must be {what}")
    if not _NAME.fullmatch(cast("str", plugin.name)):
        raise PluginError(f"{label}: name must be lower-case letters, digits and _")
    for name in _METHODS[entry.group]:
        if not callable(getattr(plugin, name, None)):
            raise PluginError(f"{label} has no method {name}")
    return plugin
