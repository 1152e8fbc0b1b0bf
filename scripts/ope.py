#!/usr/bin/env python
"""Estimate a policy's value from another policy's log, and compare with what it really got.

python scripts/ope.py --log open_bandit/random --policy open_bandit/bts --json ope.json
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.domain import FeedError
from feed.experiments.effects import Interval
from feed.experiments.off_policy import Estimate, OffPolicyReport, evaluate_policy
from feed.experiments.open_bandit import load_policy_log, measure_reward, pair_logs


def show(report: OffPolicyReport, got: tuple[float, Interval | None], console: Console) -> None:
    """Print the estimates beside the truth, then what the log can bear."""
    table = Table(title="reward a row", title_justify="left")
    for heading in ("estimator", "value", "95 % interval", "off by"):
        table.add_column(heading, justify="left" if heading == "estimator" else "right")
    for estimate in (*report.estimates, *report.clipped):
        table.add_row(*row_of(estimate, got[0]))
    table.add_section()
    table.add_row("really got", f"{got[0]:.5f}", words(got[1]), "")
    console.print(table)
    overlap = report.overlap
    console.print(
        f"{overlap.rows} rows of {overlap.readers} reader groups count like "
        f"{overlap.effective_rows:.0f} rows ({overlap.effective_share:.1%}); largest weight "
        f"{overlap.largest_weight:.1f}, {overlap.largest_share:.1%} of all; weights average "
        f"{overlap.mean_weight:.3f} +- {overlap.mean_weight_error:.3f} (1 when all is right); "
        f"replay keeps about {overlap.matched:.0f} rows"
    )
    if report.refusal:
        console.print(f"REFUSED: {report.refusal}. Do not act on these numbers.", style="bold red")


def row_of(estimate: Estimate, truth: float) -> tuple[str, str, str, str]:
    """One line of the table."""
    if estimate.value is None:
        return estimate.name, "none", "none", ""
    off = f"{estimate.value / truth - 1.0:+.0%}" if truth > 0 else ""
    return estimate.name, f"{estimate.value:.5f}", words(estimate.interval), off


def words(interval: Interval | None) -> str:
    """An interval as text."""
    return "none" if interval is None else f"{interval.low:.5f} to {interval.high:.5f}"


@click.command(help=__doc__)
@click.option(
    "--log",
    "log_dir",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the policy whose log is used.",
)
@click.option(
    "--policy",
    "policy_dir",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the policy to evaluate.",
)
@click.option("--campaign", help="Campaign inside the folders; needed when there are several.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap and the halves.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the numbers here.",
)
def main(
    log_dir: Path, policy_dir: Path, campaign: str | None, seed: int, json_file: Path | None
) -> None:
    """Read both logs, estimate, compare."""
    rng = np.random.default_rng(seed)
    try:
        log, policy = load_policy_log(log_dir, campaign), load_policy_log(policy_dir, campaign)
        report = evaluate_policy(pair_logs(log, policy, rng), rng)
    except FeedError as error:
        raise click.ClickException(str(error)) from error
    got = measure_reward(policy, rng)
    console = Console()
    console.print(
        f"The value of [bold]{policy.name}[/bold] from the log of [bold]{log.name}[/bold]"
    )
    show(report, got, console)
    if json_file is not None:
        answer = {
            "log": log.name,
            "policy": policy.name,
            "seed": seed,
            "really_got": {"value": got[0], "interval": got[1]},
            **asdict(report),
        }
        json_file.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
