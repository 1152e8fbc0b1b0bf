"""Paths on the command line."""

from __future__ import annotations

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


PATH = GivenPath()
