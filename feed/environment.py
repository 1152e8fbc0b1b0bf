"""Settings as variables of the environment: read at the start, and given to child processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.setting_fields import check_ranges, documented, override
from feed.zones import read_zone

RANKING_PREFIX = "FEED_RANKING_"
"""How the names of an installation's ranking parameters begin in the environment."""


def settings_from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings named `FEED_<NAME>` in `environ`, defaults for the rest.

    Raises:
        InvalidInputError: a value does not have the setting's type or is out of range, or a name
            that begins with `FEED_RANKING_` is not that of a ranking parameter.
    """
    given = {
        f.name: environ[f"FEED_{f.name.upper()}"]
        for f in documented(Settings)
        if f"FEED_{f.name.upper()}" in environ
    }
    settings = override(Settings(), given, prefix="FEED_", upper=True)
    check_ranges(settings, given, "FEED_", upper=True)
    try:
        read_zone(settings.time_zone)
    except InvalidInputError as error:
        raise InvalidInputError("FEED_TIME_ZONE", error.rule) from None
    return replace(settings, ranking=_ranking_from_environment(environ))


def misspelt_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return variables that are no settings, by name, each with the setting that it resembles.

    Where that setting is there, too, the variable is taken to be meant: `FEED_API_KEY` is what the
    commands send, and `FEED_API_KEYS` what the service takes.
    """
    known = [f"FEED_{f.name.upper()}" for f in documented(Settings)]
    others = [n for n in environ if n.startswith("FEED_") and not n.startswith(RANKING_PREFIX)]
    found = {n: get_close_matches(n, known, 1, 0.88) for n in others if n not in known}
    return {name: near[0] for name, near in found.items() if near and near[0] not in environ}


def _ranking_from_environment(environ: Mapping[str, str]) -> RankingConfig:
    given: dict[str, Any] = {
        name.removeprefix(RANKING_PREFIX).lower(): text
        for name, text in environ.items()
        if name.startswith(RANKING_PREFIX)
    }
    if "weights" in given:
        given["weights"] = _read_object(f"{RANKING_PREFIX}WEIGHTS", given["weights"])
    config = override(RankingConfig(), given, prefix=RANKING_PREFIX, upper=True)
    check_ranges(config, given, RANKING_PREFIX, upper=True)
    return config


def _read_object(label: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise InvalidInputError(label, 'must be JSON such as {"age_published": -2}') from None


def plugins_from_environment(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names in `FEED_PLUGINS`, which are needed before any other setting is read."""
    names = (name.strip() for name in environ.get("FEED_PLUGINS", "").split(","))
    return tuple(name for name in names if name)


def settings_to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which `settings_from_environment` makes these settings."""
    own = {f"FEED_{f.name.upper()}": getattr(settings, f.name) for f in documented(Settings)}
    ranking = settings.ranking
    own |= {RANKING_PREFIX + f.name.upper(): getattr(ranking, f.name) for f in documented(ranking)}
    return {name: _environment_text(value) for name, value in own.items()}


def _environment_text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
