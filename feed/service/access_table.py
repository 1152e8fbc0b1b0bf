"""The table of who may call which route, made from the declarations of the routes."""

from __future__ import annotations

from typing import NamedTuple

from apiflask import APIFlask

from feed.service.credentials import KEY_SCOPES, Scope
from feed.service.operations import Operation, ReaderAccess, operation_of

CALLERS = ("nobody", "site", "reader", "read", "write", "admin", "metrics")
"""Columns: no credential, the site key, a reader's token, and keys by scope."""

YES, OWN, NO = "yes", "own", ""


class AccessRow(NamedTuple):
    """One route, and for each kind of caller `yes`, `own` (only about oneself) or nothing."""

    method: str
    path: str
    access: dict[str, str]


def access_rows(app: APIFlask) -> list[AccessRow]:
    """Return a row for every route and method, as an installation with credentials has it."""
    rows = []
    for rule in app.url_map.iter_rules():
        declared = operation_of(app.view_functions[rule.endpoint])
        path = rule.rule.replace("<id:", "{").replace("<path:", "{").replace("<", "{")
        rows += [
            AccessRow(method, path.replace(">", "}"), _access(declared))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
    return sorted(rows, key=lambda row: (not row.path.startswith("/v1/"), row.path, row.method))


def markdown_access_table(app: APIFlask) -> str:
    """Return the table as Markdown."""
    lines = [
        "| route | " + " | ".join(CALLERS) + " |",
        "|---" * (len(CALLERS) + 1) + "|",
    ]
    for row in access_rows(app):
        cells = " | ".join(row.access[caller] for caller in CALLERS)
        lines.append(f"| `{row.method} {row.path}` | {cells} |")
    return "\n".join(lines)


def _access(declared: Operation | None) -> dict[str, str]:
    if declared is None or declared.scope is Scope.PUBLIC:
        return dict.fromkeys(CALLERS, YES)
    reader = {ReaderAccess.NONE: NO, ReaderAccess.ANY: YES, ReaderAccess.OWN: OWN}
    keys = {
        scope.value: YES if declared.scope in grants else NO for scope, grants in KEY_SCOPES.items()
    }
    return {"nobody": NO, "reader": reader[declared.reader], **keys}
