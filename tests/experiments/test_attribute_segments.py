"""Readers split by attributes that the newsroom gave them, against plain Python."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log, running_trial, window_of

from feed.config import DAY_S
from feed.experiments.judgement.breakdowns import split_segments
from feed.experiments.judgement.estimates import estimate_primaries
from feed.experiments.log.exposure import MOST_VALUES, NOT_KNOWN, OTHER
from feed.experiments.log.source import Log

WORLD = World(experiment="known", readers=900, days=3, pre_days=1, visits=0.9)
WINDOW = window_of(WORLD)
DESIGN = running_trial(WORLD, segments=("subscriber", "region"))

_ATTRIBUTES = f"""
SELECT *, CASE
    WHEN hash(user_id) % 3 = 0 THEN '{{}}'
    WHEN epoch(served_at) >= {WORLD.start_at + DAY_S} THEN '{{"subscriber":"changed"}}'
    ELSE json_object('subscriber', CASE WHEN hash(user_id) % 3 = 1 THEN 'yes' ELSE 'no' END,
                     'region', 'r' || floor(sqrt(hash(user_id) % 900)))
    END AS attributes
FROM read_parquet('PATH', hive_partitioning = false)
"""


@pytest.fixture(scope="module")
def data_dir(data_dirs: Callable[[World], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose served feeds have attributes, which change on the second day."""
    directory = tmp_path_factory.mktemp("known")
    shutil.copytree(data_dirs(WORLD), directory, dirs_exist_ok=True)
    with duckdb.connect() as connection:
        for path in (directory / "archive" / "served").glob("*/*.parquet"):
            draft = path.with_suffix(".draft")
            connection.sql(_ATTRIBUTES.replace("PATH", str(path))).write_parquet(str(draft))
            draft.replace(path)
    return directory


@pytest.fixture(scope="module")
def log(data_dir: Path) -> Iterator[Log]:
    with prepared_log(data_dir, DESIGN, WINDOW) as opened:
        yield opened


def test_a_reader_counts_with_what_was_known_at_the_first_exposure(log: Log) -> None:
    slots = log.connection.execute(
        "SELECT user_id, epoch(served_at), attributes FROM served ORDER BY served_at"
    ).fetchall()
    known: dict[str, dict[str, str]] = {}
    for user_id, at, attributes in slots:
        if at >= WINDOW.from_at:
            known.setdefault(user_id, json.loads(attributes))
    regions = Counter(found["region"] for found in known.values() if "region" in found)
    assert len(regions) > MOST_VALUES
    shown = {name for name, _ in sorted(regions.items(), key=lambda r: (-r[1], r[0]))[:MOST_VALUES]}
    rows = log.connection.execute(
        "SELECT user_id, attribute_subscriber, attribute_region FROM readers"
    ).fetchall()
    assert len(rows) == len(known)
    for user_id, subscriber, region in rows:
        found = known[user_id]
        assert subscriber == found.get("subscriber", NOT_KNOWN)
        expected = found.get("region", NOT_KNOWN)
        assert region == (expected if expected in {*shown, NOT_KNOWN} else OTHER)


def test_the_report_splits_by_them(log: Log) -> None:
    families = split_segments(log.connection, DESIGN, estimate_primaries(log.connection, DESIGN))
    (family,) = [f for f in families if "subscriber" in f.title]
    assert family.effects.keys() == {"yes", "no", "changed", NOT_KNOWN}
    counted = log.connection.execute(
        "SELECT attribute_subscriber, count(*) FROM readers WHERE analysed GROUP BY 1"
    ).fetchall()
    sizes = {name: e.control.n + e.treatment.n for name, e in family.effects.items()}
    assert sizes == {name: count for name, count in counted if name in sizes}


def test_an_archive_from_before_there_were_attributes_knows_none(
    data_dirs: Callable[[World], Path],
) -> None:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        found = opened.connection.execute("SELECT DISTINCT attribute_region FROM readers")
        assert found.fetchall() == [(NOT_KNOWN,)]


def test_without_segments_there_are_no_columns_of_attributes(data_dir: Path) -> None:
    with prepared_log(data_dir, replace(DESIGN, segments=()), WINDOW) as opened:
        columns = opened.connection.execute("DESCRIBE readers").fetchall()
    assert not [column for column, *_ in columns if column.startswith("attribute")]
