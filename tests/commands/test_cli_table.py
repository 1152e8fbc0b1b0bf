import errno
import os
import subprocess
import sys
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
    assert "there is no installation in" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["experiment", "list"],
        ["experiment", "stop", "x"],
        ["report", "x"],
        ["audit"],
        ["export", "readers", "x"],
    ],
)
def test_asking_about_a_directory_makes_no_installation_of_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEED_REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(feed, [*arguments, "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "there is no installation in" in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def failing() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/archive")

    with pytest.raises(SystemExit) as ended:
        run_command(failing, [])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: [Errno 28] No space left on device: '/data/archive'\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--prot", "1"], "No such option '--prot'"),
        (["sources", "add"], "sources add --help`."),
        (["serve", "--port", "many"], "'many' is not a valid integer"),
        (["server"], "No such command 'server'"),
    ],
)
def test_arguments_that_are_wrong_are_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(feed, arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert said in line


def test_a_group_without_arguments_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(feed, ["sources"])
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tokens", "mint", "u", "--minutes", "nan"], "nan is not finite"),
        (["tokens", "mint", "u", "--minutes", "inf"], "is not in the range"),
        (["watch", "--every", "nan"], "nan is not finite"),
        (["top", "--every", "nan"], "nan is not finite"),
    ],
)
def test_a_number_must_be_finite(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(feed, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_file_is_never_written_in_the_place_of_a_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for name in (pipe, link, tmp_path):
        result = CliRunner().invoke(feed, ["export", "readers", "x", "--out", str(name)])
        assert result.exit_code == 2
        assert ("is a directory" if name is tmp_path else "is not a file") in result.output
    assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.parametrize(
    "command",
    [
        ["report", "x", "--data", "."],
        ["ope", "--log", ".", "--policy", "."],
        ["evaluate", ".", "--dataset", "archive"],
    ],
)
def test_a_target_is_checked_before_any_work(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    targets = {"--json": (tmp_path, tmp_path / "nowhere" / "a.json", tmp_path / "file" / "a.json")}
    if command[0] == "report":
        targets["--out"] = (tmp_path / "file", tmp_path / "file" / "reports")
    for option, places in targets.items():
        for place in places:
            result = CliRunner().invoke(feed, [*command, option, str(place)])
            assert result.exit_code == 2
            assert f"'{option}'" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "-1"], "'--seed': -1 is not in the range"),
        (["--log", "nowhere"], "--log: must be a directory"),
        (["--policy", "nowhere"], "--policy: must be a directory"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--to: must be later than --from"),
        (["--definition", "list.json"], "--definition: must be an object"),
        (["--definition", "torn.json"], "--definition: must be JSON"),
    ],
)
def test_what_ope_cannot_use_is_named(
    more: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data", "archive").mkdir(parents=True)
    Path("list.json").write_text("[]")
    Path("torn.json").write_text("{")
    result = CliRunner().invoke(feed, ["ope", "--log", "data", "--policy", "data", *more])
    assert result.exit_code == 2
    assert said in result.output


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "feed"]
    found = subprocess.run(
        [*command, "audit", "--data", "\u2603x"],
        env=environment,
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 2
    assert found.stderr.rstrip().endswith(b"x; give the directory of one")
    ended = subprocess.run(
        [*command, "settings", "--of", "training"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("FEED_OIDC_CLIENT_SECRET", "hush-1")
    monkeypatch.setenv("FEED_SOURCES", "https://me:hush-2@a.example/f,https://b.example/g")
    monkeypatch.setenv("FEED_OTLP_ENDPOINT", "http://u:hush-3@collector:4318")
    result = CliRunner().invoke(feed, ["settings"])
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert "https://(set)@a.example/f,https://b.example/g" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://127.0.0.1:abc"], "base_url: must be an address"),
        (["--api-key", "schlüssel"], "api_key: must be of ASCII characters"),
    ],
)
def test_what_no_request_can_be_made_of_is_one_line(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(feed, ["top", "--once", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_a_command_whose_output_nobody_reads_ends_in_silence(
    tmp_path: Path, store_url: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "feed", "tokens", "mint", "u", "--data", str(tmp_path)],
        env={**os.environ, "FEED_REDIS_URL": store_url},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert ended.stderr == b""
