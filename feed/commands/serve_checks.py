"""Checks, in a process of its own, of the settings that only the parts of a service understand.

`feed serve` itself imports none of those parts, because it lives as long as the service. The
ranking is imported among the checks: its import makes the plugins, one of which may be at fault.
"""

from __future__ import annotations

import importlib

import click

from feed.catalogue.encoder_choice import check_encoder
from feed.commands.errors import one_line_errors
from feed.environment import settings_from_environment
from feed.service.access import check_access_settings
from feed.storage.redis_store import RedisStore


@click.command()
def check() -> None:
    """Check the settings in the environment; on a fault, print one line and exit with code 2."""
    with one_line_errors():
        settings = settings_from_environment()
        check_access_settings(settings)
        check_encoder(settings)
        importlib.import_module("feed.service.ranked").check_ranking(settings)
        if settings.redis_url:  # else the service starts a store of its own
            RedisStore(settings).close()  # the address is read, and nothing is sent


if __name__ == "__main__":
    check()
