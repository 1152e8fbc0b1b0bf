"""The export of everything that is held on one reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feed.config import Settings
from feed.domain import format_time
from feed.service.archive_process import ask_archive
from feed.service.services import Services
from feed.storage.key_names import AUDIT_MAX

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
        "looked_at": [format_time(at) for at in _looks(ids, services)],
    }


def _looks(ids: Sequence[str], services: Services) -> list[float]:
    """Return when somebody of the newsroom looked at a reader, the last time first."""
    subjects = tuple(f"readers/{user_id}" for user_id in ids)
    entries = services.store.read_audit(AUDIT_MAX, subjects)
    return [entry.at for entry in entries if entry.subject in subjects]


def read_archive(ids: Sequence[str], settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Return a reader's archived rows by table.

    `ids` are the reader's and those merged into it.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    directory = str(settings.data_dir / "archive")
    tables: dict[str, list[dict[str, Any]]] = ask_archive(
        "feed.storage.archive_export", ids, directory, limit_s=ARCHIVE_SECONDS
    )
    return tables
