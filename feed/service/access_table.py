"""The table of who may call which route, made from the declarations of the routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from apiflask import APIFlask
from werkzeug.routing import Rule

from feed.service.credentials import KEY_SCOPES, Scope
from feed.service.desk.desk_access import is_desk_page, role_of_page
from feed.service.desk.visitors import Role
from feed.service.operations import Operation, ReaderAccess, operation_of

CALLERS = ("nobody", "site", "reader", "read", "write", "admin", "metrics")
"""Columns: no credential, the site key, a reader's token, and keys by scope."""

YES, OWN, NO = "yes", "own", ""


class AccessRow(NamedTuple):
    """One route: for each kind of caller `yes`, `own` (about oneself) or nothing, and a summary."""

    method: str
    path: str
    access: dict[str, str]
    summary: str = ""


def access_rows(app: APIFlask) -> list[AccessRow]:
    """Return a row for every route and method, as an installation with credentials has it."""
    rows = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not is_desk_page(view):
            access, summary = _access(operation_of(view)), _summary(view)
            rows += [AccessRow(method, path, access, summary) for method, path in _calls(rule)]
    return sorted(rows, key=lambda row: (not row.path.startswith("/v1/"), row.path, row.method))


def desk_rows(app: APIFlask) -> list[tuple[str, str, Role | None]]:
    """Return method, path and least role of every page and form of the desk; None: no role."""
    views = ((rule, app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules())
    found = [
        (method, path, role_of_page(view))
        for rule, view in views
        if is_desk_page(view)
        for method, path in _calls(rule)
    ]
    return sorted(found, key=lambda row: (row[1], row[0]))


def markdown_desk_table(app: APIFlask) -> str:
    """Return the pages of the desk as Markdown."""
    lines = ["| page or form | least role |", "|---|---|"]
    lines += [f"| `{method} {path}` | {role or ''} |" for method, path, role in desk_rows(app)]
    return "\n".join(lines)


def markdown_access_table(app: APIFlask) -> str:
    """Return the table as Markdown."""
    lines = [
        "| route | " + " | ".join(CALLERS) + " | what it does |",
        "|---" * (len(CALLERS) + 2) + "|",
    ]
    for row in access_rows(app):
        cells = " | ".join(row.access[caller] for caller in CALLERS)
        lines.append(f"| `{row.method} {row.path}` | {cells} | {row.summary} |")
    return "\n".join(lines)


def _summary(view: Callable[..., Any]) -> str:
    """Return the first paragraph of a route's description, without the last full stop."""
    return (inspect.getdoc(view) or "").partition("\n\n")[0].replace("\n", " ").rstrip(".")


def _calls(rule: Rule) -> list[tuple[str, str]]:
    """Return method and path of each way in which a route may be called."""
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    return [(method, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]


def _access(declared: Operation | None) -> dict[str, str]:
    if declared is None or declared.scope is Scope.PUBLIC:
        return dict.fromkeys(CALLERS, YES)
    reader = {ReaderAccess.NONE: NO, ReaderAccess.ANY: YES, ReaderAccess.OWN: OWN}
    keys = {
        scope.value: YES if declared.scope in grants else NO for scope, grants in KEY_SCOPES.items()
    }
    return {"nobody": NO, "reader": reader[declared.reader], **keys}
