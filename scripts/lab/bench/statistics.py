#!/usr/bin/env python
"""Hold the statistics of experiments to their promises, on worlds whose truth is known.

False positives, coverage, power, looking every day, off-policy estimates, readers saved by
interleaving, and agreement with tea-tasting, statsmodels and scipy (a development environment
has them). Ends with 1 when a promise is broken by more than chance.

    python scripts/lab/run bench/statistics --runs 2000 --json statistics.json
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np
import scipy.stats
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.experiments.statistics.aggregates import VARIABLES, Moments
from feed.experiments.statistics.effects import Effect, estimate_adjusted_effect, estimate_effect
from feed.experiments.statistics.interaction import check_heterogeneity
from feed.experiments.statistics.interleaving import estimate_preference
from feed.experiments.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from feed.experiments.statistics.noninferiority import check_guardrail
from feed.experiments.statistics.power import power_reached
from feed.experiments.statistics.sample_ratio import check_sample_ratio
from lab.simulation.claims import CLAIMS, Claim, cut_batches, run_batch
from lab.simulation.rankings import (
    ReadersNeeded,
    count_readers_needed,
    draw_pool,
    try_designs,
)
from lab.simulation.tally import Tally, join_tallies
from lab.simulation.worlds import Readers, draw_readers

try:
    import tea_tasting
    from statsmodels.stats.meta_analysis import combine_effects
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import NormalIndPower
    from tea_tasting.aggr import Aggregates
except ImportError:
    tea_tasting = None

MOST_DIFFERENCE = 1e-8
WORLDS = 20

Pairs = Iterator[tuple[str, float | None, float]]


def against_scipy(control: Readers, treatment: Readers) -> Pairs:
    """What scipy computes too."""
    arms = control.reads_moments(), treatment.reads_moments()
    found = estimate_effect(*arms)
    welch = scipy.stats.ttest_ind(treatment.reads, control.reads, equal_var=False)
    bounds = welch.confidence_interval()
    yield "scipy: Welch, p-value", found.p_value, welch.pvalue
    yield "scipy: Welch, degrees of freedom", found.degrees_of_freedom, welch.df
    for ours, theirs in zip(found.interval or (), bounds, strict=True):
        yield "scipy: Welch, interval", ours, theirs
    held = scipy.stats.ttest_ind(
        treatment.reads, 0.95 * control.reads, equal_var=False, alternative="greater"
    )
    yield "scipy: guardrail, p-value", check_guardrail(found, 0.05).p_holds, held.pvalue
    counts = [int(part.clicks.sum()) for part in (control, treatment)]
    three = [*counts, 500]
    chi_square = scipy.stats.chisquare(three).pvalue
    yield "scipy: sample ratio of three", check_sample_ratio(three, (1, 1, 1)).p_value, chi_square
    credit = treatment.clicks - control.clicks
    mixed = estimate_preference(control.clicks, treatment.clicks)
    single = scipy.stats.ttest_1samp(credit[control.clicks + treatment.clicks > 0], 0.0)
    yield "scipy: interleaving, p-value", mixed.credit_p_value, float(single.pvalue)


def against_tea_tasting(control: Readers, treatment: Readers) -> Pairs:
    """What tea-tasting computes too."""
    metrics: dict[str, tuple[Any, Callable[..., Effect]]] = {
        "ratio": (tea_tasting.RatioOfMeans("numerator", "denominator"), estimate_effect),
        "ratio, CUPED": (
            tea_tasting.RatioOfMeans(*VARIABLES),
            lambda *arms: estimate_adjusted_effect(*arms).effect,
        ),
    }
    arms = [part.click_through_moments() for part in (control, treatment)]
    theirs = [aggregates_of(part) for part in (control, treatment)]
    for name, (metric, estimate) in metrics.items():
        ours, other = estimate(*arms), metric.analyze_aggregates(*theirs)
        yield f"tea-tasting: {name}, difference", ours.difference, other.effect_size
        bounds = (other.effect_size_ci_lower, other.effect_size_ci_upper)
        for our_bound, their_bound in zip(ours.interval or (), bounds, strict=True):
            yield f"tea-tasting: {name}, interval", our_bound, their_bound
        yield f"tea-tasting: {name}, relative", ours.relative, other.rel_effect_size
        yield f"tea-tasting: {name}, p-value", ours.p_value, other.pvalue
    counts = {part: int(arm.clicks.sum()) for part, arm in (("a", control), ("b", treatment))}
    ratio = tea_tasting.SampleRatio(method="binom").analyze(
        {name: Aggregates(count_=count) for name, count in counts.items()}, "a", "b"
    )
    ours_ratio = check_sample_ratio(tuple(counts.values()), (1, 1)).p_value
    yield "tea-tasting: sample ratio, p-value", ours_ratio, ratio.pvalue


def against_statsmodels(control: Readers, treatment: Readers) -> Pairs:
    """What statsmodels computes too."""
    effects = [
        estimate_effect(
            Moments.from_arrays(control.reads[start::4]),
            Moments.from_arrays(treatment.reads[start::4]),
        )
        for start in range(4)
    ]
    p_values = [effect.p_value or 0.0 for effect in effects]
    adjusted = {"holm": adjust_holm(p_values), "fdr_bh": adjust_benjamini_hochberg(p_values)}
    for method, ours in adjusted.items():
        for mine, other in zip(ours, multipletests(p_values, method=method)[1], strict=True):
            yield f"statsmodels: {method}", mine, other
    combined = combine_effects(
        np.array([effect.difference for effect in effects]),
        np.array([(effect.standard_error or 0.0) ** 2 for effect in effects]),
    )
    found = check_heterogeneity(effects)
    yield "statsmodels: Cochran's Q", found.q, combined.q
    yield "statsmodels: common effect", found.common, combined.mean_effect_fe
    size = float(control.reads.mean() / control.reads.std()) / 10
    power = NormalIndPower().power(size, 500, 0.05)
    yield "statsmodels: power", power_reached(float(np.sqrt(2 / 500)), size), power


def aggregates_of(readers: Readers) -> Any:
    """One variant, in tea-tasting's words."""
    columns = (readers.clicks, readers.views, readers.clicks_before, readers.views_before)
    covariances = np.cov(columns)
    return Aggregates(
        count_=readers.clicks.size,
        mean_={name: float(column.mean()) for name, column in zip(VARIABLES, columns, strict=True)},
        var_=dict(zip(VARIABLES, np.diag(covariances).tolist(), strict=True)),
        cov_={
            (left, right): float(covariances[row, row + 1 + step])
            for row, left in enumerate(VARIABLES)
            for step, right in enumerate(VARIABLES[row + 1 :])
        },
    )


