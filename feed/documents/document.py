"""The contents of a document: sections of text, tables and figures, the same for every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feed.documents.charts import IntervalChart, LineChart


@dataclass(frozen=True, slots=True)
class Code:
    """A name or value that is written as in code."""

    text: str


@dataclass(frozen=True, slots=True)
class Hyperlink:
    """A word that leads to an address."""

    text: str
    address: str


Text = str | tuple[str | Code | Hyperlink, ...]
"""A line of text: plain, or in parts of which some are code or links."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        notes: Smaller lines below it; empty ones are left out.
        tone: Whether it is good news.
        strong: In the first cell of a row: whether that row is the one that matters.
    """

    text: Text
    notes: tuple[str, ...] = ()
    tone: Literal["", "good", "warn", "bad"] = ""
    strong: bool = False


Row = Sequence[Cell | Text]


@dataclass(frozen=True, slots=True)
class DataTable:
    """Rows under column titles; the first cell of a row names it.

    Attributes:
        columns: One title for each column.
        rows: Each has as many cells as there are columns.
        prose: Titles of the columns that hold text, which is aligned left and may wrap.
        stacked: Whether a narrow page shows each row as a block.
    """

    columns: Sequence[str]
    rows: Sequence[Row]
    prose: Sequence[str] = ()
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart. Other views than HTML leave it out: its numbers also belong in a table.

    Attributes:
        chart: What is drawn.
        label: What it shows, for people who cannot see it.
        caption: How to read it; may be empty.
        legend: Colour, opacity and meaning of what is drawn.
    """

    chart: IntervalChart | LineChart
    label: str
    caption: str = ""
    legend: Sequence[tuple[str, float, str]] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """A title within a section, with a coloured badge before it or none."""

    text: str
    badge: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; a note explains, a warning must not be missed, a strong one stands out."""

    text: Text
    style: Literal["", "note", "warning", "strong"] = ""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines that are shown exactly as they are, such as a command to copy."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that an HTML page hides under their title until the reader opens them."""

    title: Text
    blocks: Sequence[Block]
    anchor: str = ""


Block = DataTable | Figure | Heading | Paragraph | Verbatim | Listing | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a title.

    Attributes:
        title: As printed above it.
        menu: Its title in the menu.
        anchor: Its address in the page.
        blocks: In order.
        note: An explanation below the title; may be empty.
    """

    title: str
    menu: str
    anchor: str
    blocks: Sequence[Block]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the numbers at the top, with a small note; a wide one takes two places."""

    title: str
    value: str
    note: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """The conclusion: its kind as a label and a style, a sentence, and what led to it."""

    label: str
    style: str
    sentence: str
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Document:
    """A report or reference before it becomes a page.

    Attributes:
        title: Shown by the browser, and at the top where there is no headline.
        sections: In order.
        kicker: The line above everything: what this is, its name and its dates.
        lead: What it is about.
        headline: The conclusion; None where there is none.
        facts: The most important numbers.
        footer: The last line.
        icon: Address of the page's icon; empty without one.
    """

    title: str
    sections: Sequence[Section]
    kicker: str = ""
    lead: Text = ""
    headline: Headline | None = None
    facts: Sequence[Fact] = ()
    footer: str = ""
    icon: str = ""
