"""A burst of ten times the usual traffic."""

from __future__ import annotations

import time
from pathlib import Path

from lab.faults.crashes import ENVIRONMENT, begin, finish
from lab.faults.installation import Installation
from lab.faults.load import FeedProbe, quantile_ms, statuses
from lab.faults.outcome import Outcome

USUAL, TENFOLD = 8, 80
PATIENCE_MS = 1500.0
"""Slowest acceptable p99 of an answered feed in the burst, client and service on one machine."""


def burst(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Ask with 8 connections, then with 80: what cannot be answered soon must be refused soon."""
    outcome = Outcome("burst", f"{TENFOLD} clients at once instead of {USUAL}", times=1)
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        load, probe = begin(installation, events, rate, seed)
        for clients in (USUAL, TENFOLD):
            with FeedProbe(installation.url, threads=clients) as crowd:
                time.sleep(seconds)
            found = statuses(crowd.answers)
            p99_ms = quantile_ms(crowd.answers, 0.99)
            slowest_s = max(a.seconds for a in crowd.answers)
            outcome.expect(set(found) <= {200, 503}, f"{clients} clients: {found}")
            shed = [a for a in crowd.answers if a.status == 503]
            outcome.expect(all(a.has_retry_after for a in shed), "a 503 without Retry-After")
            outcome.expect(p99_ms < PATIENCE_MS, f"{clients} clients: p99 {p99_ms:.0f} ms")
            outcome.remarks.append(
                f"{clients} clients: {found}, {found.get(200, 0) / seconds:.0f} feeds/s,"
                f" p99 {p99_ms:.0f} ms, slowest {slowest_s:.1f} s"
            )
        finish(installation, load, probe, outcome)
    return outcome
