"""`feed backup` and `feed restore`: copy a whole installation to a directory, and restore it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store, reachable
from feed.commands.parameters import PATH
from feed.config import Settings
from feed.domain import InvalidInputError, StoreUnavailableError
from feed.storage.installation_backup import (
    BackupReport,
    backup,
    backup_to_url,
    restore,
    restore_from_url,
)
from feed.storage.working_copy import is_object_url

data_option = click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")


@click.command("backup")
@click.argument("target")
@data_option
def backup_command(target: str, data: Path | None) -> None:
    """Copy store, archive and models of an installation into the new directory TARGET.

    The installation may keep serving. TARGET appears only when the copy is complete. It may also
    be an empty place of an object store, such as s3://bucket/backups/monday.
    """
    with one_line_errors(), _answering(chosen_settings(data)) as settings:
        at_url = is_object_url(target)
        with Console(stderr=True).status("copying the installation"):
            report = backup_to_url(settings, target) if at_url else backup(settings, Path(target))
        _tell("saved", report)


@click.command("restore")
@click.argument("source")
@data_option
def restore_command(source: str, data: Path | None) -> None:
    """Restore the backup SOURCE, a directory or the URL of one, into an empty installation.

    Nothing is overwritten: the store must be empty, and the data directory must hold no archive
    and no models. The directory is made if it does not exist. A backup of which a file is missing
    or has changed is refused.
    """
    with one_line_errors():
        at_url = is_object_url(source)
        if not at_url and not (source and Path(source).is_dir()):
            raise InvalidInputError("SOURCE", f"must be a directory or a URL, not {source!r}")
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
        with _answering(chosen_settings(data)) as settings:
            with Console(stderr=True).status("checking the backup and restoring it"):
                found = restore_from_url(settings, source) if at_url else None
                report = found or restore(settings, Path(source))
            _tell("restored", report)


@contextmanager
def _answering(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with the address of a store that answers."""
    with reachable(settings) as found, open_store(found) as store:
        try:
            store.ping()
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"no store answers at {found.redis_url}") from error
        yield found


def _tell(done: str, report: BackupReport) -> None:
    megabytes = report.size_bytes / 1e6
    click.echo(
        f"{done} {report.records} store records and {report.files} files, {megabytes:.1f} MB"
    )
