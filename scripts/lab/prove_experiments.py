#!/usr/bin/env python
"""Run experiments on a real service over HTTP, with readers whose true behaviour is known.

A gain of 10 % in qualified reads must ship, no gain must not, and an experiment whose treatment
loses a tenth of its join keys or of its exposures must be called broken. Ends with 1 when a
verdict is another one.

    python scripts/lab/run prove_experiments --readers 2000 --json proof.json
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.client import FeedClient
from feed.commands.demo_service import running_service, wait_for
from feed.config import DAY_S
from feed.domain import Event, EventKind
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import Report, VerdictKind
from feed.experiments.report.writing import write_report
from feed.newsroom.articles import load_articles
from feed.service.supervisor import is_ready
from feed.storage.archive import Archive
from lab.ports import free_port

VISITS, SLOTS = 2, 20
CLICKS, QUALIFIED = 0.2, 0.7
THREADS = 4


@dataclass(frozen=True)
class Trial:
    """What is true of one simulated audience, and what the report must say of it."""

    name: str
    lift: float
    lost_keys: float
    expected: frozenset[VerdictKind]


TRIALS = (
    Trial("gain", 0.10, 0.0, frozenset({VerdictKind.SHIP})),
    Trial("no-gain", 0.0, 0.0, frozenset({VerdictKind.INCONCLUSIVE, VerdictKind.DO_NOT_SHIP})),
    Trial("lost-keys", 0.10, 0.10, frozenset({VerdictKind.BROKEN})),
)


@click.command()
@click.option("--readers", type=click.IntRange(200), default=2000, show_default=True)
@click.option("--web", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the reports here.")
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(readers: int, web: int, out: Path | None, json_file: Path | None) -> None:
    """Prove that reports tell gains, no gains and faults apart, end to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the service with us
    console = Console()
    with tempfile.TemporaryDirectory(prefix="feed-proof-") as folder:
        data, port = Path(folder) / "data", free_port()
        data.mkdir()
        with running_service(data, port, web, lambda: is_ready("127.0.0.1", port)):
            url = f"http://127.0.0.1:{port}"
            with FeedClient(url) as client:
                client.send_articles(load_articles(time.time()))
            reports = {t.name: run_trial(url, data, t, readers, console) for t in TRIALS}
        torn = Path(folder) / "torn"
        lose_exposures(data, torn, "gain", 0.10)
        design = reports["gain"].experiment
        reports["lost-exposures"] = analyse(torn, design, now=time.time())
        for report in reports.values():
            write_report(report, out or Path(folder) / "reports")
    expected = {t.name: t.expected for t in TRIALS}
    expected["lost-exposures"] = frozenset({VerdictKind.BROKEN})
    rows = [row_of(name, report, expected[name]) for name, report in reports.items()]
    show(rows, console)
    if json_file is not None:
        json_file.write_text(json.dumps({"readers": readers, "trials": rows}, indent=2))
    sys.exit(0 if all(row["as_expected"] for row in rows) else 1)


def run_trial(url: str, data: Path, trial: Trial, readers: int, console: Console) -> Report:
    """Let an audience use the service under one experiment and return its first report."""
    with FeedClient(url) as client:
        client.call("POST", "/v1/experiments", body=design_of(trial, readers))
        answer = client.call("POST", f"/v1/experiments/{trial.name}/start")
        time.sleep(1.5)  # one look of every web process at the definitions
        experiment = experiment_from_json(answer["experiments"][0])
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"{trial.name}: simulated readers", total=readers)
            parts = np.array_split(np.arange(readers), THREADS)
            with ThreadPoolExecutor(THREADS) as pool:
                sent = sum(pool.map(lambda part: visit(url, trial, part, progress, task), parts))
        wait_for("the log to hold everything", lambda: held(data, trial) >= sent, 300.0)
        a_day_later = experiment.started_at + DAY_S  # no verdict falls before a whole day is over
        report = analyse(data, experiment, now=a_day_later)
        client.call("POST", f"/v1/experiments/{trial.name}/stop")
    console.print(f"{trial.name}: {report.verdict.sentence}", highlight=False)
    return report


def visit(url: str, trial: Trial, people: Sequence[int], progress: Progress, task: Any) -> int:
    """Send the visits of some readers; return the number of events sent."""
    sent = 0
    waiting: list[Event] = []
    with FeedClient(url) as client:
        for person in people:
            rng = np.random.default_rng([int(person), *trial.name.encode()])
            for number in range(VISITS):
                page = client.feed(f"{trial.name}-{person}", limit=SLOTS, platform="simulated")
                events = respond(trial, f"{trial.name}-{person}", number, page, rng)
                waiting += events
                sent += len(events)
            if len(waiting) >= 400:
                client.send_events(waiting)
                waiting = []
            progress.advance(task)
        client.send_events(waiting)
    return sent


