"""A document as one HTML file that needs nothing else, as Markdown, and in a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text as TerminalText

from feed.documents.document import Block, Cell, DataTable, Document, Folded, Listing, Text

_LOADER = PackageLoader("feed.documents")


def _environment(finalize: Callable[[Any], Any] | None = None) -> Environment:
    made = Environment(
        loader=_LOADER, autoescape=True, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["kind"] = lambda block: type(block).__name__
    made.filters["cell"] = lambda found: found if isinstance(found, Cell) else Cell(found)
    made.filters["parts"] = lambda text: (text,) if isinstance(text, str) else text
    return made


def _escape_markdown(value: Any) -> Any:
    """Put text in one line, in which neither a table nor HTML can begin or end."""
    if isinstance(value, Markup):
        return value
    line = re.sub(r"\s+", " ", str(value))
    return Markup(line.replace("|", "\\|").replace("<", "&lt;"))  # noqa: S704


_HTML, _MARKDOWN = _environment(), _environment(_escape_markdown)
STYLE_SHEET = _LOADER.get_source(_HTML, "document.css")[0]
"""What stands between <style> and </style> in every HTML page."""


def render_html(document: Document) -> str:
    """Return a document as a self-contained HTML page: styles and figures are inside."""
    return _HTML.get_template("document.html").render(document=document, css=Markup(STYLE_SHEET))  # noqa: S704


def render_markdown(document: Document) -> str:
    """Return a document as Markdown, for a commit, a ticket or a chat."""
    text = _MARKDOWN.get_template("document.md").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def print_document(document: Document, console: Console) -> None:
    """Write the tables and lists of a document to a terminal."""
    for section in document.sections:
        _print_blocks(section.blocks, section.title, console)


def _print_blocks(blocks: Sequence[Block], title: str, console: Console) -> None:
    for block in blocks:
        if isinstance(block, Folded):
            _print_blocks(block.blocks, title, console)
        elif isinstance(block, Listing):
            for item in block.items:
                console.print(TerminalText(f"- {item}"), style="dim")
        elif isinstance(block, DataTable):
            made = Table(title=title, title_justify="left")
            for place, name in enumerate(block.columns):
                made.add_column(TerminalText(name), justify="right" if place else "left")
            for row in block.rows:
                strong = isinstance(row[0], Cell) and row[0].strong
                made.add_row(*map(_plain, row), style="bold" if strong else None)
            console.print(made)


def _plain(found: Cell | Text) -> TerminalText:
    cell = found if isinstance(found, Cell) else Cell(found)
    parts = (cell.text,) if isinstance(cell.text, str) else cell.text
    text = "".join(part if isinstance(part, str) else part.text for part in parts)
    notes = "; ".join(filter(None, cell.notes))
    return TerminalText(f"{text} ({notes})" if notes else text)
