#!/usr/bin/env python
"""Breaks an installation in every way that matters and counts what was lost: nothing may be."""

from __future__ import annotations

import dataclasses
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
import structlog
from rich.console import Console
from rich.table import Table

from lab.faults import (
    burst,
    cluster,
    copies,
    crashes,
    disks,
    objects,
    retrains,
    store_faults,
    swaps,
    workers,
)
from lab.faults.outcome import Outcome
from lab.hosts.trials import ACTS, try_hosts

Scenario = Callable[[Path], Outcome]


def scenarios(events: int, rate: float, outage_s: float, seed: int) -> dict[str, Scenario]:
    """Return every way of breaking, by name; `events` are those of the killing spree."""
    few = max(2_000, events // 20)
    under_load: dict[str, Any] = {"events": few, "rate": rate / 2, "seed": seed}
    outage: dict[str, Any] = {
        "events": round(rate / 2 * (outage_s + 5)), "rate": rate / 2, "seed": seed,
        "seconds": outage_s,
    }  # fmt: skip
    short: dict[str, Any] = {**under_load, "seconds": min(outage_s, 8.0)}
    return {
        "kill": partial(crashes.kill_in_turn, events=events, rate=rate, seed=seed),
        "death": partial(crashes.kill_everything, **under_load, times=3),
        "workers": partial(
            workers.break_workers, **{**under_load, "events": max(events // 2, 2_000)}
        ),
        "trainers": partial(crashes.two_trainers, versions=6),
        "retrain": partial(retrains.kill_retrain, times=10, seed=seed),
        "stopped": partial(store_faults.store_stopped, **outage),
        "away": partial(store_faults.store_away, **outage),
        "slow": partial(store_faults.store_slow, **short),
        "full": partial(store_faults.store_full, **short),
        "disk": partial(disks.disk_full, **short),
        "archive": partial(disks.no_room_for_archive, events=few),
        "publish": disks.no_room_for_model,
        "truncated": partial(disks.archive_truncated, events=few),
        "clock": partial(disks.clock_back, events=few),
        "burst": partial(burst.burst, **short),
        "swap": partial(swaps.swap_models, articles=2_000, swaps=8),
        "backup": partial(copies.backup_and_restore, **under_load),
        "objects": partial(objects.kill_between_objects, **under_load, times=2),
        "cluster": partial(cluster.cluster_loses_a_node, readers=1_000),
    }


@click.command()
@click.option("--events", default=100_000, show_default=True, help="Events of the killing spree.")
@click.option("--rate", default=1_000.0, show_default=True, help="Events a second.")
@click.option("--outage", default=30.0, show_default=True, help="Seconds the store is away.")
@click.option("--only", multiple=True, metavar="NAME", help="Try this alone; may be repeated.")
@click.option("--seed", default=7, show_default=True, help="Seed of the random moments.")
@click.option("--hosts", is_flag=True, help="Break a site of several hosts instead; needs root.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write figures here.")
def chaos(
    events: int,
    rate: float,
    outage: float,
    only: tuple[str, ...],
    seed: int,
    hosts: bool,  # noqa: FBT001 - click passes it by name
    json_file: Path | None,
) -> None:
    """Kill, stop, slow, fill and damage a running installation; count what was lost.

    Each fault gets a fresh installation in a temporary directory, readers who ask for feeds
    without pause, and senders of events who note what was acknowledged. Afterwards the archive
    must hold every acknowledged event exactly once and the counters must be those recomputed
    from it. With --hosts, one site of several hosts in network namespaces gets every fault in turn.
    Exit code 1 if any promise was broken.
    """
    known = scenarios(events, rate, outage, seed)
    every = list(ACTS if hosts else known)
    unknown = sorted(set(only) - set(every))
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(every)}", param_hint="--only")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    names = [name for name in every if not only or name in only]
    outcomes = _try_hosts(names) if hosts else [_try(n, known[n]) for n in names]
    Console(width=160 if not sys.stdout.isatty() else None).print(render(outcomes))
    if json_file:
        rows = [dataclasses.asdict(outcome) for outcome in outcomes]
        json_file.write_bytes(orjson.dumps({"outcomes": rows}, option=orjson.OPT_INDENT_2))
    sys.exit(1 if any(outcome.failures or outcome.lost for outcome in outcomes) else 0)


def render(outcomes: list[Outcome]) -> Table:
    """Return the table of what was tried and what came of it."""
    table = Table(title="Faults tried", show_lines=True)
    for heading in ("fault", "times", "acknowledged", "lost", "twice", "longest gap", "what came"):
        right = heading not in {"fault", "what came"}
        table.add_column(heading, justify="right" if right else "left")
    for outcome in outcomes:
        notes = [f"BROKEN: {text}" for text in outcome.failures] + outcome.remarks
        table.add_row(
            f"{outcome.name}: {outcome.tried}",
            str(outcome.times),
            f"{outcome.acknowledged:,}",
            str(outcome.lost),
            str(outcome.duplicated),
            f"{outcome.longest_gap_s:.2f} s" if outcome.longest_gap_s else "",
            f"skipped: {outcome.skipped}" if outcome.skipped else "\n".join(notes),
        )
    return table


def _try_hosts(names: list[str]) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="feed-hosts-") as directory:
        return [_noted(outcome, begun) for begun, outcome in try_hosts(Path(directory), names)]


def _try(name: str, scenario: Scenario) -> Outcome:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="feed-chaos-") as directory:
        try:
            outcome = scenario(Path(directory) / name)
        except Exception as error:  # noqa: BLE001 - the table must show what broke the run itself
            traceback.print_exc()
            outcome = Outcome(name, failures=[f"{type(error).__name__}: {error}"])
    return _noted(outcome, begun)


def _noted(outcome: Outcome, begun: float) -> Outcome:
    verdict = "skipped" if outcome.skipped else "BROKEN" if outcome.failures else "kept"
    click.echo(f"{outcome.name}: {verdict} ({time.monotonic() - begun:.0f} s)", err=True)
    return outcome


if __name__ == "__main__":
    chaos()
