"""The export of everything that is held on one reader."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from feed.config import Settings
from feed.domain import ArchiveError
from feed.service.services import Services

ARCHIVE_SECONDS = 60.0


def export_reader(user_id: str, services: Services) -> dict[str, Any]:
    """Return what the store and the archive hold on a reader, JSON-ready.

    Raises:
        StoreUnavailableError: the store does not answer.
        ArchiveError: the archive cannot be read.
    """
    held = services.store.export_reader(user_id)
    ids = [held["user_id"], *held["merged_ids"]]
    return {
        "user_id": held["user_id"],
        "store": held,
        "archive": read_archive(ids, services.settings),
    }


def read_archive(ids: Sequence[str], settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Return a reader's archived rows by table.

    `ids` are the reader's and those merged into it.

    A process of its own reads them, so that no web process ever holds DuckDB's memory.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    directory = str(settings.data_dir / "archive")
    command = [sys.executable, "-m", "feed.storage.archive_export", directory]
    try:
        result = subprocess.run(  # noqa: S603 - our own module; the ids go in by standard input
            command,
            input=orjson.dumps(ids),
            capture_output=True,
            check=True,
            timeout=ARCHIVE_SECONDS,
            env=dict(os.environ),
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ArchiveError("the archive cannot be read now") from error
    tables: dict[str, list[dict[str, Any]]] = orjson.loads(result.stdout)
    return tables
