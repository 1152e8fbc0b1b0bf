#!/usr/bin/env python3
"""Writes docs/reference from the code: settings, commands, routes, events, archive, metrics."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import click
from prometheus_client import REGISTRY, Counter, Gauge, Metric
from pydantic import TypeAdapter

from feed.article_schemas import ArticleIn
from feed.cli import COMMANDS, feed
from feed.commands.settings import markdown_table
from feed.config import Settings
from feed.experiments.design.measures import CHOICES
from feed.experiments.design.metrics import FIELDS, METRICS, PER_READER, Form
from feed.experiments.judgement.reader_table import READER_TABLE
from feed.schemas import EventIn
from feed.service.access_table import markdown_access_table, markdown_desk_table
from feed.service.app import create_app
from feed.service.status_metrics import STATUS_GAUGES
from feed.sources import source_metrics
from feed.storage.archive_schema import TABLES
from feed.storage.redis_store import RedisStore
from feed.watching import watch_metrics
from feed.worker import worker_metrics
from lab.archive_meanings import MEANINGS, TABLE_MEANINGS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOTE = "<!-- Written by `scripts/lab/run reference`; edit the code, not this page. -->\n"

FEW = 5
"""Words that one cell of a table can hold."""

COMMANDS_HEAD = f"""# Command line

{NOTE}
For everybody who runs the service. This page lists what each command does and which options it
takes. A command that fails says why in one line. Exit code 2 means that the input is at fault, 3
that the gate refused a new model, and 1 that something else failed. Every setting can be given in
the environment as `FEED_<NAME>` ([Settings](settings.md)).
"""

ARCHIVE_HEAD = f"""# The archive

{NOTE}
For the data scientist. This page lists the tables of the archive and their columns, so that you can
query it. The worker writes these tables as Parquet files under `archive/` in the data directory,
with one folder for each UTC day. DuckDB, pandas and Spark can read them directly. Times are
timestamps with a time zone, in UTC.

With an object store in `FEED_DATA_URL`, the same files are objects below `archive/`, but not all of
them are valid. `archive/log/` says which are: it has one object for each change, in the order of
their names, with the files that the change `added` and `removed`; one in 64 names all `live`
files. Give the list of valid files to `spark.read.parquet`. A file that no change names was not
committed, and one that a change removed may hold readers who were erased.
"""

EXPORT_HEAD = """## The export of an experiment's readers

`feed export readers NAME` writes one row per reader whom NAME exposed, from the same tables that
its report is made from. Readers with a test override are not in it.
"""

EXPORT_METRICS = """
Each of the definition's `segments` adds the column `attribute_NAME`: the reader's value at the
first exposure, by which the report splits.

Each metric that is computed for single readers, your own included, adds the column
`METRIC_numerator`, and a ratio also `METRIC_denominator`. They count from the reader's first
exposure to the end of the report's window. The same columns with `_before` at the end count the
days before the start: they are the covariate. A metric is the sum of its numerators over the sum of
its denominators; without a denominator it is the mean over readers. Values are winsorised where the
report winsorises. The built-in metrics:

| metric | title | ratio |
|---|---|---|"""


def settings_page() -> str:
    """Return every setting of the service, of the ranking and of training."""
    return f"""# Settings

{NOTE}
For the operator and the data scientist. This page lists every setting with its default and its
unit.

## The service

The service, the worker and every command read these settings from the environment. `feed settings`
prints them, with the values that are set.

{markdown_table("settings")}

## Ranking

