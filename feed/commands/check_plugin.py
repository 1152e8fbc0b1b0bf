"""`feed check-plugin`: try plugins against their contract, and show what a call costs."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.table import Table

from feed.commands.errors import InputCommandError, one_line_errors
from feed.domain import FeedError
from feed.environment import plugins_from_environment
from feed.offline.own_methods import ENTRY_GROUP
from feed.offline.plugin_checks import PluginChecks, entries_in_order
from feed.plugins.loading import SETTING, find_entries
from feed.plugins.protocols import GROUPS


@click.command("check-plugin")
@click.argument("names", nargs=-1, metavar="[PACKAGE[:PLUGIN]]...")
def check_plugin(names: tuple[str, ...]) -> None:
    """Check the plugins of a package, by default those that FEED_PLUGINS names.

    Each is called at several moments of a small log that is made for the check. It must return what
    its protocol says, return the same each time, leave its input as it is, and not depend on what
    happens later. The first plugin that does not ends the command with one line and exit code 2.
    """
    with one_line_errors():
        wanted = names or plugins_from_environment()
        if not wanted:
            raise InputCommandError(f"name a package, or set {SETTING}")
        table = Table("kind", "plugin", "ms a call", "articles a call")
        try:
            checks = PluginChecks(time.process_time)
            for entry in entries_in_order(find_entries(wanted, (*GROUPS, ENTRY_GROUP))):
                found = checks.check(entry)
                cost = f"{1e3 * found.seconds:.2f}"
                table.add_row(found.kind, found.name, cost, f"{found.articles:.0f}")
        except FeedError as error:
            raise InputCommandError(str(error)) from error
        Console().print(table)
        click.echo("All of them keep the contract.")
