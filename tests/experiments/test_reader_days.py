"""One row per reader from the log, against a computation in plain Python from the same rows."""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from lab.simulation.archive import World
from prepared_log import prepared_log, running_trial, window_of

from feed.config import DAY_S
from feed.experiments.design.metrics import METRICS, PER_READER
from feed.experiments.log.exposure import Window
from feed.experiments.log.local_days import day_name
from feed.experiments.log.reader_days import (
    unite_sections,
)
from feed.experiments.log.source import Log
from feed.experiments.log.summaries import (
    count_analysed,
    read_cumulative_moments,
    read_daily_moments,
    read_group_values,
    read_moments,
)
from feed.experiments.statistics.effects import estimate_effect

WORLD = World(experiment="counted", readers=250, days=3, pre_days=3, visits=0.7, repeated=0.05)
WINDOW = window_of(WORLD)
DESIGN = running_trial(WORLD)


@pytest.fixture(scope="module")
def log(data_dirs: Callable[[World], Path]) -> Iterator[Log]:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        yield opened


def rows(log: Log, query: str) -> list[dict[str, Any]]:
    result = log.connection.execute(query)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.fixture(scope="module")
def readers(log: Log) -> dict[str, dict[str, Any]]:
    return {row["user_id"]: row for row in rows(log, "SELECT * FROM readers")}


