"""What a machine knows of the published models without waiting for an object store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from feed.domain import BundleError
from feed.models.bundle import read_manifest
from feed.models.registry import ModelRegistry
from feed.storage.data_place import DataPlaceError
from feed.storage.working_copy import remote_of

LISTED = ".listed.json"
"""The file of a working copy that holds the list as it was last fetched."""


@dataclass(frozen=True, slots=True)
class KnownModels:
    """The published models.

    Attributes:
        models: What is known of each, the newest first, each with `live`, as `ModelRegistry.list`.
        live: The version that serves, None before there is one.
        earlier: The versions that were live before it, the latest last.
        at: When the list was read, epoch seconds: the present moment, unless the models are in an
            object store.
    """

    models: Sequence[Mapping[str, Any]]
    live: str | None
    earlier: tuple[str, ...]
    at: float


def read_known_models(directory: Path, now: float) -> KnownModels:
    """Return the models in a directory, or as `fetch_list` last found them in the object store.

    Which one is live is as new as the working copy's pointer, which is looked at more often.

    Args:
        directory: of the models.
        now: epoch seconds.

    Raises:
        DataPlaceError: the object store has not answered since this machine began to ask it.
    """
    registry = ModelRegistry(directory, follows=True)
    live = registry.live_version()
    if remote_of(directory) is None:
        return KnownModels(registry.list(), live, registry.earlier(), now)
    listed = _read_list(directory)
    if listed is None:
        raise DataPlaceError("the object store with the models has not answered yet; try again")
    models = {one["version"]: one | {"live": one["version"] == live} for one in listed["models"]}
    if live is not None and live not in models:  # it was published after that
        models = {live: _manifest(directory, live) | {"live": True}} | models
    earlier = registry.earlier(models)
    return KnownModels(tuple(models.values()), live, earlier, float(listed["at"]))


def fetch_list(directory: Path, now: float) -> None:
    """Read the list from the object store, if there is one, and keep it in the working copy.

    Args:
        directory: of the models.
        now: epoch seconds.

    Raises:
        DataPlaceError: the object store does not answer.
    """
    if remote_of(directory) is None:
        return
    before = _read_list(directory) or {"models": ()}
    known = {one["version"]: one for one in before["models"] if "error" not in one}
    models = ModelRegistry(directory, follows=True).list(known)
    aside = directory / f"{LISTED}.{os.getpid()}"
    aside.write_bytes(orjson.dumps({"at": now, "models": models}))
    aside.replace(directory / LISTED)


def _read_list(directory: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = orjson.loads((directory / LISTED).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _manifest(directory: Path, version: str) -> dict[str, Any]:
    try:
        return read_manifest(directory / version)
    except BundleError as error:
        return {"version": version, "error": str(error)}