def measure_agreement(seed: int) -> dict[str, float]:
    """The largest difference from each library over several worlds, by quantity."""
    oracles: list[Callable[[Readers, Readers], Pairs]] = [against_scipy]
    if tea_tasting is not None:
        oracles += [against_tea_tasting, against_statsmodels]
    rng = np.random.default_rng(seed)
    largest: dict[str, float] = {}
    for _ in range(WORLDS):
        arms = draw_readers(rng, 700), draw_readers(rng, 700, 0.1)
        for oracle in oracles:
            for name, ours, theirs in oracle(*arms):
                gap = float("inf") if ours is None else abs(ours - float(theirs))
                largest[name] = max(largest.get(name, 0.0), gap)
    return largest


def run_trials(executor: Executor, runs: int, seed: int, progress: Progress) -> dict[str, Tally]:
    """Run every trial of every world."""
    waiting = [executor.submit(run_batch, batch) for batch in cut_batches(runs, seed)]
    task = progress.add_task("worlds with a known truth", total=len(waiting))
    parts = []
    for done in as_completed(waiting):
        parts.append(done.result())
        progress.advance(task)
    return join_tallies(parts)


def compare_designs(seed: int, runs: int) -> tuple[ReadersNeeded, dict[str, Tally]]:
    """Readers for the same decision: an A/B test against an interleaved feed."""
    pool = draw_pool(np.random.default_rng(seed), 10_000, noise_a=1.5, noise_b=1.2)
    needed = count_readers_needed(pool)
    return needed, try_designs(seed, runs, pool, needed)


