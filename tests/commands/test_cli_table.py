import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from feed.cli import COMMANDS, feed, run_command


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["retrain", "--data", ""],
        ["serve", "--data", ""],
        ["keys", "list", "--data", ""],
        ["evaluate", "--dataset", "archive", ""],
    ],
)
def test_an_empty_path_is_not_the_present_directory(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(feed, arguments)
    assert result.exit_code == 2
    assert "must not be empty" in result.output
    assert list(tmp_path.iterdir()) == []


def test_links_in_a_circle_are_no_installation(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    result = CliRunner().invoke(feed, ["models", "list", "--data", str(tmp_path / "circle")])
    assert result.exit_code == 2
    assert "must be the directory of an installation" in result.output


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def failing() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/archive")

    with pytest.raises(SystemExit) as ended:
        run_command(failing, [])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: [Errno 28] No space left on device: '/data/archive'\n"
