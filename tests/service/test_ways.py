"""The drawings of docs/design.md, compared with traces of real runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tracing import Function, Trace, traced_calls

from feed.domain import format_time

ROOT = Path(__file__).parents[2]
FEED = ROOT / "feed"
DESIGN = (ROOT / "docs" / "design.md").read_text()
STEP = re.compile(r"^( *)(\S+\.py) +([\w.]+)", re.MULTILINE)
MOST_LINES = 50
"""What fits one screen."""


@dataclass(frozen=True)
class Drawing:
    """The functions of one way in their order, what calls each, and the other files passed."""

    text: str
    steps: list[Function]
    callers: dict[Function, Function]
    other_files: set[str]


def read_drawings() -> dict[int, Drawing]:
    section = DESIGN.split("\n## The four ways\n")[1].split("\n## ")[0]
    found = re.findall(r"\*\*(\d)\. .*?```text\n(.*?)```", section, re.DOTALL)
    drawings = {}
    for number, text in found:
        steps, _, others = text.partition("also:")
        files = set(others.replace(",", " ").split())
        drawings[int(number)] = Drawing(text, *read_steps(steps), files)
    return drawings


def read_steps(text: str) -> tuple[list[Function], dict[Function, Function]]:
    """Return the functions drawn, and the caller of each that is indented below one."""
    steps: list[Function] = []
    callers: dict[Function, Function] = {}
    above: dict[int, Function] = {}
    for indent, file, name in STEP.findall(text):
        depth, step = len(indent), (file, name)
        above = {other: function for other, function in above.items() if other < depth}
        if above:
            callers[step] = above[max(above)]
        above[depth] = step
        steps.append(step)
    return steps, callers


DRAWINGS = read_drawings()


def clicks(site: Any, name: str, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"{name}{number}",
            "user_id": "reader",
            "article_id": f"a{first + number}",
            "kind": "click",
            "occurred_at": format_time(site.clock.now - 60),
        }
        for number in range(5)
    ]


def trace(site: Any, way: int) -> Trace:
    """Return the calls of one way on a site that is warm."""
    site.publish(60)
    site.send(*clicks(site, "before"))
    site.work()
    for _ in range(2):
        site.feed("reader")
    body = {"events": clicks(site, "after", 5)}  # a repeated click changes no counter
    if way == 2:
        site.client.post("/v1/events", json=body)
    runs: dict[int, Callable[[], Any]] = {
        1: lambda: site.client.post("/v1/events", json=body),
        2: lambda: (site.worker.tick(site.clock.now), site.services.keeper.refresh()),
        3: lambda: site.client.get("/v1/feed", query_string={"user_id": "reader"}),
    }
    with traced_calls() as run:
        runs[way]()
    return run


def test_there_are_four_ways_and_each_fits_one_screen() -> None:
    assert [*DRAWINGS] == [1, 2, 3, 4]
    for drawing in DRAWINGS.values():
        assert 10 < len(drawing.text.splitlines()) <= MOST_LINES
        assert max(map(len, drawing.text.splitlines())) <= 110


def functions_of(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    """Yield the qualified names of functions and methods, those within functions too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield within + node.name
            yield from functions_of(node.body, f"{within}{node.name}.")


@pytest.mark.parametrize("way", DRAWINGS)
def test_every_function_drawn_exists(way: int) -> None:
    for file, name in DRAWINGS[way].steps:
        tree = ast.parse((FEED / file).read_text())
        assert name in set(functions_of(tree.body)), f"{file}: {name}"


@pytest.mark.parametrize("way", [1, 2, 3])
def test_a_run_enters_the_functions_in_the_order_drawn(way: int, site: Any) -> None:
    drawing, run = DRAWINGS[way], trace(site, way)
    assert [f for f in dict.fromkeys(run.calls) if f in set(drawing.steps)] == drawing.steps
    wrong = {f: c for f, c in drawing.callers.items() if c not in run.callers[f]}
    assert wrong == {}


@pytest.mark.parametrize("way", [1, 2, 3])
def test_a_run_passes_the_files_named_and_no_others(way: int, site: Any) -> None:
    drawing = DRAWINGS[way]
    drawn = {file for file, _ in drawing.steps}
    assert not drawn & drawing.other_files
    assert {file for file, _ in trace(site, way).calls} == drawn | drawing.other_files
