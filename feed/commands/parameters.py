"""What may be given on the command line: paths, numbers and JSON objects."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click
import orjson

from feed.domain import InvalidInputError


class GivenPath(click.Path):
    """A path that is not empty.

    A script whose variable is not set gives an empty one (`--data "$UNSET"`). Python takes it for
    the present directory, where a command would then look for an installation, or make one.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            click.BadParameter: it is empty.
        """
        if value == "":
            self.fail("must not be empty", param, ctx)
        return super().convert(value, param, ctx)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it lies in a directory that must not be entered
        return False


class OutputFile(GivenPath):
    """A file to write, checked before any work: its directory must be there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            click.BadParameter: it is empty, a directory, or cannot be written.
        """
        path: Path = super().convert(value, param, ctx)
        if _is_directory(path):
            self.fail(f"{os.fspath(value)!r} is a directory", param, ctx)
        if not _is_directory(path.parent):
            self.fail(f"there is no directory {os.fspath(path.parent)!r}", param, ctx)
        if not os.access(path if os.access(path, os.F_OK) else path.parent, os.W_OK):
            self.fail(f"{os.fspath(value)!r} cannot be written", param, ctx)
        return path


class OutputFolder(GivenPath):
    """A directory to write files to, made where it is missing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            click.BadParameter: it is empty, or neither is a directory nor can be made.
        """
        path: Path = super().convert(value, param, ctx)
        there = next((one for one in (path, *path.parents) if os.access(one, os.F_OK)), path)
        if not _is_directory(there):
            self.fail(f"{os.fspath(there)!r} is not a directory", param, ctx)
        if not os.access(there, os.W_OK):
            self.fail(f"{os.fspath(there)!r} cannot be written", param, ctx)
        return path


class FileToWrite(OutputFile):
    """A file that is made, or replaced as a whole: neither a directory nor a device."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; of a link, that to which it leads.

        Raises:
            click.BadParameter: it is empty, cannot be written, or what has this name is no file.
        """
        path = super().convert(value, param, ctx)
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            self.fail(f"{os.fspath(value)!r} exists and is not a file", param, ctx)
        return path


class FiniteRange(click.FloatRange):
    """A number in a range, which "nan" and "inf" are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number.

        Raises:
            click.BadParameter: it is no number, not finite, or out of range.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not finite", param, ctx)
        return number


PATH = GivenPath()
OUTPUT_FILE = OutputFile()
OUTPUT_FOLDER = OutputFolder()
FILE_TO_WRITE = FileToWrite()


def parse_object(content: bytes, label: str) -> dict[str, Any]:
    """Return the JSON object that a file or standard input holds.

    Args:
        content: Of the file.
        label: The option or argument that names it, for errors.

    Raises:
        InvalidInputError: the content is no JSON, or no object.
    """
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(label, f"must be JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInputError(label, "must be an object")
    return data
