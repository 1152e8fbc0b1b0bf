"""Opens an installation's store for the duration of a command."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
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
        raise _no_installation(folder)
    settings = replace(settings, data_dir=folder)
    prepare_data_dir(settings)
    return settings


def _no_installation(folder: Path) -> InvalidInputError:
    return InvalidInputError(
        "--data", f"there is no installation in {folder}; give the directory of one"
    )


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
def open_store(settings: Settings, *, make: bool = True) -> Iterator[RedisStore]:
    """Give the store: the configured one, the private one that is running, or start that one.

    Args:
        settings: of the installation.
        make: whether a directory that has no store gets one.

    Raises:
        InvalidInputError: it has none, and must not get one.
        ConflictError: another process runs the private store, which does not answer.
        StoreUnavailableError: the private store does not start.
    """
    with reachable(settings, make=make) as found:
        patience_ms = max(found.store_timeout_ms, PATIENCE_MS)
        with closing(RedisStore(replace(found, store_timeout_ms=patience_ms))) as store:
            yield store


@contextmanager
def reachable(settings: Settings, *, make: bool = True) -> Iterator[Settings]:
    """Give the settings with the address of the store that `open_store` gives."""
    with ExitStack() as stack:
        if not settings.redis_url:
            if not make and not (settings.data_dir / "store").is_dir():
                raise _no_installation(settings.data_dir)
            embedded = EmbeddedStore.from_settings(settings)
            settings = replace(settings, redis_url=_run_or_share(embedded, stack))
        yield settings


def _run_or_share(embedded: EmbeddedStore, stack: ExitStack) -> str:
    """Return the address of a private store that runs until the stack is closed.

    `feed serve` may run it, or another command, which may just be starting or stopping it.
    """
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while True:
        try:
            embedded.start()
        except ConflictError:
            if address := _share(embedded, stack):
                return address
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            stack.callback(embedded.stop_when_unused)
            return embedded.url


def _share(embedded: EmbeddedStore, stack: ExitStack) -> str:
    shared = embedded.share()
    if shared is None:
        return ""
    address = embedded.found()
    if address:
        stack.enter_context(shared)
    else:
        shared.close()
    return address
