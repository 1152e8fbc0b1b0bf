"""Which reader an archived id belongs to, according to all identity records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_files import fetch_files, table_files
from feed.storage.archive_schema import IDENTITIES, IDENTITIES_TABLE, quoted

LOGGED = "logged_user_id"
"""Column of the views `events` and `served` with the reader's id as it was logged."""

_READERS, _GIVEN_UP = "identity_readers", "identity_given_up"

_MERGES = f"""
SELECT from_id, to_id, epoch_us(merged_at) / 1e6, keeps_unit_of FROM {IDENTITIES}
WHERE from_id <> '' AND to_id <> '' ORDER BY {IDENTITIES_TABLE.order}
"""


@dataclass(frozen=True, slots=True)
class LoggedMerge:
    """One id that was merged into another reader, `at` epoch seconds.

    `keeps_unit_of` says which of the two ids (`from` or `to`) continued in the experiments.
    """

    from_id: str
    to_id: str
    at: float
    keeps_unit_of: str


@dataclass(frozen=True, slots=True)
class Identities:
    """The result of all merges.

    `reader_of` maps each merged id to the reader to whom it belongs in the end. `given_up` maps
    each id whose experiment unit was given up to the time of that (epoch seconds). Anything that
    was logged under such an id before then may come from a variant that is not the reader's own.
    """

    reader_of: Mapping[str, str]
    given_up: Mapping[str, float]


def read_merges(connection: duckdb.DuckDBPyConnection) -> list[LoggedMerge]:
    """Return the merges in a table or view `identities`, oldest first."""
    return [LoggedMerge(*row) for row in connection.execute(_MERGES).fetchall()]


def put_together(merges: Iterable[LoggedMerge]) -> Identities:
    """Return the result of merges, which are given oldest first."""
    reader_of: dict[str, str] = {}
    given_up: dict[str, float] = {}
    ids_of: dict[str, list[str]] = {}
    for merge in merges:
        leaving = reader_of.get(merge.from_id, merge.from_id)
        reader = reader_of.get(merge.to_id, merge.to_id)
        if leaving == reader:
            continue
        mine, others = ids_of.pop(leaving, [leaving]), ids_of.pop(reader, [reader])
        losing = mine if merge.keeps_unit_of == "to" else others
        given_up |= dict.fromkeys(losing, merge.at)
        ids_of[reader] = others + mine
        reader_of |= dict.fromkeys(mine, reader)
    return Identities(reader_of, given_up)


def create_identities(connection: duckdb.DuckDBPyConnection) -> bool:
    """Create the tables that `one_reader` and `of_unit` join; return whether they hold any id."""
    found = put_together(read_merges(connection))
    tables: tuple[tuple[str, str, str, Mapping[str, object]], ...] = (
        (_READERS, "reader", "VARCHAR", found.reader_of),
        (_GIVEN_UP, "until", "DOUBLE", found.given_up),
    )
    for name, column, kind, values in tables:
        connection.execute(
            f"CREATE TEMP TABLE {name} AS"
            f" SELECT unnest($ids::VARCHAR[]) AS id, unnest($values::{kind}[]) AS {column}",
            {"ids": [*values], "values": [*values.values()]},
        )
    return bool(found.reader_of)


def as_logged(source: str) -> str:
    """Return a source of rows in which every reader has one id."""
    return f"SELECT *, user_id AS {LOGGED} FROM ({source})"


def one_reader(source: str) -> str:
    """Return a source of rows with readers in place of the ids merged into them."""
    return (
        f"SELECT s.* REPLACE (coalesce(r.reader, s.user_id) AS user_id), s.user_id AS {LOGGED}"
        f" FROM ({source}) AS s LEFT JOIN {_READERS} AS r ON r.id = s.user_id"
    )


def of_unit(source: str, time: str, *, kept: bool) -> str:
    """Return the rows of `one_reader` or `as_logged` by the unit they came from.

    Args:
        source: such rows, as a query.
        time: the column that says when a row was.
        kept: return those of the unit that each reader has in the end; else those of units that
            were given up.
    """
    is_kept = f"(g.until IS NULL OR epoch(s.{time}) >= g.until)"
    return (
        f"SELECT s.* FROM ({source}) AS s LEFT JOIN {_GIVEN_UP} AS g ON g.id = s.{LOGGED}"
        f" WHERE {is_kept if kept else f'NOT {is_kept}'}"
    )


def with_merged_ids(archive_dir: Path, user_ids: Collection[str]) -> set[str]:
    """Return readers and every id that identity records say was merged into one of them."""
    found = set(user_ids)
    paths = fetch_files(archive_dir, table_files(archive_dir, IDENTITIES))
    if not paths:
        return found
    with open_duckdb() as connection:
        source = f"read_parquet({quoted(map(str, paths))}, union_by_name = true)"
        connection.execute(f"CREATE VIEW {IDENTITIES} AS SELECT * FROM {source}")
        merges = read_merges(connection)
    merged_into: dict[str, list[str]] = {}
    for merge in merges:
        merged_into.setdefault(merge.to_id, []).append(merge.from_id)
    waiting = [*found]
    while waiting:
        new = [one for one in merged_into.get(waiting.pop(), ()) if one not in found]
        found.update(new)
        waiting += new
    return found
