"""Where reports are stored: three files named after the experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPORTS = "reports"
"""Directory of reports in a data directory."""


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report is written."""

    html: Path
    markdown: Path
    json: Path


def report_files(folder: Path, name: str) -> ReportFiles:
    """Return where the report of an experiment belongs."""
    return ReportFiles(folder / f"{name}.html", folder / f"{name}.md", folder / f"{name}.json")
