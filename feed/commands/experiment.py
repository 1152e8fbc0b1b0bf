"""`feed experiment`: design, start, ramp, stop, list, archive and report experiments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.catalogue.ranking_changes import settings_in_force
from feed.commands.ab_report import ab_report
from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, command_line_user, open_store
from feed.commands.parameters import PATH, parse_object
from feed.config import Settings
from feed.domain import InvalidInputError, format_time
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.definitions import LONGEST_DAYS, Experiment, Status
from feed.experiments.design.lifecycle import (
    archive_experiment,
    create_experiment,
    duplicate_experiment,
    listed_experiments,
    read_experiment,
    read_experiments,
    set_override,
    start_experiment,
    stop_experiment,
    unarchive_experiment,
)
from feed.experiments.design.own_metrics import design_from_json
from feed.experiments.design.ramp import ramp_experiment
from feed.experiments.judgement.baseline_reading import estimate_need
from feed.experiments.judgement.planning import Need
from feed.experiments.judgement.wording import number
from feed.features.sections import read_aliases
from feed.models.registry import ModelRegistry
from feed.storage.redis_store import RedisStore

_PLANNED = ("planned_readers", "planned_days")

data_option = click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")


@click.group("experiment")
def experiment() -> None:
    """Design, start, ramp, stop, list and report A/B experiments.

    A definition is a JSON file. It needs a name, a hypothesis, an owner and variants (the control
    first); every other field has a default. `feed experiment show` prints all fields. When an
    experiment starts, its definition is frozen.
    """


@experiment.command()
@click.argument("definition", type=click.File("rb"))
@data_option
def create(definition: Any, data: Path | None) -> None:
    """Register the experiment in DEFINITION (a JSON file, or - for standard input).

    If the file leaves out the planned readers or days, they are computed from the archive.
    """
    with _opened(data, make=True) as (store, settings):
        content = parse_object(definition.read(), "definition")
        design = design_from_json(content, settings)
        missing = [name for name in _PLANNED if content.get(name) is None]
        if missing:
            design = _planned(
                design,
                _need_of(design, settings),
                missing,
            )
        made = create_experiment(
            store, design, now=time.time(), by=command_line_user(), settings=settings
        )
    start = f"feed experiment start {made.name}"
    click.echo(f"{made.name}, version {made.version}, is a draft. To start it: {start}")


@experiment.command()
@click.argument("definition", type=click.File("rb"))
@data_option
def plan(definition: Any, data: Path | None) -> None:
    """Say how many readers and days the experiment in DEFINITION needs, metric by metric.

    Means and spreads are those of the archive's own readers in the last planned days.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        design = design_from_json(parse_object(definition.read(), "definition"), settings)
        need = _need_of(design, settings)
    click.echo(_describe_need(design, need))
    if need.metrics:
        _show_need(need, Console())


@experiment.command()
@click.argument("name")
@data_option
def start(name: str, data: Path | None) -> None:
    """Start the draft NAME; all processes apply it within a second."""
    with _opened(data) as (store, settings):
        registry = ModelRegistry(settings.data_dir / "models")
        running = start_experiment(
            store, name, registry=registry, now=time.time(), by=command_line_user()
        )
    click.echo(f"{name} runs since {format_time(running.started_at)}")


@experiment.command()
@click.argument("name")
@click.option("--traffic", type=float, required=True, help="Share of the layer's readers, 0 to 1.")
@data_option
def ramp(name: str, traffic: float, data: Path | None) -> None:
    """Let more readers into the running experiment NAME.

    Those who are in stay in and keep their variants. Traffic cannot shrink.
    """
    with _opened(data) as (store, _):
        grown = ramp_experiment(store, name, traffic, now=time.time(), by=command_line_user())
    click.echo(f"{name} has {grown.opened[-1].traffic:.2%} of the readers of layer {grown.layer}")


@experiment.command()
@click.argument("name")
@click.argument("new_name")
@data_option
def duplicate(name: str, new_name: str, data: Path | None) -> None:
    """Register the design of NAME once more, as a draft called NEW_NAME."""
    with _opened(data) as (store, settings):
        duplicate_experiment(
            store, name, new_name, now=time.time(), by=command_line_user(), settings=settings
        )
    click.echo(f"{new_name}: a draft with the design of {name}")


@experiment.command()
@click.argument("name")
@data_option
def archive(name: str, data: Path | None) -> None:
    """Hide NAME, a draft or a stopped experiment, from lists; nothing is deleted."""
    with _opened(data) as (store, _):
        archive_experiment(store, name, now=time.time(), by=command_line_user())
    click.echo(f"{name} is archived")


@experiment.command()
@click.argument("name")
@data_option
def unarchive(name: str, data: Path | None) -> None:
    """Show the archived experiment NAME in lists again."""
    with _opened(data) as (store, _):
        unarchive_experiment(store, name, now=time.time(), by=command_line_user())
    click.echo(f"{name} is no longer archived")


