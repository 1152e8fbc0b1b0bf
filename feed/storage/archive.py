"""Reads the archive: events, served feeds and articles of a time window, as columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from feed.arrays import Columns
from feed.domain import ArchiveError
from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_files import (
    day_name,
    fetch_files,
    reading,
    refresh_files,
    table_files,
)
from feed.storage.archive_identities import (
    LOGGED,
    as_logged,
    create_identities,
    of_unit,
    one_reader,
)
from feed.storage.archive_schema import (
    ARTICLES,
    ARTICLES_TABLE,
    EVENTS,
    EVENTS_TABLE,
    IDENTITIES_TABLE,
    READER_COLUMNS,
    SERVED,
    SERVED_TABLE,
    STREAM_ORDER,
    TABLES,
    Table,
    day_of,
)

DAY_S = 86_400.0
CLOCK_SLACK_S = DAY_S
"""Files are by day of receipt. An event may come any time after it happened, and, by a clock that
is ahead, a little before."""

_TRIES = 5
_TIMES = {EVENTS: "occurred_at", SERVED: "served_at"}
"""Tables of what readers did and were shown, and the column that says when."""


class Archive:
    """The event log of one installation, under `<data_dir>/archive`.

    All times are epoch seconds. A missing or empty archive counts as one without rows.

    Args:
        archive_dir: the directory.
        memory_mb: memory that one query may use before it spills to disk.
        threads: threads of one query.
    """

    def __init__(self, archive_dir: Path, *, memory_mb: int = 2000, threads: int = 2) -> None:
        self._dir = Path(archive_dir)
        self._memory_mb = memory_mb
        self._threads = threads

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self._dir

    def event_columns(
        self,
        from_at: float,
        to_at: float,
        columns: Sequence[str] = (),
        where: str = "",
        parameters: Sequence[Any] = (),
    ) -> Columns:
        """Return the events that occurred in [from_at, to_at), oldest first.

        Args:
            from_at: start of the window.
            to_at: end of the window, exclusive.
            columns: names to return; by default all.
            where: further SQL condition with `?` for each of `parameters`.
            parameters: values of the condition.

        Returns:
            One array for each column, all of one length; times as float64 epoch seconds.

        Raises:
            ArchiveError: a file cannot be read.
        """
        return self._window(EVENTS_TABLE, "occurred_at", from_at, to_at, columns, where, parameters)

    def served_columns(
        self,
        from_at: float,
        to_at: float,
        columns: Sequence[str] = (),
        where: str = "",
        parameters: Sequence[Any] = (),
    ) -> Columns:
        """Return the slots served in [from_at, to_at), oldest first; else as `event_columns`."""
        return self._window(SERVED_TABLE, "served_at", from_at, to_at, columns, where, parameters)

    def articles(self, as_of: float = float("inf")) -> Columns:
        """Return every article as it was last logged before a time, by order of addition.

        `embedding` is an object array of float32 arrays (empty where there is none).
        """
        moment = "" if as_of == float("inf") else f"WHERE logged_at < {_moment(as_of)}"
        fields = _select(ARTICLES_TABLE, ())
        with self.query() as connection:
            return _columns(
                connection.execute(
                    f"SELECT {fields} FROM (SELECT * FROM {ARTICLES} {moment} QUALIFY"
                    " row_number() OVER (PARTITION BY article_id ORDER BY logged_at DESC) = 1)"
                    " ORDER BY added_at, article_id"
                )
            )

    def span(self) -> tuple[float, float] | None:
        """Return when the first and the last event occurred, or None without any."""
        with self.query() as connection:
            low, high = connection.execute(
                f"SELECT epoch_us(min(occurred_at)), epoch_us(max(occurred_at)) FROM {EVENTS}"
            ).fetchall()[0]
        return None if low is None else (low / 1e6, high / 1e6)

    def export_user(
        self, user_id: str, merged_ids: Collection[str] = ()
    ) -> dict[str, list[dict[str, Any]]]:
        """Return every row on a reader, JSON-ready (times in epoch seconds).

        They include rows that were logged under an id that was later merged into the reader,
        unchanged; `merged_ids` names such ids of which no identity record may say so.
        """
        export = {}
        with self.query() as connection:
            for table in (EVENTS_TABLE, SERVED_TABLE, IDENTITIES_TABLE):
                is_of_reader = table.name in _TIMES
                logged = f"* REPLACE ({LOGGED} AS user_id)" if is_of_reader else "*"
                columns = ("user_id", LOGGED) if is_of_reader else READER_COLUMNS[table.name]
                named = " OR ".join(f"list_contains($ids, t.{column})" for column in columns)
                result = connection.execute(
                    f"SELECT {_select(table, ())} FROM"
                    f" (SELECT {logged} FROM {table.name} AS t WHERE {named})"
                    f" ORDER BY {table.order}",
                    {"ids": [user_id, *merged_ids]},
                )
                names = [column.name for column in table.columns]
                rows = result.fetchall()
                export[table.name] = [dict(zip(names, row, strict=True)) for row in rows]
        return export

    @contextmanager
    def query(
        self,
        from_at: float = float("-inf"),
        *,
        one_arm: bool = False,
        tables: Collection[str] = tuple(TABLES),
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a DuckDB connection with the views `events`, `served`, `articles`, `identities`.

        Only files that may hold something that happened at or after `from_at` are opened; the
        rows are not cut to it. In `events` and `served`, `user_id` is the reader that an id was
        merged into in the end, `logged_user_id` the id as it was logged. With `one_arm`, what a
        reader did and was served under an experiment's unit that was given up in a merge is in
        `events_left_out` and `served_left_out` instead.
        No file is swapped while the connection is open. The views of tables other than `tables`
        are empty.

        Raises:
            ArchiveError: a file cannot be read.
        """
        connection = None
        try:
            with reading(self._dir) if self._dir.is_dir() else _nothing_to_lock():
                files = dict.fromkeys(TABLES, ()) | self.files(from_at, tables)
                connection = open_duckdb(memory_mb=self._memory_mb, threads=self._threads)
                self._create_views(connection, files, one_arm=one_arm)
                yield connection
        except (duckdb.IOException, duckdb.InvalidInputException, OSError) as error:
            raise ArchiveError(f"the archive in {self._dir} cannot be read: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def _create_views(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Mapping[str, Sequence[Path]],
        *,
        one_arm: bool,
    ) -> None:
        for table in (ARTICLES_TABLE, IDENTITIES_TABLE):
            source = _source(table, files)
            connection.execute(f"CREATE VIEW {table.name} AS {source}")
        are_merged = create_identities(connection)
        for name, time in _TIMES.items():
            source = _source(TABLES[name], files)
            seen = one_reader(source) if are_merged else as_logged(source)
            kept = of_unit(seen, time, kept=True) if one_arm and are_merged else seen
            connection.execute(f"CREATE VIEW {name} AS {kept}")
            if one_arm:
                others = of_unit(seen, time, kept=False)
                connection.execute(f"CREATE VIEW {name}_left_out AS {others}")

    def _window(
        self,
        table: Table,
        time: str,
        from_at: float,
        to_at: float,
        columns: Sequence[str],
        where: str,
        parameters: Sequence[Any],
    ) -> Columns:
        condition = f"{time} >= {_moment(from_at)} AND {time} < {_moment(to_at)}"
        if where:
            condition += f" AND ({where})"
        with self.query(from_at) as connection:
            return _columns(
                connection.execute(
                    f"SELECT {_select(table, columns, LOGGED)} FROM {table.name}"
                    f" WHERE {condition} ORDER BY {time}, {STREAM_ORDER}",
                    list(parameters),
                )
            )

    def listed(self, tables: Collection[str], from_at: float) -> dict[str, Sequence[Path]]:
        """Return the files of a window by table, as they are now, wherever they are."""
        refresh_files(self._dir)
        return {name: self._listed(name, from_at) for name in tables}

    def files(
        self, from_at: float, tables: Collection[str] = tuple(TABLES)
    ) -> dict[str, Sequence[Path]]:
        """Return the files of a window by table, all present on this machine."""
        for _ in range(_TRIES):
            files = {name: self._listed(name, from_at) for name in tables}
            try:
                fetch_files(self._dir, [path for paths in files.values() for path in paths])
            except FileNotFoundError:  # another machine has just merged some: list them again
                refresh_files(self._dir)
            else:
                return files
        raise ArchiveError(f"the files of {self._dir} were replaced again and again: try again")

    def _listed(self, name: str, from_at: float) -> Sequence[Path]:
        paths = table_files(self._dir, name)
        if name in _TIMES:
            first = day_of(from_at - CLOCK_SLACK_S) if from_at > CLOCK_SLACK_S else ""
            paths = [path for path in paths if first <= day_name(path)]
        return paths


