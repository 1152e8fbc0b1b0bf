"""Maintains the archive: compaction, retention, and the erasure of a reader."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_erasures import add_erased, count_exposed
from feed.storage.archive_files import (
    DAMAGED,
    day_name,
    fetch_files,
    finish_swap,
    rejected_files,
    sized_files,
    swap_files,
    table_files,
)
from feed.storage.archive_identities import with_merged_ids
from feed.storage.archive_parquet import write_file
from feed.storage.archive_schema import (
    ARTICLES,
    ARTICLES_TABLE,
    EVENTS,
    IDENTITIES,
    READER_COLUMNS,
    SERVED,
    TABLES,
)
from feed.storage.data_place import write_durably

COMPACT_FROM = 24
"""Small files of one table and day from which on some of them are merged."""

SMALL_BYTES = 32_000_000
GROWTH = 1.5
"""A file is merged with newer ones that hold at least its bytes divided by this."""

IDENTITY_DAYS = 2
"""Days for which identity records outlive the events of the days before them."""

_SCRATCH = "staging/upkeep"


def compact(archive_dir: Path, today: str, gather: int = COMPACT_FROM) -> int:
    """Merge small files of one table and day; return how many files went into one.

    For days before `today`, two small files are enough for a merge. For today, `gather` files are
    needed, and only the newest ones of similar size are merged. So a row is rewritten a few times
    in all, and not with every file that follows. Each call merges one table and day, so that nobody
    waits long; call it again until it returns 0.
    """
    for table in TABLES:
        for day, files in groupby(sized_files(archive_dir, table), lambda one: day_name(one[0])):
            small = [(path, size) for path, size in files if size < SMALL_BYTES]
            if len(small) >= (2 if day < today else gather):
                alike = small if day < today else _newest_alike(small, gather // 2)
                merged = fetch_files(archive_dir, [path for path, _ in alike])
                _rewrite(archive_dir, table, f"({TABLES[table].select_files(merged)})", merged)
                return len(merged)
    return 0


def _newest_alike(files: Sequence[tuple[Path, int]], least: int) -> Sequence[tuple[Path, int]]:
    """Return the newest files, from `least` on only while they are not much larger than these."""
    count = total = 0
    for _, size in reversed(files):
        if count >= least and size > GROWTH * total:
            break
        count, total = count + 1, total + size
    return files[len(files) - count :]


def expire(archive_dir: Path, before: str) -> list[str]:
    """Delete the days of events and served feeds before a day; return what was deleted.

    Except for requests that are under way, rows under a merged id were logged before the merge. So
    identity records are deleted `IDENTITY_DAYS` after everything that needs them.
    """
    deleted = []
    last = date.fromisoformat(before)
    for table in (EVENTS, SERVED, IDENTITIES):
        kept_days = IDENTITY_DAYS if table == IDENTITIES else 0
        first_kept = (last - timedelta(kept_days)).isoformat()
        files = table_files(archive_dir, table)
        folders = {path.parent for path in files} | set((archive_dir / table).glob("day=*"))
        for folder in sorted(folders):
            if folder.name.removeprefix("day=") < first_kept:
                swap_files(archive_dir, {}, [path for path in files if path.parent == folder])
                shutil.rmtree(folder, ignore_errors=True)
                deleted.append(f"{table}/{folder.name}")
    return deleted


def expire_articles(archive_dir: Path, before: str) -> int:
    """Drop states of articles that were over before a day; return how many files were rewritten.

    What remains of those days is the last state of each article that had not been deleted by
    then, so that a log from that day on still finds every article it speaks of.
    """
    paths = [path for path in table_files(archive_dir, ARTICLES) if day_name(path) < before]
    fetch_files(archive_dir, paths)
    if not paths:
        return 0
    with open_duckdb() as connection:
        found = connection.execute(
            f"SELECT DISTINCT filename FROM {_aged(paths)} WHERE age > 1 OR deleted"
        ).fetchall()
    # The oldest first: as long as a deletion is there, nothing before it can seem the last state.
    stale = [number for number, path in enumerate(paths) if (str(path),) in found]
    for number in stale:
        own = f"filename = {_sql_text(str(paths[number]))}"
        kept = f"{_aged(paths[number:])} WHERE {own} AND age = 1 AND NOT deleted"
        in_order = f"{kept} ORDER BY {ARTICLES_TABLE.order}"
        _rewrite(archive_dir, ARTICLES, in_order, [paths[number]])
    return len(stale)


def _aged(paths: Sequence[Path]) -> str:
    """Return the rows of files of articles as SQL, `age` 1 for the last one of its article."""
    return (
        "(SELECT *, row_number() OVER (PARTITION BY article_id ORDER BY logged_at DESC, filename"
        f" DESC) AS age FROM ({ARTICLES_TABLE.select_files(paths, filename=True)}))"
    )


def erase_users(archive_dir: Path, user_ids: Collection[str]) -> int:
    """Rewrite every file that holds any of these readers without them; return how many.

    Ids that identity records say were merged into one of them are erased too. Lines that could not
    become rows are searched, too. How many readers of each experiment's variants were erased is
    counted. Damaged files cannot be searched and are deleted. A repeated call
    changes nothing, so it may be repeated after a crash. Copies of the archive that others have
    made are not reached.
    """
    if not user_ids:
        return 0
    finish_swap(archive_dir)
    user_ids = with_merged_ids(archive_dir, user_ids)
    counts = count_exposed(archive_dir, user_ids)
    shutil.rmtree(archive_dir / DAMAGED, ignore_errors=True)
    rejected = fetch_files(archive_dir, rejected_files(archive_dir))
    rewritten = sum(_erase_lines(archive_dir, path, user_ids) for path in rejected)
    names = ", ".join(_sql_text(user_id) for user_id in sorted(user_ids))
    for table, columns in READER_COLUMNS.items():
        for path in _files_with(archive_dir, table, list(user_ids)):
            others = " AND ".join(f"{column} NOT IN ({names})" for column in columns)
            source = f"({TABLES[table].select_files([path])}) WHERE {others}"
            _rewrite(archive_dir, table, source, [path])
            rewritten += 1
    add_erased(archive_dir, counts)
    return rewritten


def _erase_lines(archive_dir: Path, path: Path, user_ids: Set[str]) -> bool:
    lines = path.read_bytes().split(b"\n")
    kept = [line for line in lines if user_ids.isdisjoint(_readers_in(orjson.loads(line)))]
    if len(kept) < len(lines):
        with _scratch(archive_dir) as scratch:
            draft = scratch / path.name
            write_durably(draft, b"\n".join(kept))
            swap_files(archive_dir, {draft: path} if kept else {}, [path])
    return len(kept) < len(lines)


def _readers_in(line: Mapping[str, Any]) -> list[Any]:
    return [line.get(column) for columns in READER_COLUMNS.values() for column in columns]


def _files_with(archive_dir: Path, table: str, user_ids: list[str]) -> list[Path]:
    paths = fetch_files(archive_dir, table_files(archive_dir, table))
    if not paths:
        return []
    named = " OR ".join(f"list_contains($users, {column})" for column in READER_COLUMNS[table])
    with open_duckdb() as connection:
        rows = connection.execute(
            "SELECT DISTINCT filename"
            f" FROM ({TABLES[table].select_files(paths, filename=True)}) WHERE {named}",
            {"users": user_ids},
        ).fetchall()
    return sorted(Path(name) for (name,) in rows)


def _rewrite(archive_dir: Path, table: str, source: str, paths: Sequence[Path]) -> None:
    """Replace files of one day by one file with the rows of a source, in the source's order.

    The new file is named for the commits in it; without rows there is none.
    """
    fields = ", ".join(column.name for column in TABLES[table].columns)
    stem = f"{paths[0].stem.split('-')[0]}-{paths[-1].stem.split('-')[-1]}"
    target = paths[0].with_name(f"{stem}.parquet")
    with _scratch(archive_dir) as scratch:
        draft = scratch / "rewritten.parquet"
        with open_duckdb() as connection:
            rows = write_file(connection, draft, f"SELECT {fields} FROM {source}")
        swap_files(archive_dir, {draft: target} if rows else {}, paths)


@contextmanager
def _scratch(archive_dir: Path) -> Iterator[Path]:
    """Give an empty directory on the disk of the archive, after what a crash interrupted."""
    finish_swap(archive_dir)
    scratch = archive_dir / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    shutil.rmtree(scratch, ignore_errors=True)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