DESIGN_CLAIMS = (
    Claim("Interleaving", "found by an A/B test", (0.77, 0.83)),
    Claim("Interleaving", "found by interleaving, sign test", (0.77, 0.83)),
    Claim("Interleaving", "found by interleaving, mean credit", (0.77, 0.83)),
    Claim("Interleaving", "interleaving of equals, sign test", (0.03, 0.06)),
    Claim("Interleaving", "interleaving of equals, mean credit", (0.04, 0.06)),
)


def judge(tallies: dict[str, Tally]) -> list[dict[str, Any]]:
    """One row a claim."""
    return [
        {
            "section": claim.section,
            "what": claim.what,
            "rate": tallies[claim.what].rate,
            "interval": tallies[claim.what].interval(),
            "trials": tallies[claim.what].trials,
            "wanted": claim.wanted,
            "judgement": claim.judge(tallies[claim.what]),
        }
        for claim in (*CLAIMS, *DESIGN_CLAIMS)
    ]


def show(rows: list[dict[str, Any]], needed: ReadersNeeded, agreement: dict[str, float]) -> None:
    """Print everything as tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    table = Table(title="measured on worlds with a known truth", title_justify="left")
    table.add_column("world | test")
    for heading in ("rate, %", "95 % of chance", "trials", "wanted, %", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for section in dict.fromkeys(row["section"] for row in rows):
        table.add_section()
        table.add_row(section, style="bold")
        for row in (row for row in rows if row["section"] == section):
            table.add_row(*cells_of(row))
    console.print(table)
    console.print(
        f"For a true gain of {needed.relative_gain:.1%} in clicks, 80 % power at 5 %: an A/B test "
        f"needs {needed.split:,} readers; an interleaved feed {needed.mean_credit:,} by mean "
        f"credit ({needed.split / needed.mean_credit:.0f} times fewer), {needed.sign_test:,} by "
        f"the sign test ({needed.split / needed.sign_test:.0f} times fewer)."
    )
    table = Table(title=f"largest difference over {WORLDS} worlds", title_justify="left")
    table.add_column("computed by")
    table.add_column("difference", justify="right")
    for name, gap in agreement.items():
        table.add_row(name, f"{gap:.1e}", style="red" if gap > MOST_DIFFERENCE else "")
    console.print(table)
    if tea_tasting is None:
        console.print("tea-tasting and statsmodels are not installed: not compared")


def cells_of(row: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    low, high = (100 * bound for bound in row["interval"])
    wanted = "" if row["wanted"] is None else "{:g} to {:g}".format(*percent(row["wanted"]))
    colour = {"OUT": "red", "chance": "yellow", "ok": "green"}.get(row["judgement"], "dim")
    return (
        f"  {row['what']}",
        f"{100 * row['rate']:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{row['trials']:,}",
        wanted,
        f"[{colour}]{row['judgement']}[/]",
    )


def percent(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Shares as percentages, without the noise of binary fractions."""
    return tuple(round(100 * share, 6) for share in shares)


@click.command(help=__doc__)
@click.option("--runs", default=2_000, show_default=True, help="Experiments in each world.")
@click.option("--seed", default=20_240, show_default=True, help="Of everything drawn.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the numbers here.",
)
def main(runs: int, seed: int, workers: int, json_file: Path | None) -> None:
    """Run, judge, print."""
    started = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    with Progress() as progress, ProcessPoolExecutor(workers, mp_context=spawn) as executor:
        designs = executor.submit(compare_designs, seed, runs)
        tallies = run_trials(executor, runs, seed, progress)
        needed, found = designs.result()
    rows = judge(tallies | found)
    agreement = measure_agreement(seed)
    show(rows, needed, agreement)
    seconds = time.monotonic() - started
    click.echo(f"{seconds:.0f} s")
    if json_file is not None:
        answer = {
            "runs": runs,
            "seed": seed,
            "seconds": seconds,
            "claims": rows,
            "readers_needed": asdict(needed),
            "largest_difference": agreement,
        }
        json_file.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n")
    broken = any(row["judgement"] == "OUT" for row in rows)
    sys.exit(int(broken or max(agreement.values()) > MOST_DIFFERENCE))


if __name__ == "__main__":
    main()
