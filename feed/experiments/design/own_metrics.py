"""The site's own metrics: one TOML file, whose errors name the line, the metric and the field."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.metrics import METRICS, Metric, metric_from_json
from feed.experiments.design.toml_lines import find_lines

MOST_METRICS = 50
"""Metrics that one file may declare."""
MOST_BYTES = 100_000
"""Size of that file."""


def own_metrics(settings: Settings) -> dict[str, Metric]:
    """Return the site's own metrics by name; none where there is no file.

    Raises:
        InvalidInputError: the file that is set does not exist, or breaks a rule.
    """
    if settings.metrics_file:
        return read_metric_file(Path(settings.metrics_file), "FEED_METRICS_FILE")
    path = settings.data_dir / "metrics.toml"
    return read_metric_file(path) if path.is_file() else {}


def design_from_json(data: Any, settings: Settings) -> Experiment:
    """Build a new design from JSON, with the metrics of the site's own that it names.

    Their declarations become part of the design, so that no later change of the file changes what
    the experiment measures.

    Raises:
        InvalidInputError: a field is unknown, missing, of the wrong type or breaks a rule.
    """
    return experiment_from_json(data, partial(own_metrics, settings))


def read_metric_file(path: Path, label: str = "FILE") -> dict[str, Metric]:
    """Read a file of metrics.

    Args:
        path: The file.
        label: What names it, for the error that it cannot be read.

    Raises:
        InvalidInputError: names the line, the metric, the field and the rule.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8").replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        raise InvalidInputError(label, f"must be a text file that can be read: {error}") from error
    if len(content) > MOST_BYTES:
        raise InvalidInputError(label, f"must be at most {MOST_BYTES} bytes long")
    try:
        return parse_metrics(text, path.name)
    except RecursionError as error:
        raise InvalidInputError(path.name, "must not be nested so deeply") from error


def parse_metrics(text: str, file_name: str) -> dict[str, Metric]:
    """Parse the text of such a file."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(file_name, f"must be TOML: {error}") from error
    try:
        return _metrics(data)
    except InvalidInputError as error:
        line = _line_of(error.field_name, find_lines(text))
        raise InvalidInputError(
            f"{file_name}, line {line}: {error.field_name}", error.rule
        ) from None


def _metrics(data: Mapping[str, Any]) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for name, declared in data.items():
        if name in METRICS:
            raise InvalidInputError(name, "is the name of a metric that feed brings along")
        if len(found) == MOST_METRICS:
            raise InvalidInputError(name, f"is one too many: at most {MOST_METRICS} are allowed")
        found[name] = metric_from_json(name, declared)
    return found


def _line_of(field: str, lines: Mapping[str, int]) -> int:
    """Return the line of a field, or of what it is missing from."""
    while field and field not in lines:
        field = field.rpartition(".")[0]
    return lines.get(field, 1)
