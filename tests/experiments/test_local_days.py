"""Days are those of the newsroom: in queries, in Python, and where clocks change."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log

from feed.config import DAY_S, Settings
from feed.domain import InvalidInputError
from feed.environment import settings_from_environment
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.judgement.analysis import analyse
from feed.experiments.log.exposure import Window
from feed.experiments.log.local_days import create_day_macro, day_name, day_of
from feed.experiments.log.source import Log
from feed.experiments.report.front import design_section

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata")
NEW_YORK = "America/New_York"
WORLD = World(experiment="west", readers=250, days=4, pre_days=3, visits=0.7)
WINDOW = Window(
    WORLD.start_at - WORLD.pre_days * DAY_S,
    WORLD.start_at,
    WORLD.start_at + WORLD.days * DAY_S,
    zone=NEW_YORK,
)
DESIGN = Experiment(
    name="west",
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
    status=Status.RUNNING,
    started_at=WORLD.start_at,
    planned_readers=200,
)


@pytest.fixture(scope="module")
def log(data_dirs: Callable[[World], Path]) -> Iterator[Log]:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        yield opened


def local_day(moment: float) -> int:
    date = datetime.fromtimestamp(moment, ZoneInfo(NEW_YORK)).date()
    return date.toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - only its date


@pytest.mark.parametrize("zone", ZONES)
def test_queries_and_python_agree_on_the_day(zone: str) -> None:
    moments = [1_735_689_600.0 + 1_799.5 * n for n in range(17_520)]  # of 2025, every half hour
    with duckdb.connect() as connection:
        create_day_macro(connection, zone)
        query = "SELECT day_of(moment) FROM (SELECT unnest(?) AS moment)"
        found = [day for (day,) in connection.execute(query, [moments]).fetchall()]
    assert found == [day_of(moment, zone) for moment in moments]


@pytest.mark.parametrize(("month", "date", "hours"), [(3, 29, 23), (10, 25, 25), (11, 1, 24)])
def test_a_day_of_23_hours_or_of_25_is_one_day(month: int, date: int, hours: int) -> None:
    zone = "Europe/Berlin"
    midnight = datetime(2026, month, date, tzinfo=ZoneInfo(zone)).timestamp()
    day = day_of(midnight, zone)
    assert day_of(midnight - 1, zone) == day - 1
    assert day_of(midnight + hours * 3_600 - 1, zone) == day
    assert day_of(midnight + hours * 3_600, zone) == day + 1


def test_returns_are_those_on_the_next_local_day(log: Log) -> None:
    days: dict[str, set[int]] = defaultdict(set)
    query = "SELECT DISTINCT user_id, epoch(served_at) FROM served"
    for user, moment in log.connection.execute(query).fetchall():
        if moment >= WORLD.start_at:
            days[user].add(local_day(moment))
    end = local_day(WINDOW.to_at)
    found = log.connection.execute(
        "SELECT user_id, returnable_days, returned_days FROM readers"
    ).fetchall()
    assert found
    for user, returnable, returned in found:
        eligible = [day for day in days[user] if day + 2 <= end]
        assert returnable == len(eligible)
        assert returned == sum(day + 1 in days[user] for day in eligible)


def test_a_report_says_whose_days_it_counts(data_dirs: Callable[[World], Path]) -> None:
    report = analyse(data_dirs(WORLD), DESIGN, now=WINDOW.to_at, time_zone=NEW_YORK, threads=1)
    assert report.window.zone == NEW_YORK
    section = design_section(DESIGN, report.window)
    assert NEW_YORK in repr(section)
    assert replace(report.window, zone="UTC").first_day == report.window.first_day + 1


def test_a_wrong_zone_is_named() -> None:
    assert settings_from_environment({"FEED_TIME_ZONE": "Asia/Tokyo"}).time_zone == "Asia/Tokyo"
    assert Settings().time_zone == "UTC"
    for name in ("Mars/Olympus", "../etc/passwd", "Europe", ""):
        with pytest.raises(InvalidInputError, match=r"^FEED_TIME_ZONE: is not a time zone"):
            settings_from_environment({"FEED_TIME_ZONE": name})
    assert day_name(20_000) == "2024-10-04"
