"""`feed evaluate` says what is wrong before it reads for minutes, and takes training parameters."""

import pytest
from click.testing import CliRunner

from feed.commands.evaluate import evaluate_command, parse_span
from feed.commands.retrain import read_config
from feed.domain import InvalidInputError


def run(*arguments):
    return CliRunner().invoke(evaluate_command, [*map(str, arguments)])


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800.0), ("24h", 86400.0), ("1.5d", 129600)])
def test_a_span_is_a_number_with_its_unit(text, seconds):
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["24", "h", "-3h", "0d", "3 weeks"])
def test_what_is_no_span_is_refused_in_words(text):
    with pytest.raises(InvalidInputError, match="as a number with m, h or d"):
        parse_span(text)


def test_an_unknown_parameter_is_refused_before_anything_is_read(tmp_path):
    found = run(tmp_path / "nowhere", "--dataset", "ebnerd", "--set", "nonsense=1")
    assert found.exit_code == 2
    assert "--set nonsense: is not a setting" in found.output


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    target = tmp_path / "missing" / "report.html"
    found = run(tmp_path / "nowhere", "--dataset", "mind", "--html", target)
    assert found.exit_code == 2
    assert "there is no directory" in found.output


@pytest.mark.parametrize("dataset", ["ebnerd", "mind", "archive"])
def test_a_directory_that_is_not_there_is_bad_input(tmp_path, dataset):
    found = run(tmp_path / "nowhere", "--dataset", dataset)
    assert found.exit_code == 2
    assert "there is no directory" in found.output


def test_parameters_reach_the_training_config():
    config = read_config(["half_life_hours=24", "kind_weights.click=2"])
    assert config.half_life_hours == 24.0
    assert config.kind_weights["click"] == 2.0
    assert read_config([]).half_life_hours == 72.0
