"""One row per reader of an experiment, as a Parquet file that any tool can check a report by."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from feed.domain import InvalidInputError
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.metrics import PER_READER
from feed.experiments.judgement.analysis import choose_window, open_tables
from feed.experiments.log.exposure import BOT_ACTS_A_MINUTE, segment_column
from feed.experiments.log.summaries import columns_of

_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class ReaderColumn:
    """A column of the file: its name, its SQL over `readers`, and what it means."""

    name: str
    sql: str
    meaning: str


READER_TABLE = (
    ReaderColumn(
        "reader",
        "sha256(getvariable('salt') || user_id)",
        "a pseudonym of this file; with `--with-ids` the reader's id",
    ),
    ReaderColumn("variant", "variant", "that the reader saw first; `(held out)` in the holdout"),
    ReaderColumn("analysed", "analysed", "whether the reader enters the report's estimates"),
    ReaderColumn(
        "left_out",
        "CASE WHEN analysed THEN '' WHEN variants_seen > 1 THEN 'several variants'"
        " WHEN NOT sound THEN 'unknown variant' ELSE 'bot' END",
        "why not: `several variants`, `unknown variant` (not in the definition), `bot`"
        f" ({BOT_ACTS_A_MINUTE} or more acts of one kind in a minute); empty if analysed",
    ),
    ReaderColumn(
        "first_exposed_at", "to_timestamp(first_at)", "first feed that the variant could change"
    ),
    ReaderColumn(
        "first_day",
        "DATE '1970-01-01' + first_day",
        "the day of that feed in the newsroom's time zone",
    ),
    ReaderColumn("platform", "platform", "of that feed"),
    ReaderColumn("language", "language", "of that feed"),
    ReaderColumn("history", "history", "clicks in the days before the start, in three classes"),
    ReaderColumn("seniority", "seniority", "`new` without any act before the start, `returning`"),
    ReaderColumn(
        "favourite_section", "favourite_section", "with most clicks before the start; or empty"
    ),
)
"""The columns of every reader; those of the segments and of each metric follow."""


def export_readers(
    data_dir: Path,
    experiment: Experiment,
    target: Path,
    *,
    now: float,
    with_ids: bool = False,
    time_zone: str = "UTC",
    section_aliases: Mapping[str, str] | None = None,
    to_at: float | None = None,
    memory_mb: int = 1500,
    threads: int = 2,
) -> int:
    """Write one row per exposed reader, from the same tables that the report is made from.

    Identifiers are hashed with a salt that is drawn for this file and kept nowhere, so nobody can
    turn them back, not even with a list of all readers; and rows are in the order of the hashes.

    Args:
        data_dir: The installation's data directory.
        experiment: As registered; it must have started.
        target: File to write; it appears whole or not at all, and only its owner may read it.
        now: Epoch seconds.
        with_ids: Whether to write readers' ids instead of pseudonyms.
        time_zone: IANA name of the newsroom's time zone.
        section_aliases: Further names of sections, key -> name.
        to_at: End of the window, not included; by default the stop or `now`.
        memory_mb: Memory of the query engine before it goes to disk, megabytes.
        threads: Threads of the query engine.

    Returns:
        The number of readers.

    Raises:
        ConflictError: the experiment has not started.
        InvalidInputError: the file cannot be written, or the memory does not suffice.
        ArchiveError: a file of the archive is damaged.
    """
    window = choose_window(experiment, now=now, from_at=None, to_at=to_at, time_zone=time_zone)
    with open_tables(
        data_dir, experiment, window, section_aliases, memory_mb=memory_mb, threads=threads
    ) as (log, _):
        connection = log.connection
        connection.execute("SET VARIABLE salt = ?", [secrets.token_hex(_SALT_BYTES)])
        query = _select(connection, experiment, with_ids=with_ids)
        try:
            _write_whole(connection, query, target)
        except (OSError, duckdb.IOException) as error:
            raise InvalidInputError(
                "--out", f"must be a file that can be written: {error}"
            ) from error
        row = connection.execute("SELECT count(*) FROM readers").fetchone()
    return int(row[0]) if row else 0


def _select(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, *, with_ids: bool
) -> str:
    columns = {column.name: column.sql for column in READER_TABLE}
    if with_ids:
        columns["reader"] = "user_id"
    fields = [f"{sql} AS {name}" for name, sql in columns.items()]
    fields += [segment_column(name) for name in experiment.segments]
    numbers = {}
    own = (metric for metric in experiment.metrics.values() if not metric.grouped)
    for metric in (*PER_READER, *own):
        found = columns_of(connection, metric)
        numbers[f"{metric.name}_numerator"] = found.numerator
        numbers[f"{metric.name}_numerator_before"] = found.covariate
        if metric.denominator:
            numbers[f"{metric.name}_denominator"] = found.denominator
            numbers[f"{metric.name}_denominator_before"] = found.covariate_denominator
    fields += [f"CAST({sql} AS DOUBLE) AS {name}" for name, sql in numbers.items()]
    return f"SELECT {', '.join(fields)} FROM readers ORDER BY 1"  # noqa: S608


def _write_whole(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write beside the target, which is a directory on the same disk, and then rename."""
    with tempfile.TemporaryDirectory(prefix=".feed-export-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        path = str(made).replace("'", "''")
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        made.chmod(0o600)
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        made.replace(target)
