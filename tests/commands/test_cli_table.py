import click
import pytest
from click.testing import CliRunner

from feed.cli import COMMANDS, feed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name: str) -> None:
    command = feed.get_command(click.Context(feed), name)
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(feed, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


def test_the_list_of_commands_loads_none_of_them() -> None:
    result = CliRunner().invoke(feed, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert name in result.output
        assert entry.summary.split()[0] in result.output
