"""The master of the web processes: it checks the settings, waits until it may begin, and serves.

`feed serve` itself imports none of the parts that understand the settings, because it lives as long
as the service. So the master says to it that the settings can be served, and goes on when it is
told to. What the checks import is imported once, and half of what serving needs.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from contextlib import suppress

import click

from feed.commands.errors import one_line_errors
from feed.environment import settings_from_environment

WORD = b"1"
"""What the master writes when the settings are right."""


def main() -> None:
    """Serve as gunicorn does, with its arguments; exit with code 2 if the settings are at fault.

    Standard input must be a socket to whoever starts this, or /dev/null if nobody waits.
    """
    gc.disable()  # until all is read: what is made until then stays
    try:
        check()
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    await_start()
    importlib.import_module("gunicorn.app.wsgiapp").run()


def check() -> None:
    """Check the settings in the environment.

    The checks are imported inside: their import makes the plugins, one of which may be at fault.

    Raises:
        click.ClickException: a setting is at fault.
    """
    with one_line_errors():
        settings = settings_from_environment()
        checks = importlib.import_module("feed.service.setting_checks")
        checks.check_service_settings(settings)


def await_start(connection: int = 0) -> None:
    """Say that the settings are right, and wait for an answer or the end of the connection."""
    with suppress(OSError):
        os.write(connection, WORD)
    os.read(connection, len(WORD))


if __name__ == "__main__":
    main()
