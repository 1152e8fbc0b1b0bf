"""The `feed` command, which lists every subcommand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NamedTuple

import click

from feed.domain import FeedError


class CommandEntry(NamedTuple):
    """Where a command is defined, and the line that `feed --help` shows for it."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "serve": CommandEntry(
        "feed.commands.serve", "serve", "Serve feeds: store, worker and web processes."
    ),
    "worker": CommandEntry("feed.commands.worker", "worker", "Run the worker alone."),
    "ingest": CommandEntry(
        "feed.commands.ingest", "ingest", "Send articles and events to a running service."
    ),
    "sources": CommandEntry(
        "feed.commands.sources", "sources", "Add, list and check the feeds that are polled."
    ),
    "encode": CommandEntry(
        "feed.commands.encode", "encode", "Encode articles after a change of encoder."
    ),
    "models": CommandEntry("feed.commands.models", "models", "List models, choose one, roll back."),
    "experiment": CommandEntry(
        "feed.commands.experiment", "experiment", "Create, start, stop and report experiments."
    ),
    "metrics": CommandEntry(
        "feed.commands.experiment_metrics", "metrics", "List what experiments can measure."
    ),
    "report": CommandEntry("feed.commands.ab_report", "ab_report", "Report one experiment."),
    "watch": CommandEntry(
        "feed.commands.watch", "watch", "Look at running experiments, and say what is wrong."
    ),
    "export": CommandEntry(
        "feed.commands.export", "export", "Write an experiment's readers for a notebook."
    ),
    "ope": CommandEntry("feed.commands.ope", "ope", "Estimate another policy from the log."),
    "limits": CommandEntry(
        "feed.commands.front_page_limits_command",
        "limits_command",
        "Show the limits on front pages, and what they cost.",
    ),
    "audit": CommandEntry("feed.commands.audit", "audit", "Show who changed what."),
    "backup": CommandEntry("feed.commands.backup", "backup_command", "Copy a whole installation."),
    "restore": CommandEntry("feed.commands.backup", "restore_command", "Bring a copy back."),
    "health": CommandEntry(
        "feed.commands.health", "health", "Say whether a part of the service works."
    ),
    "top": CommandEntry("feed.commands.top", "top", "Show what is going on, in the terminal."),
    "settings": CommandEntry(
        "feed.commands.settings", "settings", "Show every setting and its value."
    ),
    "keys": CommandEntry("feed.commands.keys", "keys", "Make, list and revoke API keys."),
    "tokens": CommandEntry("feed.commands.tokens", "tokens", "Make a reader's token, to try it."),
    "routes": CommandEntry(
        "feed.commands.routes", "routes", "List every route and who may call it."
    ),
    "demo": CommandEntry(
        "feed.commands.demo", "demo", "Run and show the whole system on a newsroom."
    ),
    "retrain": CommandEntry("feed.commands.retrain", "retrain", "Learn and publish a model."),
    "evaluate": CommandEntry(
        "feed.commands.evaluate", "evaluate_command", "Measure the ranking on a log."
    ),
    "check-plugin": CommandEntry(
        "feed.commands.check_plugin", "check_plugin", "Try your own plugins against their contract."
    ),
}
"""Every command. Modules load when their command runs, so `feed serve` starts fast."""


class CommandGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command by name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="feed", prog_name="feed")
def feed() -> None:
    """Personalised news feeds: serve them, learn from them, measure them.

    Every setting can be given in the environment as FEED_<NAME>; `feed settings` lists them.
    """


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> None:
    """Run a command to the end of the process: errors are one line, with an exit code.

    What the system refuses, such as to write where there is no space or to read a broken disk, is
    no defect of the command's: it is told in one line, too, with exit code 1.
    """
    try:
        code = command.main(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as exit_request:
        code = exit_request.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.UsageError as error:
        click.echo(f"Error: {_usage_fault(error)}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except FeedError as error:
        click.echo(f"Error: {error}", err=True)
        code = 2
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _usage_fault(error: click.UsageError) -> str:
    """Return in one line what was wrong about the arguments, and where they are explained."""
    fault = " ".join(error.format_message().split())
    return f"{fault} See `{error.ctx.command_path} --help`." if error.ctx else fault


def main() -> None:
    """Run the `feed` command. What a terminal cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # and not closed by whoever starts this
            stream.reconfigure(errors="backslashreplace")
    run_command(feed)
