"""The worlds with a known truth: what they promise of themselves, and that every claim is tried."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lab.simulation.claims import CLAIMS, TRIALS, Claim, cut_batches, run_batch
from lab.simulation.rankings import count_readers_needed, draw_pool, try_designs
from lab.simulation.tally import Counter, Tally, join_tallies
from lab.simulation.worlds import CLICK_RATE, TRUE_READS, draw_readers

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_every_claim_is_tried_and_batches_add_up() -> None:
    batches = list(cut_batches(3, seed=1))
    assert {batch.world for batch in batches} == set(TRIALS)
    assert sum(batch.runs for batch in batches) == 3 * len(TRIALS)
    assert len({batch.seed for batch in batches}) == len(batches)
    tallies = join_tallies(run_batch(batch) for batch in batches)
    assert {claim.what for claim in CLAIMS} <= set(tallies)
    for tally in tallies.values():
        assert tally.rate is not None
        assert 0 <= tally.rate <= 1


def test_readers_have_the_reads_and_the_lift_they_are_said_to_have() -> None:
    rng = np.random.default_rng(1)
    plain, lifted = draw_readers(rng, 200_000), draw_readers(rng, 200_000, 0.1)
    assert plain.reads.mean() == pytest.approx(TRUE_READS, rel=0.015)
    assert lifted.reads.mean() == pytest.approx(1.1 * TRUE_READS, rel=0.015)
    assert plain.clicks.sum() / plain.views.sum() == pytest.approx(CLICK_RATE, rel=0.015)


def test_interleaving_needs_fewer_readers_than_a_split() -> None:
    pool = draw_pool(np.random.default_rng(2), 2_000, noise_a=2.0, noise_b=1.0)
    needed = count_readers_needed(pool)
    assert needed.relative_gain > 0
    assert needed.split > 5 * needed.mean_credit
    rates = {name: tally.rate for name, tally in try_designs(3, 100, pool, needed).items()}
    assert rates["found by interleaving, mean credit"] == pytest.approx(0.8, abs=0.15)
    assert rates["interleaving of equals, mean credit"] == pytest.approx(0.05, abs=0.08)


def test_a_claim_tells_chance_from_a_broken_promise() -> None:
    claim = Claim("any", "any", (0.04, 0.06))
    assert claim.judge(Tally(100, 2_000)) == "ok"
    assert claim.judge(Tally(126, 2_000)) == "chance"
    assert claim.judge(Tally(200, 2_000)) == "OUT"
    assert Claim("any", "any", None).judge(Tally(200, 2_000)) == "contrast"


def test_tallies_count_and_add_up() -> None:
    counter = Counter()
    for happened in (True, False, 0.5):
        counter.note("x", happened)
    joined = join_tallies([counter.tallies(), {"x": Tally(1, 1)}])
    assert joined["x"] == Tally(2.5, 4)
    assert Tally().rate is None
    assert Tally().interval() is None


def test_the_statistics_bench_says_what_it_does() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "lab.bench.statistics", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=SCRIPTS,
    )
    assert "--json" in run.stdout
