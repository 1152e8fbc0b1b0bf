"""The pages about experiments: a list with the latest verdicts, and the reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson
from apiflask import APIBlueprint
from flask import Response, render_template

from feed.domain import NotFoundError, format_time
from feed.experiments.design.definitions import NAME_PATTERN, Experiment, Status
from feed.experiments.design.lifecycle import read_experiments
from feed.experiments.report.files import REPORTS, report_files
from feed.service.credentials import Scope
from feed.service.operations import operation
from feed.service.services import current_services

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""A report is one file: its styles are inside, and it runs nothing."""

_ORDER = (Status.RUNNING, Status.DRAFT, Status.STOPPED)

pages = APIBlueprint("experiments", __name__, enable_openapi=False, template_folder="templates")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list.

    `verdict` and `sentence` come from the latest report and are empty if there is none; `made` is
    the time of that report.
    """

    experiment: Experiment
    started: str
    stopped: str
    verdict: str = ""
    sentence: str = ""
    made: str = ""


@pages.get("/experiments")
@operation(Scope.READ, queued=False)
def list_experiments() -> str:
    """List running and past experiments with the verdict of their last report."""
    services = current_services()
    folder = services.settings.data_dir / REPORTS
    entries = [_entry(found, folder) for found in read_experiments(services.store).values()]
    entries.sort(key=lambda e: (_ORDER.index(e.experiment.status), -e.experiment.started_at))
    return render_template("experiments.html", entries=entries)


@pages.get("/experiments/<name>")
@operation(Scope.READ, queued=False)
def show_report(name: str) -> Response:
    """Show the last report of an experiment."""
    return _send(name, "html")


@pages.get("/experiments/<name>/report.<form>")
@operation(Scope.READ, queued=False)
def send_report(name: str, form: str) -> Response:
    """Return the last report of an experiment as `md` or `json`."""
    return _send(name, form)


def _send(name: str, form: str) -> Response:
    files = report_files(current_services().settings.data_dir.resolve() / REPORTS, name)
    forms = {"html": files.html, "md": files.markdown, "json": files.json}
    path = forms.get(form)
    if path is None or not NAME_PATTERN.fullmatch(name) or not path.is_file():
        raise NotFoundError(f"there is no report on {name}; make it with feed experiment report")
    types = {"html": "text/html", "md": "text/markdown", "json": "application/json"}
    response = Response(path.read_bytes(), mimetype=types[form])
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


def _entry(experiment: Experiment, folder: Path) -> Entry:
    started, stopped = (
        format_time(at)[:10] if at else "" for at in (experiment.started_at, experiment.stopped_at)
    )
    try:
        report = orjson.loads(report_files(folder, experiment.name).json.read_bytes())
        verdict = report["verdict"]
        made = str(report["generated_at"])[:16].replace("T", " ")
        found = str(verdict["kind"]), str(verdict["sentence"])
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(experiment, started, stopped)
    return Entry(experiment, started, stopped, *found, made)
