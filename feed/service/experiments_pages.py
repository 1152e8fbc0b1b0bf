"""The pages about experiments, and the reports that they show."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, g

from feed.domain import ConflictError, NotFoundError, StoreUnavailableError
from feed.experiments.design.definitions import NAME_PATTERN
from feed.experiments.design.lifecycle import read_reported
from feed.experiments.report.files import REPORTS, report_files
from feed.service.credentials import Scope
from feed.service.desk.desk_access import find_visitor
from feed.service.desk.desk_shell import render
from feed.service.operations import operation
from feed.service.services import current_services

SHELL_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-src blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""A report inherits the policy of the page that shows it, and its styles are inside it."""

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""A report is one file: its styles are inside, and it runs nothing."""

pages = APIBlueprint("experiments", __name__, enable_openapi=False)


@pages.get("/experiments")
@pages.get("/experiments/new")
@pages.get("/experiments/<name>")
def show_experiments(name: str = "") -> Response:  # noqa: ARG001 - the script reads the address
    """Show the pages about experiments.

    The page holds no data, so that everybody may have it. Its script asks the API, with the
    session of the person who uses it, or else with a key that it asks for.
    """
    try:
        g.visitor = find_visitor()
    except StoreUnavailableError:
        g.visitor = None
    response = render("desk/experiments.html", room="experiments")
    response.headers["Content-Security-Policy"] = SHELL_POLICY
    return response


@pages.get("/experiments/<name>/report.<form>")
@operation(Scope.READ, queued=False)
def send_report(name: str, form: str) -> Response:
    """Return the last report of an experiment as `html`, `md` or `json`."""
    services = current_services()
    files = report_files(services.settings.data_dir.resolve() / REPORTS, name)
    forms = {"html": files.html, "md": files.markdown, "json": files.json}
    path = forms.get(form)
    if path is None or not NAME_PATTERN.fullmatch(name) or not path.is_file():
        try:
            read_reported(services.store, name)
        except ConflictError as error:
            raise NotFoundError(str(error)) from error
        raise NotFoundError(f"there is no report on {name}; feed report {name} makes one")
    types = {"html": "text/html", "md": "text/markdown", "json": "application/json"}
    response = Response(path.read_bytes(), mimetype=types[form])
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Cache-Control"] = "private, no-store"
    return response
