"""Stops, slows or fills the store while readers come and events are sent."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from feed.config import Settings
from feed.domain import Rung
from feed.storage.embedded import EmbeddedStore
from lab.faults.crashes import ENVIRONMENT, begin, finish
from lab.faults.installation import PATIENCE_S, Installation, wait_until
from lab.faults.load import (
    Answer,
    EventLoad,
    FeedProbe,
    ask_feed,
    longest_gap_s,
    quantile_ms,
    statuses,
)
from lab.faults.outcome import Outcome
from lab.faults.store_proxy import StoreProxy

BUDGET_S = Settings().request_budget_ms / 1000
GRACE_S = 0.5
"""Answers within this time of a change may belong to either side of it."""


def store_stopped(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Stop the store's process (SIGSTOP), as a machine that hangs; then let it go on."""
    outcome = Outcome("stopped", f"store frozen for {seconds:.0f} s", times=1)
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        load, probe = begin(installation, events, rate, seed)
        time.sleep(1.0)

        def switch(on: bool) -> None:  # noqa: FBT001 - a switch
            number = signal.SIGCONT if on else signal.SIGSTOP
            installation.signal("store", number, lambda pids: pids[0])

        _outage(outcome, installation, load, probe, switch, seconds)
        finish(installation, load, probe, outcome)
    return outcome


def store_away(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Refuse every connection to the store, as a network that is cut; then allow them again."""
    outcome = Outcome("away", f"store unreachable for {seconds:.0f} s", times=1)
    with behind_proxy(data_dir) as (installation, proxy):
        load, probe = begin(installation, events, rate, seed)
        time.sleep(1.0)
        _outage(
            outcome, installation, load, probe, lambda on: proxy.open() if on else proxy.shut(),
            seconds,
        )  # fmt: skip
        finish(installation, load, probe, outcome)
    return outcome


def store_slow(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Delay every operation of the store by 100 and by 200 ms."""
    outcome = Outcome("slow", "every store operation delayed by 100 and 200 ms", times=2)
    with behind_proxy(data_dir) as (installation, proxy):
        load, probe = begin(installation, events, rate, seed)
        for delay_ms in (100, 200):
            time.sleep(1.0)
            seen, begun = len(probe.answers), time.monotonic()
            proxy.delay_s = delay_ms / 1000
            time.sleep(seconds)
            proxy.delay_s = 0.0
            slow = [a for a in probe.answers[seen:] if a.at - a.seconds > begun + GRACE_S]
            late = sum(a.seconds > BUDGET_S for a in slow)
            outcome.expect(bool(slow), f"no feed was answered at {delay_ms} ms")
            outcome.expect(_all_fine(slow), f"feeds at {delay_ms} ms: {statuses(slow)}")
            outcome.remarks.append(
                f"{delay_ms} ms: {len(slow)} feeds, p50 {quantile_ms(slow, 0.5):.0f} ms,"
                f" p99 {quantile_ms(slow, 0.99):.0f} ms, {late} over {BUDGET_S * 1000:.0f} ms"
            )
        finish(installation, load, probe, outcome)
    return outcome


def store_full(data_dir: Path, events: int, rate: float, seed: int, seconds: float) -> Outcome:
    """Let the store reach its memory limit (nothing is evicted), then lift it."""
    outcome = Outcome("full", f"store full (maxmemory, noeviction) for {seconds:.0f} s", times=1)
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        load, probe = begin(installation, events, rate, seed)
        time.sleep(1.0)

        def switch(on: bool) -> None:  # noqa: FBT001 - a switch
            installation.configure_store("maxmemory", "0" if on else "1mb")

        _outage(outcome, installation, load, probe, switch, seconds, names_rung=False)
        finish(installation, load, probe, outcome)
    return outcome


@contextmanager
def behind_proxy(data_dir: Path) -> Iterator[tuple[Installation, StoreProxy]]:
    """Run a store, a proxy before it, and an installation that only knows the proxy."""
    with ExitStack() as stack:
        store = stack.enter_context(EmbeddedStore(data_dir / "backend"))
        target = Path(store.url.removeprefix("unix://"))
        proxy = stack.enter_context(StoreProxy(target.with_name("proxy.sock"), target))
        site = Installation(data_dir / "site", proxy.url, ENVIRONMENT)
        yield stack.enter_context(site), proxy


def _outage(
    outcome: Outcome,
    installation: Installation,
    load: EventLoad,
    probe: FeedProbe,
    switch: Callable[[bool], None],
    seconds: float,
    *,
    names_rung: bool = True,
) -> None:
    """Take the store away and give it back; nobody may notice more than is promised."""
    switch(False)
    begun = time.monotonic() + GRACE_S
    time.sleep(GRACE_S + seconds)
    ended = time.monotonic()
    switch(True)
    feeds = [a for a in list(probe.answers) if begun < a.at - a.seconds and a.at < ended]
    batches = [a for a in list(load.answers) if begun < a.at - a.seconds and a.at < ended]
    outcome.expect(bool(feeds) and _all_fine(feeds), f"feeds meanwhile: {statuses(feeds)}")
    rungs = sorted({a.rung for a in feeds})
    if names_rung:
        outcome.expect(rungs == [Rung.SNAPSHOT.value], f"the rung was not named: {rungs}")
    outcome.expect(
        bool(batches) and all(a.status == 503 and a.has_retry_after for a in batches),
        f"events meanwhile: {statuses(batches)}",
    )
    outcome.remarks.append(
        f"meanwhile {len(feeds)} feeds 200 as {', '.join(rungs)},"
        f" p99 {quantile_ms(feeds, 0.99):.0f} ms, longest gap {longest_gap_s(feeds):.2f} s;"
        f" {len(batches)} event batches 503"
    )
    back_s = wait_until(
        lambda: _is_personal(installation), "feeds to be personal again", PATIENCE_S
    )
    outcome.remarks.append(f"personal feeds {back_s:.1f} s after the end")


def _all_fine(feeds: list[Answer]) -> bool:
    return all(a.status == 200 and a.detail != "empty" for a in feeds)


def _is_personal(installation: Installation) -> bool:
    client = installation.client(timeout_s=5.0)
    answer, _ = ask_feed(client, "reader-00001")
    client.close()
    return answer.status == 200 and answer.rung != Rung.SNAPSHOT.value