@experiment.command()
@click.argument("name")
@data_option
def stop(name: str, data: Path | None) -> None:
    """End the running experiment NAME; its readers get the usual ranking again."""
    with _opened(data) as (store, _):
        stopped = stop_experiment(store, name, now=time.time(), by=command_line_user())
    click.echo(f"{name} stopped at {format_time(stopped.stopped_at)}")


@experiment.command("override")
@click.argument("name")
@click.argument("user_id")
@click.argument("variant", required=False)
@data_option
def override_reader(name: str, user_id: str, variant: str | None, data: Path | None) -> None:
    """Show USER_ID the VARIANT of NAME for testing; without VARIANT, end that.

    The report never includes this reader, not even afterwards.
    """
    with _opened(data) as (store, _):
        set_override(store, name, user_id, variant, now=time.time(), by=command_line_user())
    click.echo(f"{user_id}: {variant or 'no override'} in {name}, never analysed")


@experiment.command("list")
@click.option("--archived", is_flag=True, help="List archived experiments, too.")
@click.option(
    "--status", type=click.Choice([s.value for s in Status]), help="Only experiments in this state."
)
@data_option
def list_experiments(*, archived: bool, status: str | None, data: Path | None) -> None:
    """List the experiments that are not archived."""
    with _opened(data) as (store, _):
        found = read_experiments(store)
    chosen = Status(status) if status else None
    table = Table()
    for heading in ("name", "version", "status", "started", "stopped"):
        table.add_column(heading, no_wrap=True)
    table.add_column("variants")
    for one in listed_experiments(found.values(), archived=archived, status=chosen):
        table.add_row(
            one.name,
            str(one.version),
            f"{one.status}, archived" if one.archived else one.status.value,
            *(format_time(at)[:10] if at else "" for at in (one.started_at, one.stopped_at)),
            ", ".join(f"{arm.name} {arm.share:.0%}" for arm in one.arms),
        )
    Console().print(table)


@experiment.command()
@click.argument("name")
@click.option("--version", type=int, help="An earlier version.")
@data_option
def show(name: str, version: int | None, data: Path | None) -> None:
    """Print the definition of NAME as JSON."""
    with _opened(data) as (store, _):
        found = read_experiment(store, name, version)
    click.echo(orjson.dumps(experiment_to_json(found), option=orjson.OPT_INDENT_2))


experiment.add_command(ab_report, "report")


@contextmanager
def _opened(data: Path | None, *, make: bool = False) -> Iterator[tuple[RedisStore, Settings]]:
    with one_line_errors():
        settings = chosen_settings(data)
        with open_store(settings, make=make) as store:
            yield store, settings_in_force(store, settings)


def _planned(design: Experiment, need: Need, missing: list[str]) -> Experiment:
    click.echo(_describe_need(design, need), err=True)
    if need.readers and "planned_readers" in missing:
        design = replace(design, planned_readers=need.readers)
    if need.days and need.days > LONGEST_DAYS and "planned_days" in missing:
        raise InvalidInputError(
            "planned_days", f"would be {need.days}: give it, or raise minimum_effect"
        )
    if need.days and "planned_days" in missing:
        design = replace(design, planned_days=need.days)
    return design


def _show_need(need: Need, console: Console) -> None:
    table = Table(title="What each metric needs", title_justify="left")
    for heading in ("metric", "role"):
        table.add_column(heading)
    for heading in ("mean", "std. deviation", "saved by covariate", "readers"):
        table.add_column(heading, justify="right")
    for row in need.metrics:
        numbers = [
            "" if value is None else f"{value:.4g}" for value in (row.mean, row.standard_deviation)
        ]
        saved = "" if row.variance_saved is None else f"{row.variance_saved:.0%}"
        readers = row.reason if row.readers is None else number(row.readers)
        table.add_row(row.metric, row.role, *numbers, saved, readers)
    console.print(table)
    curve = Table(title="Other effects", title_justify="left")
    for heading in ("effect", "readers", "days"):
        curve.add_column(heading, justify="right")
    for point in need.curve:
        known = [number(n) if n else "unknown" for n in (point.readers, point.days)]
        curve.add_row(f"{point.effect:.1%}", *known)
    console.print(curve)
    comparisons = "1 comparison" if need.comparisons == 1 else f"{need.comparisons} comparisons"
    console.print(
        f"{need.readers_a_day:.0f} readers join on a day. The primary metrics are planned for "
        f"{comparisons} (Bonferroni), and each guardrail metric for a treatment that changes "
        f"nothing. The covariate is from {need.covariate_days} days of the archive.",
        highlight=False,
    )


def _need_of(design: Experiment, settings: Settings) -> Need:
    return estimate_need(
        settings.data_dir,
        design,
        now=time.time(),
        time_zone=settings.time_zone,
        section_aliases=read_aliases(settings.section_aliases),
    )


def _describe_need(design: Experiment, need: Need) -> str:
    effect = f"an effect of {design.minimum_effect:.1%} on {', '.join(design.primary_metrics)}"
    if need.readers is None:
        return f"No plan for {effect}: {need.reason}."
    days = f", about {need.days} days" if need.days else f"; days unknown: {need.reason}"
    return f"To find {effect} with {design.power:.0%} chance: {number(need.readers)} readers{days}."
