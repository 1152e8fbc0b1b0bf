"""Keeping the archive small and lawful: compaction, retention, erasure of a reader."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import orjson

from feed.storage.archive_files import (
    DAMAGED,
    day_name,
    finish_swap,
    swap_files,
    table_files,
)
from feed.storage.archive_ledger import write_durably
from feed.storage.archive_parquet import REJECTED, write_query
from feed.storage.archive_schema import ARTICLES, EVENTS, SERVED, TABLES, open_duckdb, quoted

COMPACT_FROM = 24
"""Small files of one table and day that are merged into one."""

SMALL_BYTES = 32_000_000
_SCRATCH = "staging/upkeep"


def compact(archive_dir: Path, today: str, gather: int = COMPACT_FROM) -> int:
    """Merge the small files of one table and day; return how many files went into one.

    Days before `today` are merged from two small files on, today only when `gather` are there.
    One table and day at a time, so that nobody waits long: call it again until it returns 0.
    """
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for table in TABLES:
        for path in table_files(archive_dir, table):
            if path.stat().st_size < SMALL_BYTES:
                groups[table, day_name(path)].append(path)
    for (table, day), paths in sorted(groups.items()):
        if len(paths) >= (2 if day < today else gather):
            source = f"read_parquet({quoted(map(str, paths))}, union_by_name = true)"
            _rewrite(archive_dir, table, source, paths)
            return len(paths)
    return 0


def expire(archive_dir: Path, before: str) -> list[str]:
    """Delete the days of events and served feeds before a day; return what was deleted."""
    deleted = []
    for table in (EVENTS, SERVED):
        for folder in sorted((archive_dir / table).glob("day=*")):
            if folder.name.removeprefix("day=") < before:
                swap_files(archive_dir, {}, sorted(folder.glob("*.parquet")))
                shutil.rmtree(folder)
                deleted.append(f"{table}/{folder.name}")
    return deleted


def expire_articles(archive_dir: Path, before: str) -> int:
    """Drop states of articles that were over before a day; return how many files were rewritten.

    What remains of those days is the last state of each article that had not been deleted by
    then, so that a log from that day on still finds every article it speaks of.
    """
    paths = [path for path in table_files(archive_dir, ARTICLES) if day_name(path) < before]
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
        kept = f"(FROM {_aged(paths[number:])} WHERE {own} AND age = 1 AND NOT deleted)"
        _rewrite(archive_dir, ARTICLES, kept, [paths[number]])
    return len(stale)


def _aged(paths: Sequence[Path]) -> str:
    """Return the rows of files of articles as SQL, `age` 1 for the last one of its article."""
    return (
        "(SELECT *, row_number() OVER (PARTITION BY article_id ORDER BY logged_at DESC, filename"
        f" DESC) AS age FROM read_parquet({quoted(map(str, paths))}, filename = true,"
        " union_by_name = true))"
    )


def erase_users(archive_dir: Path, user_ids: Collection[str]) -> int:
    """Rewrite every file that holds any of these readers without them; return how many.

    Lines that could not become rows are searched too; damaged files, which cannot be, are
    deleted. Doing it again changes nothing, so it may be repeated after a crash. Copies that
    others made of the archive are theirs to erase.
    """
    if not user_ids:
        return 0
    shutil.rmtree(archive_dir / DAMAGED, ignore_errors=True)
    rewritten = sum(_erase_lines(path, user_ids) for path in (archive_dir / REJECTED).glob("*"))
    for table in (EVENTS, SERVED):
        for path in _files_with(archive_dir, table, list(user_ids)):
            names = ", ".join(_sql_text(user_id) for user_id in sorted(user_ids))
            source = f"(FROM read_parquet({quoted([str(path)])}) WHERE user_id NOT IN ({names}))"
            _rewrite(archive_dir, table, source, [path])
            rewritten += 1
    return rewritten


def _erase_lines(path: Path, user_ids: Collection[str]) -> bool:
    lines = path.read_bytes().split(b"\n")
    kept = [line for line in lines if orjson.loads(line).get("user_id") not in user_ids]
    if len(kept) < len(lines):
        draft = path.with_name(f".{path.name}")
        write_durably(draft, b"\n".join(kept))
        draft.replace(path)
        if not kept:
            path.unlink()
    return len(kept) < len(lines)


def _files_with(archive_dir: Path, table: str, user_ids: list[str]) -> list[Path]:
    paths = table_files(archive_dir, table)
    if not paths:
        return []
    with open_duckdb() as connection:
        rows = connection.execute(
            f"SELECT DISTINCT filename FROM read_parquet({quoted(map(str, paths))},"
            " filename = true, union_by_name = true) WHERE list_contains($users, user_id)",
            {"users": user_ids},
        ).fetchall()
    return sorted(Path(name) for (name,) in rows)


def _rewrite(archive_dir: Path, table: str, source: str, paths: Sequence[Path]) -> None:
    """Replace files by one file with the rows of a source, named for the commits in it."""
    finish_swap(archive_dir)
    scratch = archive_dir / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    spec = TABLES[table]
    fields = ", ".join(column.name for column in spec.columns)
    query = f"SELECT {fields} FROM {source} ORDER BY {spec.order}"
    stem = f"{paths[0].stem.split('-')[0]}-{paths[-1].stem.split('-')[-1]}"
    with open_duckdb() as connection:
        write_query(connection, scratch, table, query, stem, {})
    written = sorted((scratch / table).glob("day=*/*.parquet"))
    new = {path: archive_dir / path.relative_to(scratch) for path in written}
    swap_files(archive_dir, new, paths)
    shutil.rmtree(scratch, ignore_errors=True)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
