"""Readers who log in while an experiment runs: one variant each, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lab.simulation.archive import World

from feed.config import DAY_S, RankingConfig
from feed.experiments.design.assignment import Allocation, assign
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.design.resolution import resolve
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.login_check import check_logins
from feed.experiments.log.exposure import Window, create_exposed, create_requests, set_variables
from feed.experiments.log.source import open_log
from feed.experiments.report.writing import dump_json
from feed.storage.archive_schema import IDENTITIES_TABLE

WORLD = World(experiment="trial", readers=300, days=3, pre_days=2, visits=0.8)
WINDOW = Window(
    WORLD.start_at - WORLD.pre_days * DAY_S, WORLD.start_at, WORLD.start_at + WORLD.days * DAY_S
)
HALFWAY = WORLD.start_at + 1.5 * DAY_S
DESIGN = Experiment(
    name="trial",
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
    status=Status.RUNNING,
    started_at=WORLD.start_at,
    pre_days=WORLD.pre_days,
    planned_days=WORLD.days,
    planned_readers=200,
)
ALLOCATION = Allocation("trial", "salt", "layer", (0, 10_000), ("control", "treatment"), (0.5, 0.5))


@pytest.fixture
def data_dir(data_dirs: Callable[[World], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_dirs(WORLD), tmp_path / "data"))


def write_merges(data_dir: Path, *merges: tuple[str, str, float, str]) -> None:
    """Write identity records: from, to, when, and whose unit is kept."""
    folder = data_dir / "archive" / "identities" / "day=2026-01-01"
    folder.mkdir(parents=True)
    rows = ", ".join(
        f"('{one}', '{other}', make_timestamptz({round(at * 1e6)}), '{keeps}', '[]', '[]',"
        " '1-0', 0, 1)"
        for one, other, at, keeps in merges
    )
    names = ", ".join(column.name for column in IDENTITIES_TABLE.columns)
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM (VALUES {rows}) AS t({names}))"
            f" TO '{folder / '000000000001.parquet'}' (FORMAT parquet)"
        )


def exposed(data_dir: Path, **changes: Any) -> dict[str, tuple[Any, ...]]:
    """Return variant, variants seen, and first exposure of every exposed reader."""
    with open_log(data_dir, WINDOW.pre_from, threads=1) as log:
        set_variables(log.connection, replace(DESIGN, **changes), WINDOW)
        create_requests(log.connection)
        create_exposed(log.connection)
        rows = log.connection.execute(
            "SELECT user_id, variant, variants_seen, first_at FROM exposed"
        ).fetchall()
        checks = [check.finding for check in check_logins(log.connection)]
    return {user_id: tuple(rest) for user_id, *rest in rows} | {"checks": tuple(checks)}


def two_readers(found: dict[str, tuple[Any, ...]]) -> tuple[str, str]:
    """Return two readers of different variants, both exposed in the first half."""
    early = [u for u, row in found.items() if u != "checks" and row[2] < HALFWAY]
    one = next(u for u in early if found[u][0] == "control")
    return one, next(u for u in early if found[u][0] == "treatment")


def test_the_unit_decides_in_place_of_the_id() -> None:
    users = [f"u{n}" for n in range(200)]
    own = [assign(user, ALLOCATION).variant for user in users]
    taken = [assign("account", ALLOCATION, unit=user).variant for user in users]
    assert own == taken
    assert len(set(own)) == 2
    for user in users[:20]:
        found = resolve([DESIGN], "account", RankingConfig(), unit=user)
        assert found == resolve([DESIGN], user, RankingConfig())


def test_the_holdout_goes_by_the_unit_and_an_override_by_the_reader() -> None:
    held = [
        u
        for u in (f"u{n}" for n in range(300))
        if not assign(u, ALLOCATION, holdout_share=0.2).variant
    ]
    assert held
    assert all(not assign("r", ALLOCATION, unit=u, holdout_share=0.2).variant for u in held)
    tester = replace(ALLOCATION, overrides={"r": "treatment"})
    assert assign("r", tester, unit=held[0], holdout_share=0.2).variant == "treatment"


def test_a_reader_who_kept_the_own_variant_has_no_exposure_under_the_other_id(
    data_dir: Path,
) -> None:
    before = exposed(data_dir)
    anon, reader = two_readers(before)
    write_merges(data_dir, (anon, reader, WINDOW.to_at, "to"))
    after = exposed(data_dir)
    assert anon not in after
    assert after[reader] == before[reader]
    (finding,) = after["checks"]
    assert "readers who logged in: 1)" in finding
    others = set(before) - {anon, reader, "checks"}
    assert all(before[one] == after[one] for one in others)


def test_an_account_that_took_over_a_variant_counts_from_the_anonymous_time(
    data_dir: Path,
) -> None:
    before = exposed(data_dir)
    anon, account = two_readers(before)
    write_merges(data_dir, (anon, account, WINDOW.to_at, "from"))
    after = exposed(data_dir)
    assert anon not in after
    assert after[account] == before[anon]


def test_without_the_rule_such_a_reader_would_have_been_in_two_variants(data_dir: Path) -> None:
    before = exposed(data_dir)
    anon, reader = two_readers(before)
    write_merges(data_dir, (anon, reader, WORLD.start_at - 1.0, "to"))
    assert exposed(data_dir)[reader][1] == 2


def test_a_test_override_under_either_id_keeps_the_reader_out(data_dir: Path) -> None:
    anon, reader = two_readers(exposed(data_dir))
    write_merges(data_dir, (anon, reader, WINDOW.to_at, "from"))
    assert reader in exposed(data_dir)
    assert reader not in exposed(data_dir, excluded=(anon,))


def test_a_record_outside_the_experiment_changes_nothing_in_the_report(data_dir: Path) -> None:
    plain = report(data_dir)
    write_merges(data_dir, ("stranger", "nobody", HALFWAY, "to"))
    assert report(data_dir) == plain
    assert all(check["name"] != "Logins" for check in plain["checks"])


def report(data_dir: Path) -> dict[str, Any]:
    found = analyse(data_dir, DESIGN, now=WINDOW.to_at, threads=1)
    return dict(json.loads(dump_json(found), parse_float=_rounded))


def _rounded(text: str) -> float:
    """Read a number without its last digits, which depend on the order of summing."""
    return float(f"{float(text):.7g}")
