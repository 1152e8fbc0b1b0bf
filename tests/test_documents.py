"""What the documents promise, held against the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from feed.cli import COMMANDS
from feed.experiments.design.definitions import Experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MEASURED = (ROOT / "docs" / "measured.md").read_text()
HOUSE = (ROOT / "docs" / "design.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
KEPT_BY_FEED = {
    *("version", "revision", "unit", "salt", "buckets", "reserved", "steps", "status", "archived"),
    *("overrides", "excluded", "created_at", "started_at", "stopped_at"),
}
"""Fields of an experiment's record that commands fill in, or that nobody needs to set."""
ALL = "\n".join(page.read_text() for page in PAGES)


def test_every_command_named_in_the_documents_exists():
    named = set(re.findall(r"`feed ([a-z][a-z-]*)", ALL))
    named |= set(re.findall(r"^(?:\.venv/bin/)?feed ([a-z][a-z-]*)", ALL, re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    assert f"feed {command}" in ALL


def test_every_field_of_a_definition_that_people_write_is_described():
    page = (ROOT / "docs" / "experiments.md").read_text()
    section = page.split("### The fields of a definition")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    described = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    assert described == {field.name for field in fields(Experiment)} - KEPT_BY_FEED


def test_every_script_named_in_the_documents_exists_and_may_be_run():
    named = set(re.findall(r"scripts/[a-z_]+(?:\.[a-z]+)?(?![a-z_/])", ALL))
    assert named
    for name in named:
        assert (ROOT / name).is_file(), name


def test_every_part_of_the_laboratory_named_in_the_documents_exists():
    named = set(re.findall(r"scripts/lab/run ([a-z_/]+)", ALL))
    assert {"bench/serving", "chaos"} <= named
    for name in named:
        assert "__main__" in (ROOT / "scripts" / "lab" / f"{name}.py").read_text(), name


def test_every_local_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_link_to_a_heading_finds_it():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", page.read_text()):
            text = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in anchors, f"{page.name}: {target}#{anchor}"


def test_every_room_is_described():
    rooms = {p.name for p in (ROOT / "feed").iterdir() if (p / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}/`" not in HOUSE} == set()


def test_figures_name_the_command_that_prints_them():
    for page, headings in (
        (README, ["How good, how fast"]),
        (MEASURED, ["How good is it", "How fast is it"]),
    ):
        for heading in headings:
            section = page.split(f"## {heading}")[1].split("\n## ")[0]
            assert re.search(r"scripts/(?:lab/run|[a-z_]+\.py)", section), heading


def test_the_figures_of_the_first_page_are_those_of_the_whole_tables():
    section = README.split("## How good, how fast")[1].split("\n## ")[0]
    figure = r"(?<![\d,.-])\.\d{3}|[\d.]+ ms|[\d,]+(?= feeds| events| lists)"
    figures = set(re.findall(figure, section))
    assert len(figures) > 8
    assert {figure for figure in figures if figure not in MEASURED} == set()


def test_the_first_page_fits_two_screens():
    assert len(README.splitlines()) <= 120
