"""Opens the archive for an analysis, and lists the days that it holds."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from feed.storage.archive import Archive
from feed.storage.archive_erasures import Erased, read_erased
from feed.storage.archive_files import commits, table_files
from feed.storage.archive_files import day_name as day_of_file

TABLES = ("served", "events")
"""Tables that every day of an experiment should have."""


@dataclass(frozen=True, slots=True)
class Log:
    """An open archive.

    Attributes:
        connection: With the views of `Archive.query` for one arm a reader.
        days: Days (ISO dates) that have a file, by table.
        commits: Numbers of the first and last commit of every file, by day, in any table.
        held_commits: Numbers of all commits that files of those days may hold.
        empty_commits: Numbers of recent commits that left none.
        erased: Erased readers by experiment, day of first exposure and variant.
        last_commit: The newest commit's number; 0 where the archive keeps no ledger.
    """

    connection: duckdb.DuckDBPyConnection
    days: dict[str, frozenset[str]]
    commits: Mapping[str, frozenset[int]] = field(default_factory=dict)
    held_commits: Mapping[str, frozenset[int]] = field(default_factory=dict)
    empty_commits: frozenset[int] = frozenset()
    last_commit: int = 0
    erased: Erased = field(default_factory=dict)

    def was_quiet(self, day: str) -> bool:
        """Whether nothing was ever archived of a day that has no file.

        Commits are numbered without gaps, and files carry the numbers. If those of the days
        before go on in the days after, no commit is missing between them; if numbers are gone,
        so are files. False where files carry no numbers.
        """
        if not self.commits or not self.last_commit:
            return False
        before = max((max(n) for other, n in self.commits.items() if other < day), default=0)
        after = [min(n) for other, n in self.commits.items() if other > day]
        known = self.commits.get(day, frozenset()) | self.empty_commits
        following = min(after, default=self.last_commit + 1)
        return all(number in known for number in range(before + 1, following))

    def lost_commits(self, days: Collection[str]) -> tuple[int, int]:
        """Return how many commits of these days left no file, and how many there were.

        A commit may leave none (when all it did was to erase a reader), so a few prove nothing.
        """
        ends = [number for day in days for number in self.commits.get(day, ())]
        if not ends:
            return 0, 0
        held = self.empty_commits.union(*self.held_commits.values())
        numbers = range(min(ends), max(ends) + 1)
        return sum(number not in held for number in numbers), len(numbers)


@contextmanager
def open_log(
    data_dir: Path, from_at: float, *, memory_mb: int = 1500, threads: int = 2
) -> Iterator[Log]:
    """Open the archive of a data directory from a time on.

    Args:
        data_dir: The installation's data directory; without an archive the log is empty.
        from_at: Begin, epoch seconds.
        memory_mb: Memory that queries may take before they go to disk, megabytes.
        threads: Threads of the query engine.

    Raises:
        ArchiveError: a file of the archive is damaged.
    """
    folder = data_dir / "archive"
    archive = Archive(folder, memory_mb=memory_mb, threads=threads)
    with (
        tempfile.TemporaryDirectory(prefix="feed-analysis-") as spill,
        archive.query(from_at, one_arm=True) as connection,
    ):
        connection.execute("SET temp_directory = ?", [spill])
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        days = {
            table: frozenset(day_of_file(path) for path in table_files(folder, table))
            for table in TABLES
        }
        entries = commits(folder)
        ranges = _numbered_files(folder)
        yield Log(
            connection,
            days,
            {day: frozenset(n for pair in found for n in pair) for day, found in ranges.items()},
            {
                day: frozenset(n for low, high in found for n in range(low, high + 1))
                for day, found in ranges.items()
            },
            frozenset(entry.number for entry in entries if not entry.files),
            entries[-1].number if entries else 0,
            read_erased(folder),
        )


def _numbered_files(folder: Path) -> dict[str, set[tuple[int, int]]]:
    """Return the first and last commit number of each day's files; nothing if a name has none.

    A file is named for its commit, one that several were merged into for the first and the last.
    """
    found: dict[str, set[tuple[int, int]]] = {}
    for path in table_files(folder):
        numbers = path.name.split(".", maxsplit=1)[0].split("-")
        if not all(number.isdecimal() for number in numbers):
            return {}
        found.setdefault(day_of_file(path), set()).add((int(numbers[0]), int(numbers[-1])))
    return found
