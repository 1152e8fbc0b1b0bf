"""`feed report`: what an experiment did to its readers, as HTML, Markdown and JSON."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click
from rich.console import Console

from feed.catalogue.ranking_changes import settings_in_force
from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import OUTPUT_FILE, OUTPUT_FOLDER, PATH, parse_object
from feed.config import Settings
from feed.domain import InvalidInputError, format_time, parse_time
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.lifecycle import read_reported
from feed.experiments.design.own_metrics import design_from_json
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import Report, VerdictKind
from feed.experiments.report.files import REPORTS
from feed.experiments.report.writing import dump_json, write_report
from feed.features.sections import read_aliases

_COLOURS = {
    VerdictKind.SHIP: "green",
    VerdictKind.DO_NOT_SHIP: "red",
    VerdictKind.INCONCLUSIVE: "magenta",
    VerdictKind.GO_ON: "blue",
    VerdictKind.BROKEN: "yellow",
}


@click.command("report")
@click.argument("experiment")
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option("--out", type=OUTPUT_FOLDER, help="Directory to write to; by default DATA/reports.")
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Also write the JSON to this file.")
@click.option(
    "--from", "begin", help="Start of the window (ISO 8601); by default the experiment's start."
)
@click.option("--to", "end", help="End of the window, exclusive; by default the stop, or now.")
@click.option("--version", "version", type=int, help="An earlier version of the experiment.")
@click.option(
    "--definition",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the definition from this JSON file instead of the store.",
)
@click.option(
    "--memory-mb",
    type=click.IntRange(min=1),
    default=1500,
    show_default=True,
    help="Memory of the query, MB.",
)
def ab_report(
    experiment: str,
    data: Path | None,
    out: Path | None,
    json_file: Path | None,
    begin: str | None,
    end: str | None,
    version: int | None,
    definition: Path | None,
    memory_mb: int,
) -> None:
    """Report on EXPERIMENT from the archive: verdict, trust checks, effects.

    Writes EXPERIMENT.html, .md and .json. The HTML is a single file that you can send or print.

    The newsroom sees the report in DATA/reports as the verdict. A report on another definition,
    window or version does not belong there: it needs --out.

    Exit codes: 0 the report was written, whatever its verdict; 1 the archive cannot be read; 2
    the experiment or the window does not exist.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        other = {"--definition": definition, "--from": begin, "--to": end}
        if definition is not None:
            chosen = _read_definition(definition, experiment, settings)
        else:
            with open_store(settings, make=False) as store:
                chosen = read_reported(store, experiment, version)
                if chosen.version != read_reported(store, experiment).version:
                    other["--version"] = str(version)
                settings = settings_in_force(store, settings)
        verdicts = settings.data_dir / REPORTS
        elsewhere = None if out is None or out.resolve() == verdicts.resolve() else out
        _check_place(elsewhere, [option for option, given in other.items() if given is not None])
        now = time.time()
        to_at = parse_time("--to", end) if end else min(now, chosen.stopped_at or now)
        with Console(stderr=True).status("reading the archive"):
            report = analyse(
                settings.data_dir,
                chosen,
                now=now,
                ranking=settings.ranking,
                time_zone=settings.time_zone,
                section_aliases=read_aliases(settings.section_aliases),
                from_at=parse_time("--from", begin) if begin else None,
                to_at=to_at,
                command=_command(chosen, data, definition, begin, to_at, elsewhere),
                memory_mb=memory_mb,
            )
        files = write_report(report, elsewhere or verdicts)
        if json_file is not None:
            json_file.write_bytes(dump_json(report))
    show(report, Console())
    for path in (files.html, files.markdown, files.json):
        click.echo(path)


def show(report: Report, console: Console) -> None:
    """Print the verdict with its reasons."""
    colour = _COLOURS[report.verdict.kind]
    console.print(report.verdict.sentence, style=f"bold {colour}", markup=False, highlight=False)
    for reason in report.verdict.reasons:
        console.print(f"- {reason}", markup=False, highlight=False)


def _check_place(out: Path | None, other: list[str]) -> None:
    """Refuse to write a report where the verdict is looked for if it is not the verdict."""
    if other and out is None:
        rule = (
            f"must name another place with {' and '.join(other)}: DATA/reports is for the verdict"
        )
        raise InvalidInputError("--out", rule)


def _read_definition(path: Path, name: str, settings: Settings) -> Experiment:
    found = design_from_json(parse_object(path.read_bytes(), "--definition"), settings)
    if found.name != name:
        raise InvalidInputError("--definition", f"defines {found.name}, not {name}")
    return found


def _command(
    experiment: Experiment,
    data: Path | None,
    definition: Path | None,
    begin: str | None,
    to_at: float,
    out: Path | None,
) -> str:
    parts = ["feed", "report", experiment.name, "--version", str(experiment.version)]
    if data is not None:
        parts += ["--data", str(data)]
    if definition is not None:
        parts += ["--definition", str(definition)]
    if begin is not None:
        parts += ["--from", begin]
    return shlex.join([*parts, "--to", format_time(to_at), "--out", str(out or ".")])
