"""Shows the tables and lists of a document in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text as TerminalText

from feed.documents.document import Block, Cell, DataTable, Document, Folded, Listing, Text


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