def respond(
    trial: Trial, user_id: str, number: int, page: dict[str, Any], rng: np.random.Generator
) -> list[Event]:
    """What a reader does with a page: the treated finish what they open more often."""
    treated = page["experiments"].get(trial.name) == "treatment"
    finishes = QUALIFIED * (1.0 + trial.lift * treated)
    events = []
    for item in page["items"]:
        done: list[tuple[EventKind, float | None]] = [(EventKind.IMPRESSION, None)]
        if rng.random() < CLICKS:
            read = (EventKind.READ, 30.0 if rng.random() < finishes else 5.0)
            done += [(EventKind.CLICK, None), read]
        for kind, dwell in done:
            lost = treated and rng.random() < trial.lost_keys
            events.append(
                Event(
                    event_id=f"{user_id}-{number}-{item['position']}-{kind.value}",
                    user_id=user_id,
                    article_id=item["article"]["article_id"],
                    kind=kind,
                    occurred_at=time.time(),
                    dwell_s=dwell,
                    request_id=None if lost else page["request_id"],
                    position=item["position"],
                )
            )
    return events


def design_of(trial: Trial, readers: int) -> dict[str, Any]:
    """The definition of a trial's experiment."""
    return {
        "name": trial.name,
        "hypothesis": "Readers of treatment finish a tenth more of what they open.",
        "owner": "the proof",
        "variants": [
            {"name": "control", "share": 0.5},
            {"name": "treatment", "share": 0.5, "overrides": {"trending_boost": 0.25}},
        ],
        "primary_metrics": ["qualified_reads"],
        "guardrails": [
            {"metric": "section_entropy", "margin": 0.1},
            {"metric": "fallback_share", "margin": 0.01, "relative": False},
            {"metric": "latency_p95", "margin": 0.5},
        ],
        "planned_readers": readers,
        "planned_days": 1,
        "pre_days": 1,
    }


def held(data: Path, trial: Trial) -> int:
    """Return how many of a trial's events the archive holds."""
    with Archive(data / "archive").query() as connection:
        found = connection.execute(
            "SELECT count(*) FROM events WHERE starts_with(user_id, ?)", [f"{trial.name}-"]
        ).fetchone()
    return int(found[0]) if found else 0


def lose_exposures(source: Path, target: Path, experiment: str, share: float) -> None:
    """Copy an archive without a share of the treatment's served feeds."""
    shutil.copytree(source / "archive", target / "archive")
    for file in (target / "archive" / "served").glob("day=*/*.parquet"):
        duckdb.execute(
            f"COPY (SELECT * FROM read_parquet('{file}') WHERE NOT (experiments LIKE"  # noqa: S608
            f' \'%"{experiment}":%"treatment"%\' AND hash(request_id) % 1000 < {1000 * share}))'
            f" TO '{file}.kept' (FORMAT parquet)"
        )
        Path(f"{file}.kept").replace(file)


def row_of(name: str, report: Report, expected: frozenset[VerdictKind]) -> dict[str, Any]:
    """One line of the table."""
    comparison = report.primaries[0].comparisons[0]
    interval = comparison.sequence.relative_interval if comparison.sequence else None
    return {
        "trial": name,
        "readers": sum(arm.exposed for arm in report.arms),
        "events": sum(arm.events for arm in report.arms),
        "effect": comparison.deciding.relative,
        "interval": interval,
        "verdict": report.verdict.kind.value,
        "failed_checks": [c.name for c in report.checks if c.state.value == "failed"],
        "as_expected": report.verdict.kind in expected,
    }


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table."""
    table = Table(title="first reports, over HTTP", title_justify="left")
    for heading in ("trial", "readers", "events", "effect", "verdict", "failed checks", "right"):
        table.add_column(heading)
    for row in rows:
        effect = "none" if row["effect"] is None else f"{row['effect']:+.1%}"
        if row["interval"] is not None:
            effect += f" ({row['interval'][0]:+.1%} to {row['interval'][1]:+.1%})"
        table.add_row(
            row["trial"],
            str(row["readers"]),
            str(row["events"]),
            effect,
            row["verdict"],
            ", ".join(row["failed_checks"]),
            "yes" if row["as_expected"] else "NO",
        )
    console.print(table)


if __name__ == "__main__":
    main()
