"""Writes a document as one self-contained HTML file, as Markdown, and its tables as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from feed.documents.charts import IntervalChart, LineChart
from feed.documents.document import Cell, Document

_LOADER = PackageLoader("feed.documents")


def _environment(finalize: Callable[[Any], Any] | None = None) -> Environment:
    made = Environment(
        loader=_LOADER, autoescape=True, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["kind"] = lambda block: type(block).__name__
    made.filters["cell"] = lambda found: found if isinstance(found, Cell) else Cell(found)
    made.filters["tex"] = Markup
    made.filters["parts"] = lambda text: (text,) if isinstance(text, str) else text
    return made


def _escape_markdown(value: Any) -> Any:
    """Put text in one line, in which neither a table nor HTML can begin or end."""
    if isinstance(value, Markup):
        return value
    line = re.sub(r"\s+", " ", str(value))
    return Markup(line.replace("|", "\\|").replace("<", "&lt;"))  # noqa: S704


_IN_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def _escape_latex(value: Any) -> Any:
    """Put text in one line without the characters that are commands in LaTeX."""
    if isinstance(value, Markup):
        return value
    return Markup(re.sub(r"\s+", " ", str(value)).translate(_IN_LATEX))  # noqa: S704


_HTML, _MARKDOWN = _environment(), _environment(_escape_markdown)
_LATEX = _environment(_escape_latex)
STYLE_SHEET = _LOADER.get_source(_HTML, "document.css")[0]
"""What stands between <style> and </style> in every HTML page."""


def render_html(document: Document) -> str:
    """Return a document as a self-contained HTML page: styles and figures are inside."""
    return _HTML.get_template("document.html").render(document=document, css=Markup(STYLE_SHEET))  # noqa: S704


def render_markdown(document: Document) -> str:
    """Return a document as Markdown, for a commit, a ticket or a chat."""
    text = _MARKDOWN.get_template("document.md").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def render_latex(document: Document) -> str:
    """Return the tables of a document as LaTeX, for the package booktabs."""
    return _LATEX.get_template("document.tex").render(document=document).strip() + "\n"


def render_chart(chart: IntervalChart | LineChart) -> Markup:
    """Return a chart alone as HTML, for a page that has the styles of charts."""
    drawn: Markup = _HTML.get_template("charts.html").module.draw(chart)  # type: ignore[attr-defined]
    return drawn
