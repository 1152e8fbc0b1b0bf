"""On which line of a TOML file each of its keys stands; the parser does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any


def find_lines(text: str) -> dict[str, int]:
    """Return the line on which each key is first named, from 1, by its dotted path.

    Every statement of TOML (a head of a table, or a key with its value) is a whole file by
    itself. So the lines are read one at a time, and a statement is complete as soon as the lines
    since the last one can be parsed.

    Args:
        text: TOML that can be parsed.
    """
    found: dict[str, int] = {}
    table, statement, begin = "", "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += f"{line}\n"
        try:
            paths = list(_paths(tomllib.loads(statement)))
        except tomllib.TOMLDecodeError:
            continue
        head = statement.lstrip().startswith("[")
        for path in paths:
            found.setdefault(path if head else table + path, begin)
        if head:
            table = f"{paths[-1]}."
        statement, begin = "", number + 1
    return found


def _paths(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{path}" for path in _paths(value))
