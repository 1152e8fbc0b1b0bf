#!/usr/bin/env python3
"""Breaks the code on purpose, one small change at a time, and counts how often a test notices.

Each room's mutants are those of mutmut; a random sample of them is tested by the room's own tests.
A mutant is killed when one of them fails, or when they take twenty times as long as usual; the
limit is wide because a busy machine must not kill any. Every test of a file that runs the changed
function is run, the quick files first, until one fails.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
NOTICED = frozenset({1, 3, 24, 36, 152, 255, -9, -11, -24})
"""Exit codes of pytest and of signals that mean a failed test, a crash or a hang."""

CONFIGURATION = """
[tool.mutmut]
source_paths = ["feed"]
only_mutate = {sources}
also_copy = ["feed", "scripts", "quick_files_first.py"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "quick_files_first"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = ['^\\s*log\\.']
timeout_multiplier = 20.0
timeout_constant = 120.0
track_dependencies = false
use_git_change_detection = false
"""

PLUGIN = '''
"""Orders the tests: files by the time that they take, and tests within a file likewise."""

import json
from collections import Counter
from pathlib import Path


def pytest_collection_modifyitems(items):
    known = Path("mutmut-stats.json")
    if not known.exists():
        return
    seconds = json.loads(known.read_text())["duration_by_test"]
    of_file = Counter()
    for name, taken in seconds.items():
        of_file[name.partition("::")[0]] += taken
    file_of = lambda item: item.nodeid.partition("::")[0]
    items.sort(key=lambda i: (of_file[file_of(i)], file_of(i), seconds.get(i.nodeid, 0.0)))
'''


@dataclass(frozen=True, slots=True)
class Room:
    """Code that is mutated (glob patterns) and the tests that must notice."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def files(self) -> list[Path]:
        """Return the modules of the room, relative to the root."""
        found = {path for pattern in self.sources for path in ROOT.glob(pattern)}
        return sorted(path.relative_to(ROOT) for path in found)


ROOMS = {
    "ranking": Room(("feed/ranking/*.py",), ("tests/ranking",)),
    "features": Room(("feed/features/*.py",), ("tests/features",)),
    "gate": Room(("feed/offline/gate.py",), ("tests/offline/test_gate.py",)),
    "experiments": Room(("feed/experiments/**/*.py",), ("tests/experiments",)),
    "storage": Room(("feed/storage/*.py",), ("tests/storage",)),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the sampled mutants of one room."""

    mutants: int
    tested: int
    survivors: tuple[str, ...]

    def line(self, name: str) -> str:
        """Return one row of the printed table."""
        killed = self.tested - len(self.survivors)
        low, high = wilson_interval(killed, self.tested)
        share = f"{killed / self.tested:6.1%} ({low:.1%} to {high:.1%})"
        return f"{name:12} {self.mutants:6} {self.tested:6} {killed:6}  {share}"


def wilson_interval(hits: int, tries: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: Wilson (1927).
    """
    share, weight = hits / tries, z * z / tries
    middle = (share + weight / 2) / (1 + weight)
    width = z * math.sqrt(share * (1 - share) / tries + weight / (4 * tries)) / (1 + weight)
    return middle - width, middle + width


def prepare(room: Room, folder: Path) -> None:
    """Write a copy of the code and of the room's tests, with mutmut's configuration."""
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in ("feed", "scripts", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    settings = CONFIGURATION.format(
        sources=json.dumps([str(path) for path in room.files()]), tests=json.dumps(room.tests)
    )
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings)
    (folder / "quick_files_first.py").write_text(PLUGIN)


def run_mutmut(folder: Path, names: Sequence[str], jobs: int) -> int:
    """Run mutmut on some mutants; what it says goes to `mutmut.log` in the folder."""
    environment = {
        **os.environ,
        "CI": "1",  # hypothesis then draws the same examples each time and sets no deadline
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs), *names]
    with (folder / "mutmut.log").open("ab") as log:
        return subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=log, check=False
        ).returncode


def widen_to_files(stats: Path) -> None:
    """Let each function be tested by every test of the files that run it.

    What is made once for several tests, in a fixture, is booked on the first of them only.
    """
    known = json.loads(stats.read_text())
    by_file: dict[str, list[str]] = {}
    for test in known["duration_by_test"]:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    tests = known["tests_by_mangled_function_name"]
    for function, found in tests.items():
        files = {test.partition("::")[0] for test in found}
        tests[function] = [test for file in sorted(files) for test in by_file.get(file, ())]
    stats.write_text(json.dumps(known))


def exit_codes(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Give the name of every mutant and the exit code of its tests."""
    for path in sorted((folder / "mutants").rglob("*.meta")):
        yield from json.loads(path.read_text())["exit_code_by_key"].items()


def measure(room: Room, sample: int, seed: int, jobs: int, folder: Path) -> Outcome:
    """Test a random sample of a room's mutants."""
    prepare(room, folder)
    # A name that no mutant has: mutmut makes the mutants, sees which test runs what, and ends.
    run_mutmut(folder, ["none.of.them"], jobs)
    stats = folder / "mutants" / "mutmut-stats.json"
    if not stats.exists():
        raise click.ClickException(f"the tests do not pass unchanged: see {folder}/mutmut.log")
    widen_to_files(stats)
    names = [name for name, _ in exit_codes(folder)]
    chosen = sorted(random.Random(seed).sample(names, min(sample, len(names))))  # noqa: S311
    if run_mutmut(folder, chosen, jobs):
        raise click.ClickException(f"mutmut failed: see {folder}/mutmut.log")
    codes = dict(exit_codes(folder))
    survivors = tuple(name for name in chosen if codes[name] not in NOTICED)
    return Outcome(len(names), len(chosen), survivors)


def difference(folder: Path, name: str) -> str:
    """Return what a mutant changed."""
    command = [sys.executable, "-m", "mutmut", "show", name]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return shown.stdout.strip()


@click.command()
@click.argument("rooms", nargs=-1, type=click.Choice([*ROOMS]))
@click.option("--sample", default=100, show_default=True, help="Mutants tested in each room.")
@click.option("--seed", default=1, show_default=True, help="Of the random sample.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Tested at once.")
@click.option("--keep", type=click.Path(path_type=Path), help="A new directory to work in.")
def main(rooms: tuple[str, ...], sample: int, seed: int, jobs: int, keep: Path | None) -> None:
    """Print which share of sampled mutants the tests of ROOMS (default: all) kill."""
    with tempfile.TemporaryDirectory() as temporary:
        table = []
        for name in rooms or ROOMS:
            folder = (keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            outcome = measure(ROOMS[name], sample, seed, jobs, folder)
            table.append(outcome.line(name))
            for survivor in outcome.survivors:
                click.echo(difference(folder, survivor) + "\n")
        click.echo(f"seed {seed}; room, mutants, sampled, killed, share killed (95 % interval)")
        click.echo("\n".join(table))


if __name__ == "__main__":
    main()
