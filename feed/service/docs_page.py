"""The API documentation: one HTML page made from the OpenAPI document, without external files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from feed.documents.document import (
    Block,
    Code,
    DataTable,
    Document,
    Folded,
    Heading,
    Hyperlink,
    Paragraph,
    Row,
    Section,
    Verbatim,
)
from feed.documents.views import STYLE_SHEET, render_html

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE_SHEET.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self'; base-uri 'none'"
)

Parts = tuple[str | Code | Hyperlink, ...]

_LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default")


def render_docs(document: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    info = document["info"]
    tags: dict[str, list[Block]] = {}
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            if isinstance(entry, dict):
                tag = next(iter(entry.get("tags", [])), "other")
                tags.setdefault(tag, []).extend(_operation(path, method, entry))
    schemas = [
        Folded((Code(name), " " + _first_line(schema)), [_fields(schema)], name)
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    sections = [Section(tag, tag, tag, blocks) for tag, blocks in tags.items()]
    sections.append(Section("Schemas", "Schemas", "schemas", schemas))
    openapi = Hyperlink("openapi.json", "/openapi.json")
    lead = (info.get("description", ""), " The same as data: ", openapi, ".")
    icon = "/static/favicon.svg"
    return render_html(Document(f"{info['title']} API", sections, lead=lead, icon=icon))


def _operation(path: str, method: str, entry: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        Heading(path, badge=method.upper()),
        Paragraph(entry.get("summary", ""), "strong"),
    ]
    if "description" in entry:
        blocks.append(Paragraph(entry["description"]))
    if "x-scope" in entry:
        blocks.append(Paragraph(("API key, where configured: scope ", Code(entry["x-scope"]))))
    if entry.get("parameters"):
        names = ("parameter", "in", "type", "meaning")
        blocks.append(
            DataTable(
                names, [_parameter(p) for p in entry["parameters"]], prose=names, stacked=True
            )
        )
    for media, value in entry.get("requestBody", {}).get("content", {}).items():
        blocks.append(Paragraph(("Body: ", Code(media), " ", *_kind(value["schema"]))))
    head = ("answer", "meaning", "content")
    answers = [
        ((Code(status),), answer.get("description", ""), _contents(answer))
        for status, answer in sorted(entry["responses"].items())
    ]
    return [*blocks, DataTable(head, answers, prose=head, stacked=True)]


def _parameter(parameter: Mapping[str, Any]) -> Row:
    schema = parameter["schema"]
    required = " (required)" if parameter.get("required") else ""
    place = f"{parameter['in']}{required}"
    return (Code(parameter["name"]),), place, _kind(schema), schema.get("description", "")


def _contents(answer: Mapping[str, Any]) -> Parts:
    contents = [
        (Code(media), " ", *_kind(value.get("schema", {})))
        for media, value in answer.get("content", {}).items()
    ]
    return _joined(contents, ", ")


def _fields(schema: Mapping[str, Any]) -> Block:
    properties = schema.get("properties")
    if not properties:
        return Verbatim(json.dumps(schema, indent=1))
    required = set(schema.get("required", ()))
    rows = [
        (
            (Code(name), " *" if name in required else ""),
            _kind(value),
            value.get("description", ""),
        )
        for name, value in properties.items()
    ]
    head = ("field (* required)", "type", "meaning")
    return DataTable(head, rows, prose=head, stacked=True)


def _kind(schema: Any) -> Parts:
    """Return the type of a schema, with a link where it has a name."""
    if not isinstance(schema, dict):
        return ()
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return (Hyperlink(name.rpartition(".")[2], f"#{name}"),)
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return _joined([_kind(option) for option in schema[union]], " or ")
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return _joined([(Code(str(value)),) for value in values], " ")
    if schema.get("type") == "array":
        return "list of ", *_kind(schema.get("items", {})), _limits(schema)
    return str(schema.get("format", schema.get("type", "any"))), _limits(schema)


def _joined(texts: list[Parts], between: str) -> Parts:
    parts = [part for text in texts for part in (between, *text)]
    return tuple(parts[1:])


def _limits(schema: Mapping[str, Any]) -> str:
    given = {name: schema.get(name) for name in _LIMITS}
    found = [f"{name} {value}" for name, value in given.items() if value not in (None, "", [], {})]
    return f" ({', '.join(found)})" if found else ""


def _first_line(schema: Mapping[str, Any]) -> str:
    return next(iter(schema.get("description", "").splitlines()), "")
