"""The readable API documentation: one HTML page made from the OpenAPI document, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE_SHEETS = ("/static/style.css", "/static/plain.css")
CONTENT_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'"


def render_docs(document: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    info = document["info"]
    operations = [
        (path, method, entry)
        for path, methods in document["paths"].items()
        for method, entry in methods.items()
        if isinstance(entry, dict)
    ]
    tags = list(dict.fromkeys(_tag(entry) for _, _, entry in operations))
    menu = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags)
    body = "".join(
        f'<h2 id="{escape(tag)}">{escape(tag)}</h2>'
        + "".join(_operation(p, m, e) for p, m, e in operations if _tag(e) == tag)
        for tag in tags
    )
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        f"{escape(_first_line(schema))}</summary>{_fields(schema)}</details>"
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    styles = "".join(f'<link rel="stylesheet" href="{sheet}">' for sheet in STYLE_SHEETS)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>{styles}"
        '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml"><body class="plain">'
        f"<main><h1>{escape(info['title'])} API</h1><p>{escape(info.get('description', ''))}</p>"
        f'<nav>{menu} <a href="#schemas">schemas</a> <a href="/openapi.json">openapi.json</a>'
        f'</nav>{body}<h2 id="schemas">Schemas</h2>{schemas}</main></html>'
    )


def _operation(path: str, method: str, entry: Mapping[str, Any]) -> str:
    scope = entry.get("x-scope")
    key = f"<p>API key, where configured: scope <code>{escape(scope)}</code></p>" if scope else ""
    return (
        f'<section><h3><span class="method {method}">{method.upper()}</span> {escape(path)}</h3>'
        f"<p><strong>{escape(entry.get('summary', ''))}</strong> "
        f"{escape(entry.get('description', ''))}</p>{key}"
        f"{_parameters(entry.get('parameters', []))}{_body(entry)}{_responses(entry)}</section>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}"
        f"{' (required)' if p.get('required') else ''}</td><td>{_kind(p['schema'])}</td>"
        f"<td>{escape(p['schema'].get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table><tr><th>parameter<th>in<th>type<th></tr>{rows}</table>" if rows else ""


def _body(entry: Mapping[str, Any]) -> str:
    content = entry.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body: <code>{escape(media)}</code> {_kind(value['schema'])}</p>"
        for media, value in content.items()
    )


def _responses(entry: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td>"
        f"<td>{escape(answer.get('description', ''))}</td><td>{_contents(answer)}</td></tr>"
        for status, answer in sorted(entry["responses"].items())
    )
    return f"<table><tr><th>answer<th><th></tr>{rows}</table>"


def _contents(answer: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"<code>{escape(media)}</code> {_kind(value.get('schema', {}))}"
        for media, value in answer.get("content", {}).items()
    )


def _fields(schema: Mapping[str, Any]) -> str:
    properties = schema.get("properties")
    if not properties:
        return f"<pre>{escape(json.dumps(schema, indent=1))}</pre>"
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' *' if name in required else ''}</td>"
        f"<td>{_kind(value)}</td><td>{escape(value.get('description', ''))}</td></tr>"
        for name, value in properties.items()
    )
    return f"<table>{rows}</table>"


def _kind(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}">{escape(name.rpartition(".")[2])}</a>'
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(_kind(option) for option in schema[union])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " ".join(f"<code>{escape(str(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}{_limits(schema)}"
    return f"{escape(str(schema.get('format', schema.get('type', 'any'))))}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    names = (
        "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default",
    )  # fmt: skip
    found = [
        f"{name} {schema[name]}" for name in names if schema.get(name) not in (None, "", [], {})
    ]
    return f" ({escape(', '.join(found))})" if found else ""


def _tag(entry: Mapping[str, Any]) -> str:
    tags: list[str] = entry.get("tags", [])
    return tags[0] if tags else "other"


def _first_line(schema: Mapping[str, Any]) -> str:
    lines: list[str] = schema.get("description", "").splitlines()
    return lines[0] if lines else ""