def _source(table: Table, files: Mapping[str, Sequence[Path]]) -> str:
    paths = files[table.name]
    return table.select_files(paths) if paths else table.empty_select()


def _select(table: Table, columns: Sequence[str], *others: str) -> str:
    """Return the columns wanted as SQL, all of the table without any; `others` may be wanted."""
    wanted = set(columns)
    unknown = wanted - {column.name for column in table.columns} - {*others}
    if unknown:
        raise ArchiveError(f"the table {table.name} has no column {sorted(unknown)[0]}")
    found = [
        f"epoch_us({c.name}) / 1e6 AS {c.name}" if c.type == "TIMESTAMPTZ" else c.name
        for c in table.columns
        if not wanted or c.name in wanted
    ]
    return ", ".join([*found, *(name for name in others if name in wanted)])


def _columns(result: duckdb.DuckDBPyConnection) -> Columns:
    """Return a result as plain arrays: missing as NaN, -1, False or None."""
    return {name: _plain(array) for name, array in result.fetchnumpy().items()}


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not isinstance(array, np.ma.MaskedArray):
        return np.asarray(array)
    if array.dtype.kind == "f":
        return array.filled(np.nan)
    if array.dtype.kind in "iu":
        return array.filled(-1)
    if array.dtype.kind == "b":
        return array.filled(False)
    texts = np.array(array.data, copy=True)
    texts[np.ma.getmaskarray(array)] = None
    return texts


def _moment(epoch_s: float) -> str:
    microseconds = round(min(max(epoch_s, 0.0), 2.5e11) * 1e6)
    return f"make_timestamptz({microseconds}::BIGINT)"


@contextmanager
def _nothing_to_lock() -> Iterator[None]:
    yield