@pytest.fixture(scope="module")
def events(log: Log) -> dict[str, list[dict[str, Any]]]:
    """Events of each reader from the start on, each event id once, in order of time."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    query = "SELECT event_id, user_id, kind, dwell_s, epoch(occurred_at) AS at FROM events"
    for event in rows(log, query):
        if event["at"] >= WORLD.start_at:
            found[event["user_id"]][event["event_id"]] = event
    return {u: sorted(some.values(), key=lambda e: e["at"]) for u, some in found.items()}


@pytest.fixture(scope="module")
def served(log: Log) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    query = (
        "SELECT user_id, request_id, trending, a.section AS topic, epoch(served_at) AS at"
        " FROM served LEFT JOIN latest_articles AS a USING (article_id)"
    )
    for slot in rows(log, query):
        if slot["at"] >= WORLD.start_at:
            found[slot["user_id"]].append(slot)
    return found


@pytest.mark.parametrize(
    ("column", "counts"),
    [
        ("impressions", lambda e: e["kind"] == "impression"),
        ("clicks", lambda e: e["kind"] == "click"),
        ("reads", lambda e: e["kind"] == "read"),
        ("qualified_reads", lambda e: e["kind"] == "read" and e["dwell_s"] >= 10.0),
        ("likes", lambda e: e["kind"] == "like"),
        ("hides", lambda e: e["kind"] == "hide"),
    ],
)
def test_counts_are_those_of_plain_python(
    readers: dict[str, Any],
    events: dict[str, list[dict[str, Any]]],
    column: str,
    counts: Callable[[dict[str, Any]], bool],
) -> None:
    expected = {user: sum(map(counts, events.get(user, []))) for user in readers}
    assert {user: row[column] for user, row in readers.items()} == expected
    assert sum(expected.values()) > 0


def test_reading_time_sessions_and_views_are_those_of_plain_python(
    readers: dict[str, Any],
    events: dict[str, list[dict[str, Any]]],
    served: dict[str, list[dict[str, Any]]],
) -> None:
    for user, row in readers.items():
        reads = [e["dwell_s"] for e in events.get(user, []) if e["kind"] == "read"]
        assert row["dwell_s"] == pytest.approx(sum(reads))
        asked = {slot["request_id"]: slot["at"] for slot in served[user]}
        assert row["views"] == len(asked)
        moments = sorted([*asked.values(), *(e["at"] for e in events.get(user, []))])
        pauses = [b - a for a, b in pairwise(moments)]
        assert row["sessions"] == 1 + sum(pause > 1800 for pause in pauses)


def test_what_was_shown_is_that_of_plain_python(
    readers: dict[str, Any], served: dict[str, list[dict[str, Any]]]
) -> None:
    for user, row in readers.items():
        by_day: dict[int, Counter[str]] = defaultdict(Counter)
        for slot in served[user]:
            by_day[int(slot["at"] // DAY_S)][slot["topic"]] += 1
        entropy = 0.0
        for sections in by_day.values():
            total = sum(sections.values())
            entropy -= sum(n / total * math.log(n / total) for n in sections.values())
        assert row["section_entropy"] == pytest.approx(entropy)
        assert row["shown_days"] == len(by_day)
        assert row["slots"] == len(served[user])
        assert row["trending_slots"] == sum(slot["trending"] for slot in served[user])


def test_a_page_that_was_loaded_after_midnight_counts_with_its_feed(
    log: Log, data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    shutil.copytree(data_dirs(WORLD), tmp_path, dirs_exist_ok=True)
    last = WINDOW.last_day
    (chosen,) = rows(
        log,
        "SELECT r.user_id, max(q.moment) AS moment FROM readers AS r JOIN requests AS q"
        f" USING (user_id) GROUP BY 1 HAVING floor(max(q.moment) / 86400) = {last - 1}"
        " ORDER BY 1 LIMIT 1",
    )
    page = log.connection.sql(
        f"SELECT * REPLACE (to_timestamp({last * DAY_S + 600}) AS served_at, 20 + position AS"
        f" position) FROM read_parquet('{tmp_path}/archive/served/*/*.parquet', hive_partitioning"
        f" = false) WHERE user_id = '{chosen['user_id']}' AND epoch(served_at) = {chosen['moment']}"
    )
    (folder,) = (tmp_path / "archive" / "served").glob(f"day={day_name(last)}")
    page.write_parquet(str(folder / "page.parquet"))
    with prepared_log(tmp_path, DESIGN, WINDOW) as opened:
        query = "SELECT d.* FROM reader_days AS d JOIN exposed AS x USING (reader) WHERE d.after"
        query += f" AND x.user_id = '{chosen['user_id']}' ORDER BY day"
        before, after = rows(log, query), rows(opened, query)
    assert [row["day"] for row in after] == [row["day"] for row in before]
    assert after[-1]["slots"] == before[-1]["slots"] + 20
    assert after[-1]["ai_slots"] > before[-1]["ai_slots"]


def test_a_session_that_was_open_at_the_first_exposure_counts(
    log: Log, data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    shutil.copytree(data_dirs(WORLD), tmp_path, dirs_exist_ok=True)
    last = WINDOW.last_day
    (chosen,) = rows(
        log,
        "SELECT r.user_id, max(q.moment) AS moment FROM readers AS r JOIN requests AS q"
        f" USING (user_id) GROUP BY 1 HAVING floor(max(q.moment) / 86400) = {last} ORDER BY 1"
        " LIMIT 1",
    )
    again = log.connection.sql(
        f"SELECT * REPLACE (to_timestamp({chosen['moment'] + 600}) AS served_at, 'again' AS"
        f" request_id) FROM read_parquet('{tmp_path}/archive/served/*/*.parquet', hive_partitioning"
        f" = false) WHERE user_id = '{chosen['user_id']}' AND epoch(served_at) = {chosen['moment']}"
    )
    (folder,) = (tmp_path / "archive" / "served").glob(f"day={day_name(last)}")
    again.write_parquet(str(folder / "again.parquet"))
    window = Window(WINDOW.pre_from, chosen["moment"] + 500, WINDOW.to_at)
    with prepared_log(tmp_path, DESIGN, window) as opened:
        query = f"SELECT * FROM readers WHERE user_id = '{chosen['user_id']}'"
        (reader,) = rows(opened, query)
    assert reader["first_at"] == chosen["moment"] + 600
    assert reader["sessions"] == 1


def test_custom_events_change_no_column_of_a_reader(
    log: Log, data_dirs: Callable[[World], Path], tmp_path: Path
) -> None:
    """Thirty in one minute of each hour, of every second reader."""
    shutil.copytree(data_dirs(WORLD), tmp_path, dirs_exist_ok=True)
    many = log.connection.sql(
        "SELECT 'custom-' || user_id || '-' || i AS event_id, user_id, '' AS article_id,"
        " 'custom' AS kind, to_timestamp(getvariable('from_at') + 3600 * (i // 30) + i % 30)"
        " AS occurred_at,"
        " occurred_at AS received_at, 'subscribed' AS name, 1.0 AS value"
        " FROM (SELECT user_id FROM exposed WHERE reader % 2 = 0), range(72 * 30) AS t(i)"
    )
    (folder,) = (tmp_path / "archive" / "events").glob(f"day={day_name(WINDOW.first_day)}")
    many.write_parquet(str(folder / "custom.parquet"))
    with prepared_log(tmp_path, DESIGN, WINDOW) as opened:
        assert (
            rows(opened, "SELECT count(*) AS n FROM events WHERE kind = 'custom'")[0]["n"] > 10**5
        )
        for query in ("SELECT * FROM readers ORDER BY user_id", "SELECT * FROM bots ORDER BY ALL"):
            assert rows(opened, query) == rows(log, query)


def test_returns_look_only_at_days_that_are_whole(
    readers: dict[str, Any], served: dict[str, list[dict[str, Any]]]
) -> None:
    last = WINDOW.last_day
    for user, row in readers.items():
        days = {int(slot["at"] // DAY_S) for slot in served[user]}
        eligible = [day for day in days if day + 1 <= last]
        assert row["returnable_days"] == len(eligible)
        assert row["returned_days"] == sum(day + 1 in days for day in eligible)


def test_the_first_served_feed_dates_the_reader(
    readers: dict[str, Any], served: dict[str, list[dict[str, Any]]]
) -> None:
    for user, row in readers.items():
        assert row["first_at"] == min(slot["at"] for slot in served[user])
        assert row["seniority"] in {"new", "returning"}


@pytest.mark.parametrize("metric", PER_READER, ids=lambda metric: metric.name)
def test_the_last_look_over_time_is_the_estimate_over_all(log: Log, metric: Any) -> None:
    overall = read_moments(log.connection, metric)
    course = read_cumulative_moments(log.connection, metric, WINDOW)
    for name in ("control", "treatment"):
        last, whole = course[name][-1], overall[name,]
        assert last.n == whole.n
        assert last.means == pytest.approx(whole.means, rel=1e-9, abs=1e-12)
        assert last.products == pytest.approx(whole.products, rel=1e-6, abs=1e-6)


def test_a_look_in_the_middle_is_the_analysis_that_ends_there(
    log: Log, data_dirs: Callable[[World], Path]
) -> None:
    metric = METRICS["qualified_reads"]
    middle = read_cumulative_moments(log.connection, metric, WINDOW)
    early = Window(WINDOW.pre_from, WINDOW.from_at, WINDOW.from_at + 2 * DAY_S)
    with prepared_log(data_dirs(WORLD), DESIGN, early) as opened:
        then = read_moments(opened.connection, metric)
    for name in ("control", "treatment"):
        assert middle[name][1].n == then[name,].n
        assert middle[name][1].means == pytest.approx(then[name,].means)
        assert middle[name][1].products == pytest.approx(then[name,].products)


def test_days_add_up_to_the_whole(log: Log) -> None:
    metric = METRICS["clicks"]
    daily = read_daily_moments(log.connection, metric, WINDOW, since_exposure=False)
    overall = read_moments(log.connection, metric)
    for name in ("control", "treatment"):
        total = sum(moments.n * moments.means[0] for moments in daily[name])
        assert total == pytest.approx(overall[name,].n * overall[name,].means[0])
        since = read_daily_moments(log.connection, metric, WINDOW, since_exposure=True)[name]
        assert [moments.n for moments in since] == sorted(
            (moments.n for moments in since), reverse=True
        )


def test_segments_add_up_to_the_variant(log: Log) -> None:
    metric = METRICS["qualified_reads"]
    parts = read_moments(log.connection, metric, ["platform"])
    overall = read_moments(log.connection, metric)
    for name in ("control", "treatment"):
        joined = [moments for key, moments in parts.items() if key[0] == name]
        total = joined[0]
        for other in joined[1:]:
            total = total + other
        assert total.n == overall[name,].n
        assert total.products == pytest.approx(overall[name,].products)


def test_groups_are_of_one_size_however_many_readers_the_variants_have(
    data_dirs: Callable[[World], Path],
) -> None:
    with prepared_log(data_dirs(WORLD), DESIGN, WINDOW) as opened:
        connection = opened.connection
        connection.execute(
            "UPDATE readers SET analysed = false WHERE variant = 'treatment' AND reader % 5 < 2"
        )
        counts = count_analysed(connection)
        values = read_group_values(connection, METRICS["coverage"], ("control", "treatment"))
    few = len(values["treatment"])
    assert few >= 2
    assert len(values["control"]) == counts["control"] // (counts["treatment"] // few) > few
    assert np.mean(values["control"]) == pytest.approx(np.mean(values["treatment"]), rel=0.03)


def test_every_declared_metric_has_an_estimate_or_a_reason(log: Log) -> None:
    for metric in PER_READER:
        moments = read_moments(log.connection, metric)
        effect = estimate_effect(moments["control",], moments["treatment",])
        assert effect.p_value is not None or effect.reason


def test_all_spellings_of_a_section_count_as_the_commonest() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE latest_articles AS SELECT unnest(['Sport', 'sport', 'Sport', 'football',"
            " 'Money', '']) AS section"
        )
        unite_sections(connection, {"football": "SPORT"})
        counted = connection.execute(
            "SELECT section, count(*) FROM latest_articles GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert counted == [("", 1), ("Money", 1), ("Sport", 4)]
