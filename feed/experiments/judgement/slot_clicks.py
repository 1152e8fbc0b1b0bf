"""Click-through by position, by reason and by candidate source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import duckdb

from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.results import BoostComparison, SlotCell, SlotTable
from feed.experiments.statistics.shares import ShareSums, expectation_interval, share_interval

POSITIONS = 20
"""Positions shown one by one."""
FEWEST_EXPECTED = 5.0
"""Expected clicks from which clicked over expected says anything."""


def count_slots(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `slot_counts`: shown, examined and clicked slots of a reader by each property.

    One row per reader and value of one property, the other properties null. A slot was examined
    when its impression came, or a click on it. Slots before the first exposure do not count.
    Each examined slot is `expected` to get the click-through of its position in all variants.
    """
    connection.execute(_SLOT_COUNTS)


def tabulate_slots(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[SlotTable, ...]:
    """Return click-through by position, reason and candidate source. Needs `slot_counts`."""
    names = [arm.name for arm in experiment.arms]
    tables = []
    for title, source in _SLOT_TABLES.items():
        cells = [cell for cell in _read_cells(connection, source) if cell.variant in names]
        if title == "Position":
            cells.sort(key=lambda cell: (int(cell.label), names.index(cell.variant)))
            cells = [_name_last(cell) for cell in cells]
        else:
            cells = _by_size(cells)
        if cells:
            tables.append(SlotTable(title, tuple(cells)))
    return tuple(tables)


def compare_boost(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, default_boost: float
) -> BoostComparison | None:
    """Compare trending and other slots with and without the trending boost.

    Args:
        connection: With `slot_counts`.
        experiment: Which may have a variant with `trending_boost` 0 beside one with more.
        default_boost: The installation's strength, for variants that do not change it.

    Returns:
        The comparison; None when the experiment has no such pair.
    """
    boosts = {
        arm.name: float(arm.overrides.get("trending_boost", default_boost))
        for arm in experiment.arms
    }
    without = [name for name, boost in boosts.items() if boost == 0]
    with_boost = [name for name, boost in boosts.items() if boost > 0]
    if not without or not with_boost:
        return None
    pair = {without[0], with_boost[0]}
    cells = tuple(cell for cell in _read_cells(connection, _TRENDING) if cell.variant in pair)
    return BoostComparison(without[0], with_boost[0], boosts[with_boost[0]], cells)


def _read_cells(connection: duckdb.DuckDBPyConnection, source: str) -> list[SlotCell]:
    rows = connection.execute(_CELLS.format(source=source)).fetchall()
    return [_read_cell(*row) for row in rows]


def _read_cell(label: object, variant: str, shown: int, *sums: float) -> SlotCell:
    readers, clicked, examined, squares, _, _, expected, products, expected_squares = sums
    against = ShareSums(int(readers), clicked, expected, squares, products, expected_squares)
    return SlotCell(
        str(label),
        variant,
        int(shown),
        int(examined),
        int(clicked),
        int(readers),
        share_interval(ShareSums(int(readers), *sums[1:6])),
        expected,
        expectation_interval(against) if expected >= FEWEST_EXPECTED else None,
    )


def _name_last(cell: SlotCell) -> SlotCell:
    if int(cell.label) <= POSITIONS:
        return cell
    return replace(cell, label=f"{POSITIONS + 1} and below")


def _by_size(cells: Iterable[SlotCell]) -> list[SlotCell]:
    found = list(cells)
    size: dict[str, int] = {}
    for cell in found:
        size[cell.label] = size.get(cell.label, 0) + cell.examined
    return sorted(found, key=lambda cell: (-size[cell.label], cell.label, cell.variant))


_SLOT_COUNTS = f"""
CREATE TABLE slot_counts AS
WITH touched AS (
    SELECT hash(e.request_id, e.article_id) AS slot, bool_or(e.kind = 'click') AS clicked
    FROM events AS e JOIN exposed AS x USING (user_id)
    WHERE e.kind IN ('impression', 'click') AND e.request_id IS NOT NULL
      AND epoch(e.received_at) >= x.first_at
    GROUP BY 1
), slots AS (
    SELECT
        r.variant, r.reader, least(s.position, {POSITIONS}) AS position,
        coalesce(s.reason, '') AS reason, coalesce(s.sources, '') AS sources,
        coalesce(s.trending, false) AS trending,
        t.slot IS NOT NULL AS examined, coalesce(t.clicked, false) AS clicked
    FROM served AS s
    JOIN readers AS r USING (user_id)
    LEFT JOIN touched AS t ON t.slot = hash(s.request_id, s.article_id)
    WHERE r.analysed AND epoch(s.served_at) >= r.first_at
      AND s.served_at < to_timestamp(getvariable('to_at'))
), positions AS (
    SELECT position, avg(clicked::INTEGER) FILTER (examined) AS click_through
    FROM slots GROUP BY position
)
SELECT
    variant, reader, slots.position, reason, sources, trending,
    count(*) AS shown, count(*) FILTER (examined) AS examined,
    count(*) FILTER (clicked) AS clicked,
    coalesce(sum(click_through) FILTER (examined), 0) AS expected
FROM slots JOIN positions ON slots.position IS NOT DISTINCT FROM positions.position
GROUP BY GROUPING SETS (
    (variant, reader, slots.position), (variant, reader, reason),
    (variant, reader, sources), (variant, reader, trending)
)
"""  # noqa: S608 - the only value put in is a number of this module

_CELLS = """
SELECT
    label, variant, sum(shown), count(*) FILTER (examined > 0), sum(clicked), sum(examined),
    sum(clicked * clicked), sum(clicked * examined), sum(examined * examined),
    sum(expected), sum(clicked * expected), sum(expected * expected)
FROM ({source}) GROUP BY label, variant ORDER BY label, variant
"""
"""A source has one row per label, variant and reader."""

_COUNTS = "shown, examined, clicked, expected"

_SLOT_TABLES = {
    "Position": (
        f"SELECT position + 1 AS label, variant, {_COUNTS} FROM slot_counts"  # noqa: S608
        " WHERE position IS NOT NULL"
    ),
    "Reason": (
        f"SELECT reason AS label, variant, {_COUNTS} FROM slot_counts"  # noqa: S608
        " WHERE reason <> ''"
    ),
    "Candidate source": (
        "SELECT label, variant, sum(shown) AS shown, sum(examined) AS examined,"
        " sum(clicked) AS clicked, sum(expected) AS expected"
        " FROM (SELECT unnest(string_split(sources, ',')) AS label, * FROM slot_counts"
        " WHERE sources <> '') WHERE NOT starts_with(label, 'team:')"
        " GROUP BY label, variant, reader"
    ),
}

_TRENDING = (
    "SELECT CASE WHEN trending THEN 'trending slots' ELSE 'other slots' END AS label,"  # noqa: S608
    f" variant, {_COUNTS} FROM slot_counts WHERE trending IS NOT NULL"
)
