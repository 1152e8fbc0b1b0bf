"""Clicks by slot: what positions let expect, against a computation in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log, running_trial, window_of

from feed.experiments.judgement.results import SlotCell
from feed.experiments.judgement.slot_clicks import (
    FEWEST_EXPECTED,
    POSITIONS,
    count_slots,
    tabulate_slots,
)
from feed.experiments.log.source import Log

WORLD = World(experiment="placed", readers=250, days=3, pre_days=3, visits=0.7, repeated=0.05)
WINDOW = window_of(WORLD)
DESIGN = running_trial(WORLD)


@pytest.fixture(scope="module")
def log(data_dirs: Callable[[World], Path]) -> Iterator[Log]:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        count_slots(opened.connection)
        yield opened


def cells_of(log: Log, title: str) -> dict[tuple[str, str], SlotCell]:
    table = next(t for t in tabulate_slots(log.connection, DESIGN) if t.title == title)
    return {(cell.label, cell.variant): cell for cell in table.cells}


def expected_by_reason(log: Log) -> dict[tuple[str, str], float]:
    """Return the expected clicks by reason and variant, counted one slot at a time."""
    touched: dict[tuple[str, str], bool] = {}
    for request, article, kind in log.connection.execute(
        "SELECT request_id, article_id, kind FROM events JOIN exposed USING (user_id)"
        " WHERE kind IN ('impression', 'click') AND request_id IS NOT NULL"
        " AND epoch(received_at) >= first_at"
    ).fetchall():
        touched[request, article] = touched.get((request, article), False) or kind == "click"
    slots = [
        (variant, reason, min(position, POSITIONS), touched[request, article])
        for variant, reason, position, request, article in log.connection.execute(
            "SELECT variant, reason, position, request_id, article_id"
            " FROM served JOIN readers USING (user_id)"
            " WHERE analysed AND epoch(served_at) >= first_at"
            " AND served_at < to_timestamp(getvariable('to_at'))"
        ).fetchall()
        if (request, article) in touched
    ]
    at_position = defaultdict[int, list[bool]](list)
    for _, _, position, clicked in slots:
        at_position[position].append(clicked)
    found = defaultdict[tuple[str, str], float](float)
    for variant, reason, position, _ in slots:
        found[reason, variant] += sum(at_position[position]) / len(at_position[position])
    return found


def test_each_examined_slot_is_expected_to_do_as_its_position_does(log: Log) -> None:
    cells = cells_of(log, "Reason")
    expected = expected_by_reason(log)
    assert len(cells) > 4
    for key, cell in cells.items():
        assert cell.expected == pytest.approx(expected[key])
        assert (cell.against_place is not None) == (cell.expected >= FEWEST_EXPECTED)
        if cell.against_place is not None:
            assert cell.against_place.covers(cell.clicked / cell.expected)


def test_all_positions_together_get_what_they_let_expect(log: Log) -> None:
    cells = cells_of(log, "Position").values()
    clicked, expected = sum(c.clicked for c in cells), sum(c.expected for c in cells)
    assert clicked > 100
    assert expected == pytest.approx(clicked)


def test_a_slot_without_a_position_is_compared_with_others_without(log: Log) -> None:
    before = cells_of(log, "Reason")
    connection = log.connection
    connection.execute(
        "CREATE TEMP TABLE served AS"
        " SELECT * REPLACE (NULL::INTEGER AS position) FROM memory.main.served"
    )
    connection.execute("DROP TABLE slot_counts")
    try:
        count_slots(connection)
        cells = cells_of(log, "Reason")
    finally:
        connection.execute("DROP TABLE temp.served")
        connection.execute("DROP TABLE slot_counts")
        count_slots(connection)
    assert {k: c.clicked for k, c in cells.items()} == {k: c.clicked for k, c in before.items()}
    clicked, examined = (
        sum(getattr(cell, of) for cell in cells.values()) for of in ("clicked", "examined")
    )
    for cell in cells.values():
        assert cell.expected == pytest.approx(cell.examined * clicked / examined)
