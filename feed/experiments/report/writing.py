"""Writes a report as HTML, Markdown and JSON of the same numbers."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex

import orjson

from feed.documents.document import Document
from feed.documents.views import render_html, render_markdown
from feed.domain import format_time
from feed.experiments.judgement.report_json import report_to_json
from feed.experiments.judgement.results import Report
from feed.experiments.report.comparisons import (
    guardrails_section,
    holdout_section,
    power_section,
    primary_section,
    secondary_section,
    teams_section,
)
from feed.experiments.report.details import (
    boost_section,
    segments_section,
    slots_section,
    time_section,
)
from feed.experiments.report.files import ReportFiles, report_files
from feed.experiments.report.front import (
    design_section,
    facts_of,
    headline,
    kicker,
    reproduction_section,
    trust_section,
)
from feed.experiments.report.overview import overview_section
from feed.storage.working_copy import remote_of


def experiment_document(report: Report) -> Document:
    """Return what a report says, as sections of text, tables and figures."""
    experiment = report.experiment
    sections = [
        *([overview_section(report)] if len(experiment.treatments) > 1 else []),
        trust_section(report),
        primary_section(report),
        guardrails_section(report),
        secondary_section(report),
        time_section(report),
        segments_section(report),
        slots_section(report),
    ]
    if report.boost is not None:
        sections.append(boost_section(report.boost))
    if report.holdout is not None:
        sections.append(holdout_section(report, report.holdout))
    if report.teams:
        sections.append(teams_section(report))
    sections += [
        power_section(report),
        design_section(experiment, report.window),
        reproduction_section(report),
    ]
    made = format_time(report.generated_at)[:19].replace("T", " ")
    return Document(
        f"{experiment.name}: {report.verdict.kind.value}",
        sections,
        kicker(report),
        experiment.hypothesis,
        headline(report),
        facts_of(report),
        f"Made {made} from the archive of events and served feeds. Times are UTC. The HTML,"
        " Markdown and JSON files of this report hold the same numbers.",
    )


def write_report(report: Report, folder: Path) -> ReportFiles:
    """Write a report's three files into a folder, each replaced at once.

    Args:
        report: What to write.
        folder: Made if it is not there.

    Returns:
        The files.
    """
    files = report_files(folder, report.experiment.name)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(files.json, dump_json(report))
    document = experiment_document(report)
    _replace(files.markdown, render_markdown(document).encode())
    _replace(files.html, render_html(document).encode())
    remote = remote_of(folder)
    if remote is not None:
        for path in (files.markdown, files.html, files.json):
            remote.overwrite(path.name, path.read_bytes())
    return files


def dump_json(report: Report) -> bytes:
    """Return a report as indented JSON."""
    return orjson.dumps(report_to_json(report), option=orjson.OPT_INDENT_2)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole, also while the watch and a person make the same report."""
    draft = path.with_name(f".{path.name}.{token_hex(4)}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
