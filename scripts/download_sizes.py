#!/usr/bin/env python3
"""Writes into a lock file's head how much each supported Python downloads, for `scripts/lock`.

    scripts/download_sizes.py requirements.lock pylock.toml

The second file is the same lock as `uv pip compile --format pylock.toml` writes it: that one knows
the size of every wheel. A platform that lacks a wheel of some package is named with that package.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
GLIBC_2 = 36  # of Debian 12; an older system may take other wheels of nearly the same size
MACOS = 14
HEAD = "# Download for "


def platforms(system: str, machine: str) -> list[str]:
    """Return the platform tags that a machine accepts, best first."""
    if system == "darwin":
        versions = [f"{major}_0" for major in range(MACOS, 10, -1)]
        tags = [f"macosx_{v}_{kind}" for v in versions for kind in (machine, "universal2")]
        return [*tags, *(f"macosx_10_{minor}_universal2" for minor in range(16, 8, -1))]
    numbered = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_2, 16, -1)]
    older = [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    return [*numbered, *older, f"linux_{machine}"]


def tags_of(python: tuple[int, int], system: str, machine: str) -> list[Tag]:
    """Return every wheel tag that an interpreter accepts, best first."""
    accepted = platforms(system, machine)
    interpreter = f"cp{python[0]}{python[1]}"
    return [
        *cpython_tags(python, platforms=accepted),
        *compatible_tags(python, interpreter=interpreter, platforms=accepted),
    ]


def environment(python: tuple[int, int], system: str, machine: str) -> dict[str, str]:
    """Return the values of the environment markers; the patch release is a late one."""
    version = f"{python[0]}.{python[1]}"
    return {
        "python_version": version,
        "python_full_version": f"{version}.9",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
    }


def best_wheel(package: dict[str, Any], rank: dict[Tag, int]) -> int | None:
    """Return the size in bytes of the wheel that an installer takes; None if there is none."""
    found = []
    for wheel in package.get("wheels", []):
        tags = parse_wheel_filename(wheel["url"].rsplit("/", 1)[1])[3]
        ranks = [rank[tag] for tag in tags if tag in rank]
        if ranks:
            found.append((min(ranks), wheel["size"]))
    return min(found)[1] if found else None


def line_for(
    packages: list[dict[str, Any]], python: tuple[int, int], system: str, machine: str
) -> str:
    """Return one line of the head: what one Python on one platform downloads."""
    rank: dict[Tag, int] = {}
    for number, tag in enumerate(tags_of(python, system, machine)):
        rank.setdefault(tag, number)
    values = environment(python, system, machine)
    wanted = [p for p in packages if "marker" not in p or Marker(p["marker"]).evaluate(values)]
    sizes = {package["name"]: best_wheel(package, rank) for package in wanted}
    lacking = sorted(name for name, size in sizes.items() if size is None)
    name = f"{HEAD}{system}-{machine}-{python[0]}.{python[1]}:"
    if lacking:
        return f"{name} no wheel of {', '.join(lacking)}"
    return f"{name} {len(sizes)} files, {sum(size or 0 for size in sizes.values())} bytes"


def main() -> None:
    """Put the lines at the head of the lock, in the place of older ones."""
    lock, sized = map(Path, sys.argv[1:])
    packages = tomllib.loads(sized.read_text())["packages"]
    machines = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
    head = [line_for(packages, python, *machine) for machine in machines for python in PYTHONS]
    body = [line for line in lock.read_text().splitlines() if not line.startswith(HEAD)]
    lock.write_text("\n".join([*head, *body]) + "\n")


if __name__ == "__main__":
    main()
