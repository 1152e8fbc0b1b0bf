"""How many readers of each experiment's variants were erased: numbers, and no identity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from feed.domain import ArchiveError
from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_files import fetch_files, table_files
from feed.storage.archive_schema import SERVED, quoted
from feed.storage.data_place import ABSENT, Stored
from feed.storage.working_copy import place_of

Erased = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Readers by experiment, day of the first served feed that carried it (ISO date), and variant."""

_FILE = "erased.json"


def count_exposed(archive_dir: Path, user_ids: Collection[str]) -> Erased:
    """Count readers who are about to be erased, by what their served feeds say."""
    paths = fetch_files(archive_dir, table_files(archive_dir, SERVED))
    if not paths or not user_ids:
        return {}
    with open_duckdb() as connection:
        rows = connection.execute(
            "SELECT user_id, strftime(served_at, '%Y-%m-%d'), experiments"
            f" FROM read_parquet({quoted(map(str, paths))}, union_by_name = true)"
            " WHERE list_contains($users, user_id) AND json_valid(experiments)"
            " ORDER BY served_at",
            {"users": list(user_ids)},
        ).fetchall()
    seen: set[tuple[str, str]] = set()
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for user_id, day, experiments in rows:
        for name, variant in orjson.loads(experiments).items():
            if (user_id, name) not in seen:
                seen.add((user_id, name))
                days = counts.setdefault(name, {}).setdefault(day, {})
                days[variant] = days.get(variant, 0) + 1
    return counts


def add_erased(archive_dir: Path, found: Erased) -> None:
    """Add readers who have been erased to the counts.

    They are added after the erasure: a process that dies in between loses the count, but never
    counts a reader twice.
    """
    if not found:
        return
    place = place_of(archive_dir)
    stored = place.read(_FILE)
    counts = _parse(archive_dir, stored)
    for name, days in found.items():
        for day, variants in days.items():
            kept = counts.setdefault(name, {}).setdefault(day, {})
            for variant, count in variants.items():
                kept[variant] = kept.get(variant, 0) + count
    place.replace(_FILE, orjson.dumps(counts), ABSENT if stored is None else stored.etag)


def read_erased(archive_dir: Path) -> Erased:
    """Return the counts; nothing where nobody was erased.

    Raises:
        ArchiveError: the file is damaged.
    """
    return _parse(archive_dir, place_of(archive_dir).read(_FILE))


def _parse(archive_dir: Path, stored: Stored | None) -> dict[str, dict[str, dict[str, int]]]:
    try:
        found: dict[str, dict[str, dict[str, int]]] = orjson.loads(stored.data) if stored else {}
    except orjson.JSONDecodeError as error:
        raise ArchiveError(f"{archive_dir / _FILE} is damaged: {error}") from error
    return found
