#!/usr/bin/env python3
"""What the extra feed[speed] brings and costs: the ranker's trees in a compiled loop.

Both ways add up the same trees for the same articles in turns. The price is that of one process
that loads the ranker, first with the loop's machine code not yet on disk, then with it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import tempfile
import time
from importlib.metadata import files
from pathlib import Path

import click
import lightgbm
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.arrays import Floats, Matrix
from feed.models.quick_trees import quick_trees
from feed.models.ranker import LightGBMRanker
from feed.models.schema import FEATURES
from lab.bench.world import build_ranker

LISTS = 50
PACKAGES = ("numba", "llvmlite")
UNKNOWN = 0.2
"""Share of the features that are NaN."""
SPREADS = {"alike": 0.1, "unlike": 1.0}
"""How far the articles of one list are from each other, in standard deviations of a feature."""


@click.command()
@click.option("--turns", default=20, show_default=True, help="Turns of each way.")
def main(turns: int) -> None:
    """Print both tables."""
    rng = np.random.default_rng(1)
    ranker = build_ranker(rng)
    console = Console()
    console.print(table_of_times(ranker.text, rng, turns))
    console.print(table_of_prices(ranker.text))
    parts = [Path(str(part.locate())) for name in PACKAGES for part in files(name) or ()]
    size = sum(path.stat().st_size for path in parts if path.is_file())
    console.print(f"numba and llvmlite take {size / 1e6:.0f} MB.")


def table_of_times(text: str, rng: np.random.Generator, turns: int) -> Table:
    """Return the processor time of adding the trees up, for a request's lists."""
    booster, quick = lightgbm.Booster(model_str=text), quick_trees(text)
    if quick is None:
        raise click.ClickException("numba is not installed")

    def by_lightgbm(features: Matrix) -> Floats:
        return np.asarray(booster.predict(features, raw_score=True, num_threads=1), np.float64)

    table = Table("articles", "", "LightGBM, us", "the loop, us", "ratio", "sums that differ")
    for (kind, spread), count in itertools.product(SPREADS.items(), (1, 80, 120, 400)):
        features = rng.standard_normal((LISTS, 1, len(FEATURES)))
        features = features + spread * rng.standard_normal((LISTS, count, len(FEATURES)))
        features[rng.random((LISTS, 1, len(FEATURES))).repeat(count, 1) < UNKNOWN] = np.nan
        lists = features.astype(np.float32)
        differ = sum(int((by_lightgbm(of) != quick.margin(of)).sum()) for of in lists)
        times = []
        for _ in range(turns):
            for way in (by_lightgbm, quick.margin):
                begun = time.process_time()
                for of in lists:
                    way(of)
                times.append((time.process_time() - begun) / LISTS * 1e6)
        plain, fast = np.median(times[::2]), np.median(times[1::2])
        figures = f"{plain:.0f}", f"{fast:.0f}", f"{fast / plain:.2f}", f"{differ}"
        table.add_row(f"{count}", kind, *figures)
    return table


def table_of_prices(text: str) -> Table:
    """Return what loading the ranker costs a process, without numba and with it."""
    table = Table("the ranker is loaded", "processor, s", "memory of its own, MB", "of files, MB")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        for name, threads in (
            ("without numba", 2),  # the loop is for one thread
            ("with numba, at first", 1),
            ("with numba, again", 1),
        ):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, own, mapped = pool.apply(load_ranker, (text, threads))
            table.add_row(name, f"{seconds:.2f}", f"{own:.0f}", f"{mapped:.0f}")
    return table


def load_ranker(text: str, threads: int) -> tuple[float, float, float]:
    """Load the ranker in this process; return its seconds, own megabytes and those of files."""
    begun, before = time.process_time(), _memory_mb()
    LightGBMRanker(text, np.zeros(len(FEATURES)), threads=threads)
    own, mapped = (after - first for after, first in zip(_memory_mb(), before, strict=True))
    return time.process_time() - begun, own, mapped


def _memory_mb() -> tuple[float, float]:
    """Return the resident memory of this process: its own, and that of files it has mapped."""
    fields = Path("/proc/self/status").read_text().replace("kB", "").splitlines()
    told = dict(line.split(":", 1) for line in fields)
    return int(told["RssAnon"]) / 1024, int(told["RssFile"]) / 1024


if __name__ == "__main__":
    main()
