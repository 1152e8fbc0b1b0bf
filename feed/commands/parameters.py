"""What may be given on the command line: paths and numbers."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click


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


class FileToWrite(GivenPath):
    """A file that is made, or replaced as a whole: neither a directory nor a device."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; of a link, that to which it leads.

        Raises:
            click.BadParameter: it is empty, or what has this name is no file.
        """
        path = super().convert(value, param, ctx)
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            self.fail(f"{os.fspath(value)!r} is there, and is no file", param, ctx)
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
FILE_TO_WRITE = FileToWrite()
