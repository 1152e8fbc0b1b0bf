"""`feed export`: data of an installation for other tools."""

from __future__ import annotations

import time
from pathlib import Path

import click

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import FILE_TO_WRITE, PATH
from feed.domain import parse_time
from feed.experiments.design.lifecycle import read_reported
from feed.experiments.judgement.reader_table import export_readers
from feed.features.sections import read_aliases


@click.group("export")
def export() -> None:
    """Write data of the installation for notebooks and other tools."""


@export.command()
@click.argument("experiment")
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option(
    "--out",
    type=FILE_TO_WRITE,
    help="File to write; by default EXPERIMENT-readers.parquet.",
)
@click.option("--with-ids", is_flag=True, help="Write readers' ids instead of pseudonyms.")
@click.option("--to", "end", help="End of the window, exclusive; by default the stop, or now.")
@click.option("--version", "version", type=int, help="An earlier version of the experiment.")
@click.option(
    "--memory-mb",
    type=click.IntRange(min=1),
    default=1500,
    show_default=True,
    help="Memory of the query, MB.",
)
def readers(
    experiment: str,
    data: Path | None,
    out: Path | None,
    with_ids: bool,  # noqa: FBT001 - click's signature
    end: str | None,
    version: int | None,
    memory_mb: int,
) -> None:
    """Write one row per reader of EXPERIMENT as Parquet, to check its report with your own tools.

    docs/reference/archive.md explains the columns. Identifiers are pseudonyms that cannot be
    turned back. The file is yours to keep or delete: when a reader is erased from the installation,
    it does not change.
    """
    target = out or Path(f"{experiment}-readers.parquet")
    with one_line_errors():
        settings = chosen_settings(data)
        with open_store(settings, make=False) as store:
            chosen = read_reported(store, experiment, version)
        count = export_readers(
            settings.data_dir,
            chosen,
            target,
            now=time.time(),
            with_ids=with_ids,
            time_zone=settings.time_zone,
            section_aliases=read_aliases(settings.section_aliases),
            to_at=parse_time("--to", end) if end else None,
            memory_mb=memory_mb,
        )
    click.echo(f"{target}: {count} readers")