Each of these variables sets a parameter for the whole installation: for the service, the worker,
training, `feed ope` and `feed report`. Evaluation on published data keeps the defaults. After a
change, restart the service and the worker together; or change the settings without a restart on
[the desk](../desk.md#settings). A variant of an experiment can override all of them except the
half-life of trending, by the name in lower case and without the prefix (`max_age_hours`). Avoid
changing one while an experiment runs: that changes every variant which does not override it.
`feed settings --of ranking` prints which of them are set.

{markdown_table("ranking")}

## Training

`feed retrain --set NAME=VALUE` changes one of these settings for one run.

{markdown_table("training")}
"""


def commands_page() -> str:
    """Return the help of every command."""
    parts = [COMMANDS_HEAD]
    context = click.Context(feed, info_name="feed", **feed.context_settings)
    for name in COMMANDS:
        command = feed.get_command(context, name)
        if command is not None:
            parts += list(_command_parts(command, click.Context(command, context, name)))
    return "\n".join(parts)


def _command_parts(command: click.Command, context: click.Context) -> Iterable[str]:
    depth = context.command_path.count(" ") + 1
    yield f"{'#' * depth} {context.command_path}\n"
    yield f"```text\n{_help(command, context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _command_parts(child, click.Context(child, context, name))


def _help(command: click.Command, context: click.Context) -> str:
    formatter = click.HelpFormatter(width=96, max_width=96)
    command.format_help(context, formatter)
    return "\n".join(line.rstrip() for line in formatter.getvalue().strip().splitlines())


def routes_page() -> str:
    """Return every route and who may call it."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0")  # no route is called: nothing connects
    app = create_app(settings, RedisStore(settings), time.time)
    return f"""# Routes

{NOTE}
For the engineer who connects a front end or a backend. This page lists every route, what it does,
and who may call it once credentials are required; [Who may do what](../access.md) explains the
credentials. "own" means that the token allows only requests about its own reader. A running service
documents the parameters and answers of each route at `/docs`.

{markdown_access_table(app)}

## The desk

These pages are for people who have [signed in](../access.md#sessions-of-the-desk). Each role may do
what the ones before it may: analyst, editor, admin.

{markdown_desk_table(app)}
"""


def events_page() -> str:
    """Return the fields of an event and of an article as the API takes them."""
    event = TypeAdapter(EventIn).json_schema()
    article = ArticleIn.model_json_schema()
    return f"""# Events and articles

{NOTE}
For the engineer who sends articles and readers' events. This page lists every field that the API
accepts.

## An event

`POST /v1/events` takes up to 500 events. The answer comes when they are stored.

{_field_table(event)}

Kinds: {", ".join(f"`{kind}`" for kind in event["$defs"]["EventKind"]["enum"])}. A kind that
begins with `un` takes back an earlier event; `unlike`, for example, takes back `like`. `custom` is
for [events of your own](../integrate.md#events).

## An article

`POST /v1/articles` takes up to 500 articles, and accepts either all of them or none.

{_field_table(article)}
"""


def _field_table(schema: dict[str, Any]) -> str:
    lines = ["| field | needed | type | limit | meaning |", "|---|---|---|---|---|"]
    for name, entry in schema["properties"].items():
        needed = "yes" if name in schema.get("required", ()) else ""
        text = str(entry.get("description", "")).replace("|", "\\|")
        limit = _limit(entry, schema.get("$defs", {}))
        lines.append(f"| `{name}` | {needed} | {_type_name(entry)} | {limit} | {text} |")
    return "\n".join(lines)


