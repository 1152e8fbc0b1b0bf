"""Writing a report: HTML, Markdown and JSON of the same numbers, side by side."""

from __future__ import annotations

from pathlib import Path

import orjson

from feed.experiments.judgement.results import Report, report_to_json
from feed.experiments.report.files import ReportFiles, report_files
from feed.experiments.report.html import render_html
from feed.experiments.report.markdown import render_markdown


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
    _replace(files.markdown, render_markdown(report).encode())
    _replace(files.html, render_html(report).encode())
    return files


def dump_json(report: Report) -> bytes:
    """Return a report as indented JSON."""
    return orjson.dumps(report_to_json(report), option=orjson.OPT_INDENT_2)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)
