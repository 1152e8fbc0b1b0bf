"""How commands end on an error: with one line on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from feed.domain import (
    ConflictError,
    FeedError,
    GateRefusedError,
    InvalidInputError,
    NotFoundError,
)

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_GATE = 3


class CommandError(click.ClickException):
    """Ends a command with one line and exit code 1."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputCommandError(CommandError):
    """Ends a command whose input is at fault: exit code 2."""

    exit_code = EXIT_INPUT


class GateCommandError(CommandError):
    """Ends a command whose candidate model was refused: exit code 3, and no talk of an error."""

    exit_code = EXIT_GATE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message alone, on standard error unless told otherwise."""
        click.echo(self.format_message(), file=file, err=file is None)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the project's errors into one line and an exit code.

    2 when the input is at fault, 3 when a candidate model was refused, 1 for everything else
    that went wrong on purpose. Other exceptions pass: they are defects and show a traceback, or say
    that nobody reads what the command prints (`BrokenPipeError`), which ends it in silence.
    """
    try:
        yield
    except (InvalidInputError, NotFoundError, ConflictError) as error:
        raise InputCommandError(str(error)) from error
    except GateRefusedError as error:
        raise GateCommandError(str(error)) from error
    except BrokenPipeError:
        raise
    except (FeedError, ConnectionError) as error:
        raise CommandError(str(error)) from error