def _limit(entry: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return how long a text or a list may be, how large a number, or which words are known."""
    if "$ref" in entry:
        words = definitions[entry["$ref"].rsplit("/", 1)[1]]["enum"]
        return ", ".join(f"`{word}`" for word in words) if len(words) < FEW else "see below"
    for one in (entry, *entry.get("anyOf", ())):
        if "maxLength" in one:
            return f"{one['maxLength']:,} characters"
        if "maxItems" in one:
            return f"{one['maxItems']:,} entries"
        if "maxProperties" in one:
            return f"{one['maxProperties']:,} entries"
        if "maximum" in one:
            return f"{one['minimum']:,g} to {one['maximum']:,g}"
    return ""


def _type_name(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        kinds = [_type_name(e) for e in entry["anyOf"] if e.get("type") != "null"]
        return kinds[0] if kinds else ""
    if "$ref" in entry:
        return re.sub(r"(?<!^)(?=[A-Z])", " ", entry["$ref"].rsplit("/", 1)[1]).lower()
    if entry.get("format") == "date-time":
        return "time"
    return str(entry.get("type", ""))


def archive_page() -> str:
    """Return the tables of the archive and their columns."""
    parts = [ARCHIVE_HEAD]
    for table in TABLES.values():
        meanings = MEANINGS[table.name]
        rows = [f"| `{c.name}` | `{c.type}` | {meanings[c.name]} |" for c in table.columns]
        head = f"## {table.name}\n\n{TABLE_MEANINGS[table.name]}\n\n| column | type | meaning |"
        parts.append("\n".join([head, "|---|---|---|", *rows, ""]))
    return "\n".join([*parts, _readers_section()])


def _readers_section() -> str:
    """Return the columns of the file that `feed export readers` writes."""
    columns = [f"| `{column.name}` | {column.meaning} |" for column in READER_TABLE]
    metrics = [
        f"| `{metric.name}` | {metric.title} | {'yes' if metric.denominator else ''} |"
        for metric in PER_READER
    ]
    head = EXPORT_HEAD, "| column | meaning |\n|---|---|"
    return "\n".join([*head, *columns, EXPORT_METRICS, *metrics]) + "\n"


def metrics_page() -> str:
    """Return every metric at /metrics."""
    lines = ["| metric | type | meaning |", "|---|---|---|"]
    workers = {
        family.name
        for module in (source_metrics, watch_metrics, worker_metrics)
        for metric in vars(module).values()
        if isinstance(metric, Counter | Gauge)
        for family in metric.describe()
    }
    families = [
        (_series(f), f.type, f.documentation + " (worker)" * (f.name in workers))
        for f in REGISTRY.collect()
    ]
    families += [(name, "gauge", f"{meaning} (installation)") for name, meaning in STATUS_GAUGES]
    lines += [
        f"| `{name}` | {kind} | {meaning} |"
        for name, kind, meaning in sorted(families)
        if name.startswith("feed_")
    ]
    table = "\n".join(lines)
    return f"""# Metrics

{NOTE}
For the operator. This page lists every metric that `/metrics` serves to Prometheus, summed over all
processes of a machine; those marked "installation" are the same on every machine. Where `feed
worker` is a process of its own, those marked "worker" are not at `/metrics` but at its
`FEED_WORKER_METRICS_PORT`. A histogram has the usual series with `_bucket`, `_sum` and `_count` at
the end of its name. Once there are keys, `/metrics` requires a key with the scope `metrics`, unless
`FEED_PUBLIC_METRICS` is true.

{table}
"""


def _series(family: Metric) -> str:
    """Return the name under which Prometheus keeps a metric; a counter's has an ending."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def experiment_metrics_page() -> str:
    """Return the metrics of experiments, and what a site's own may be made of."""
    rows = [
        f"| `{m.name}` | {m.title} | {m.meaning} | {m.better} | {m.note} |"
        for m in METRICS.values()
    ]
    kinds = [
        f"| `{kind}` | {kind.meaning} | {', '.join(f'`{name}`' for name in names)} |"
        for kind, names in FIELDS.items()
    ]
    choices = [
        f"| `{how}` | {', '.join(f'`{name}`' for name in names)} |"
        for how, names in CHOICES.items()
    ]
    forms = ", ".join(f"`{form}`" for form in get_args(Form))
    return f"""# Metrics of experiments

{NOTE}
For the product person and the data scientist. This page lists what an experiment can measure, and
what [your own metrics](../experiments.md#measure-what-matters-to-you) may be made of.
`feed metrics` prints the same list with your own metrics.

## The built-in metrics

| name | title | measures | better | note |
|---|---|---|---|---|
{_lines(rows)}

## Kinds of metrics

Every metric has the fields `title` (at most 80 characters), `kind` and `better` (`up`, `down` or
`neither`). It may have a `note` and a `form`, which says how reports write its values: {forms}.

| kind | what it is | its other fields |
|---|---|---|
{_lines(kinds)}

- `at_least`: only reads of this many seconds, or events of this value, or more.
- `per`: `reader` (if it is left out) or `day`, an active day of a reader.
- `winsorise`: readers whose total is above this quantile (0.5 to 1; `true` means 0.99) count as if
  they were at it. The quantile is that of the positive totals of all variants together.
- `numerator` and `denominator`: each with `count` or `sum`, and perhaps `at_least`. The numerator
  of a share must be a part of its denominator.
- `quantile`: which one, between 0 and 1.

## What can be measured

`count`, `sum` and `value` also take `custom:NAME`, the name of one of your own events. Kinds that
can be taken back (such as likes) count less those taken back.

| field | values |
|---|---|
{_lines(choices)}
"""


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "command-line.md": commands_page,
    "routes.md": routes_page,
    "events.md": events_page,
    "archive.md": archive_page,
    "metrics.md": metrics_page,
    "experiment-metrics.md": experiment_metrics_page,
}


def main() -> None:
    """Write the pages; with --check only say which ones are not up to date."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, render in PAGES.items():
        path, text = FOLDER / name, render()
        if not path.is_file() or path.read_text() != text:
            stale.append(name)
            if not check:
                FOLDER.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    print(f"{'not up to date' if check else 'written'}: {', '.join(stale) or 'nothing'}")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
