"""What every view of a document shows, and what none of them lets through."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from rich.console import Console

from feed.documents.charts import Axis, Bar, IntervalChart, LineChart, Point, Series
from feed.documents.document import (
    Block,
    Cell,
    Code,
    DataTable,
    Document,
    Fact,
    Figure,
    Folded,
    Heading,
    Headline,
    Hyperlink,
    Listing,
    Paragraph,
    Section,
    Verbatim,
)
from feed.documents.terminal import print_document
from feed.documents.views import render_html, render_markdown

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>x | y</script>"
PERCENT = Axis(-0.1, 0.3, "{:.0%}".format)


def document_of(*blocks: Block) -> Document:
    return Document("Title", [Section("A section", "Menu", "anchor", blocks, note="A note.")])


def drawn(chart: IntervalChart | LineChart) -> str:
    page = render_html(document_of(Figure(chart, "label")))
    return page[page.index("<figure") : page.index("</figure>")]


def test_an_html_page_holds_every_kind_of_block_and_a_menu() -> None:
    chart = IntervalChart((Bar("a bar", 0.1, -0.05, 0.2, "10 %", "(-5 to 20)"),), PERCENT)
    page = render_html(
        document_of(
            Heading("/path", badge="GET"),
            Paragraph(("see ", Hyperlink("there", "#there"), " or ", Code("code")), "warning"),
            DataTable(("name", "text"), [(Cell("first", ("small",), strong=True), "x")], ("text",)),
            Figure(chart, "shows a bar", "a caption", (("accent", 0.5, "legend"),)),
            Verbatim("a  command"),
            Listing(["one", "two"]),
            Folded("folded", [Paragraph("inside")], "there"),
        )
    )
    for part in (
        '<a href="#anchor">Menu</a>',
        '<span class="badge get">GET</span> /path',
        '<p class="warning">see <a href="#there">there</a> or <code>code</code></p>',
        '<tr class="decides">',
        '<th scope="row">first<small>small</small></th>',
        '<td class="text">x</td>',
        'aria-label="shows a bar"',
        "<figcaption>a caption</figcaption>",
        '<i class="accent" style="opacity:0.5"></i>legend',
        "<pre>a  command</pre>",
        "<li>two</li>",
        '<details id="there"><summary>folded</summary>',
        "<p>inside</p>",
    ):
        assert part in page


def test_markdown_holds_the_same_without_the_figure() -> None:
    text = render_markdown(
        document_of(
            Heading("Sub"),
            Paragraph(("see ", Hyperlink("there", "#there"), " or ", Code("code"))),
            DataTable(("name", "n"), [(Cell("first", ("small", "", "er"), strong=True), "1")]),
            Figure(IntervalChart((), PERCENT), "label", "caption"),
            Verbatim("a | b"),
            Listing(["one"]),
            Folded("Folded", [Paragraph("inside")]),
        )
    )
    assert text == (
        "# Title\n\n## A section\n\nA note.\n\n### Sub\n\nsee [there](#there) or `code`\n\n"
        "| name | n |\n|---|---|\n| **first** (small; er) | 1 |\n\n"
        "```\na | b\n```\n\n- one\n\nFolded:\n\ninside\n"
    )


@pytest.mark.parametrize("place", ["title", "lead", "note", "cell", "fact", "headline", "footer"])
def test_no_view_lets_html_or_a_table_through(place: str) -> None:
    at = {place: HOSTILE}
    document = Document(
        at.get("title", "t"),
        [
            Section(
                "s",
                "m",
                "a",
                [DataTable(("c",), [(at.get("cell", "x"),)])],
                note=at.get("note", ""),
            )
        ],
        lead=at.get("lead", ""),
        headline=Headline("kind", "ship", at.get("headline", "said"), ["why"]),
        facts=[Fact("n", at.get("fact", "1"))],
        footer=at.get("footer", ""),
    )
    page, text = render_html(document), render_markdown(document)
    assert "<script" not in page + text
    assert "&lt;script&gt;x | y&lt;/script&gt;" in page
    assert "&lt;script>x \\| y&lt;/script>" in text


def test_a_terminal_shows_tables_and_lists_even_folded_ones() -> None:
    console = Console(file=io.StringIO(), width=80)
    table = DataTable(
        ("name", "n"), [(Cell("[b]row[/b]", ("", "why"), strong=True), (Code("7"), " h"))]
    )
    print_document(document_of(Folded("x", [table]), Listing(["[i]said[/i]"])), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("A section", "[b]row[/b] (why)", "7 h", "- [i]said[/i]"):
        assert part in shown


def test_charts_take_their_colours_from_the_page() -> None:
    bars = (Bar("<b>$x$</b>", 0.1, -0.05, 0.2, colour="good", strong=True),)
    figure = drawn(IntervalChart(bars, PERCENT, 0.05, "target"))
    assert '<line class="line interval good" x1="12.5%" x2="75.0%"' in figure
    assert '<circle class="area good" cx="50.0%"' in figure
    assert 'class="line accent dashed" x1="37.5%"' in figure
    assert "&lt;b&gt;$x$" in figure
    for colour in ("#", "rgb", "fill=", "stroke="):
        assert colour not in figure


def test_an_interval_wider_than_the_axis_is_cut_off() -> None:
    figure = drawn(IntervalChart((Bar("wide", 9.0, -9.0, 9.0),), PERCENT))
    assert 'x1="0.0%" x2="100.0%"' in figure
    assert "<circle" not in figure
    for end in ("0", "100%"):
        assert f'<svg class="mark" x="{end}" y="50%">' in figure
    within = drawn(IntervalChart((Bar("narrow", 0.0, -0.05, 0.05),), PERCENT))
    assert '<svg class="mark"' not in within


def test_a_narrow_page_names_the_columns_of_a_stacked_table() -> None:
    for stacked in (True, False):
        table = DataTable(("name", "said", "n"), [("row", "why", "7")], ("said",), stacked=stacked)
        page = render_html(document_of(table))
        assert ('<td data-name="n">7</td>' in page) is stacked
        assert 'data-name="said"' not in page


def test_lines_and_areas_break_where_a_value_is_missing() -> None:
    points = tuple(
        Point(x, y, y and y - 0.1, y and y + 0.1)
        for x, y in ((0.0, 0.1), (1.0, 0.2), (2.0, None), (3.0, 0.2))
    )
    series = Series(points, "series-1", "square", joined=True, whisker=0.5, area=0.2)
    chart = LineChart(Axis(0.0, 4.0, "{:g}".format, whole=True), PERCENT, (series,), 200, 0.0)
    assert chart.lines(series) == ["M0,50L25,25", "M75,25"]
    assert chart.areas(series) == ["M0,25L25,0L25,50L0,75Z", "M75,0L75,50Z"]
    figure = drawn(chart)
    assert figure.count('class="mark"') == 3
    assert figure.count("whisker") == 3


def test_an_axis_is_crowded_by_many_ticks_or_by_long_ones() -> None:
    assert not Axis(0, 5, "{:g}".format).is_crowded()
    assert Axis(0, 12, "{:g}".format, most=14).is_crowded()
    assert Axis(-24, 0, "{:g} h ago".format, most=5).is_crowded()


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (PERCENT, [-0.1, 0.0, 0.1, 0.2, 0.3]),
        (Axis(0.5, 4.5, str, most=14, whole=True), [1.0, 2.0, 3.0, 4.0]),
        (Axis(0.5, 28.5, str, most=14, whole=True), [2.0 * n for n in range(1, 15)]),
        (Axis(0.0, 0.011, str, most=5), [0.0, 0.0025, 0.005, 0.0075, 0.01]),
    ],
)
def test_ticks_are_round_numbers_on_the_axis(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == ticks


def test_the_wheel_holds_every_template(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if "/documents/templates/" in name}
    folder = ROOT / "feed" / "documents" / "templates"
    assert held == {f"feed/documents/templates/{path.name}" for path in folder.iterdir()}
    assert len(held) == 5
