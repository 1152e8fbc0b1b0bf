"""Opens an installation's store for the duration of a command."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from feed.config import Settings
from feed.domain import ConflictError, InvalidInputError
from feed.environment import settings_from_environment
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.storage.working_copy import LOCAL_URL, prepare_data_dir

PATIENCE_MS = 10_000
"""How long a command waits for the store: no reader waits for it."""


def chosen_settings(data: Path | None) -> Settings:
    """Return the settings of the environment, with another data directory if one is named.

    Raises:
        InvalidInputError: the directory does not exist and no object store holds the data, or
            FEED_DATA_URL cannot be used.
    """
    settings = settings_from_environment()
    folder = Path(os.path.realpath(data or settings.data_dir))  # takes links in a circle, too
    if settings.data_url not in {"", LOCAL_URL}:
        folder.mkdir(parents=True, exist_ok=True)  # it holds only copies: a new machine has none
    elif not folder.is_dir():
        raise InvalidInputError("--data", f"no installation is in {folder}; name its directory")
    settings = replace(settings, data_dir=folder)
    prepare_data_dir(settings)
    return settings


def prepare_archive(directory: Path) -> None:
    """Make a data directory, or the archive in one, a working copy if an object store holds it.

    Nothing is done where no object store does.

    Raises:
        InvalidInputError: FEED_DATA_URL cannot be used.
    """
    if settings_from_environment().data_url not in {"", LOCAL_URL}:
        chosen_settings(directory.parent if directory.name == "archive" else directory)


def command_line_user() -> str:
    """Return how the audit log names who runs a command."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        user = str(os.getuid())
    return f"command line ({user})"


@contextmanager
def open_store(settings: Settings) -> Iterator[RedisStore]:
    """Give the store: the configured one, the private one that is running, or start that one."""
    with ExitStack() as stack:
        if not settings.redis_url:
            embedded = EmbeddedStore.from_settings(settings)
            try:
                embedded.start()
                stack.callback(embedded.stop)
            except ConflictError:
                pass  # `feed serve` runs it already: its address is the same
            settings = replace(settings, redis_url=embedded.url)
        patience_ms = max(settings.store_timeout_ms, PATIENCE_MS)
        store = RedisStore(replace(settings, store_timeout_ms=patience_ms))
        stack.callback(store.close)
        yield store
