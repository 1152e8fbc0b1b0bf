"""The environment of the processes that a service starts."""

from __future__ import annotations

import os

from feed.config import Settings
from feed.environment import settings_to_environment
from feed.storage.lifeline import LEAN_HEAP


def environment_of_child(settings: Settings) -> dict[str, str]:
    """Return the environment of a child process that is to have these settings."""
    given = settings_to_environment(settings)
    single_threaded = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **single_threaded, **LEAN_HEAP, **given}
