"""What is done to a site of several hosts, and what must hold meanwhile."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from feed.domain import Rung
from feed.storage.archive import Archive
from feed.storage.key_names import Keys
from feed.worker.loop import LEASE
from lab.faults.installation import wait_until
from lab.faults.load import ask_feed, sample_articles, send_articles
from lab.faults.outcome import Outcome
from lab.faults.proof import reckon
from lab.hosts.network import Network, missing
from lab.hosts.readers import READERS, Traffic
from lab.hosts.site import KEY, WORKERS, Site

ARTICLES = 60
STAY_S = 6.0
"""How long a fault lasts beyond what the site needs to get over it."""
DELAY_MS, LOSS = 50.0, 0.05


@dataclass(slots=True)
class Trial:
    """A running site, its articles, and all events that were ever sent."""

    site: Site
    article_ids: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)

    def publish_articles(self) -> None:
        """Put articles where readers find them."""
        with self.site.client() as client:
            self.article_ids = send_articles(client, sample_articles(ARTICLES, time.time()))
            wait_until(lambda: len(client.feed("nobody")["items"]) > 0, "the first feed")

    def run(self, name: str, tried: str, act: Callable[[Trial, Outcome], None]) -> Outcome:
        """Do something to the site while readers read; count what was lost or doubled."""
        outcome = Outcome(name, tried, times=1)
        with Traffic(self.site.url, KEY, name, self.article_ids) as traffic:
            time.sleep(2.0)
            act(self, outcome)
            time.sleep(2.0)
        traffic.judge(outcome)
        before = len(self.acknowledged)
        self.acknowledged |= traffic.events.acknowledged | traffic.clicks.acknowledged
        self.given_up |= traffic.events.given_up | traffic.clicks.given_up
        with closing(self.site.open_store()) as store:
            archive = Archive(self.site.data_dir("worker1") / "archive")
            outcome.take(reckon(store, archive, self.acknowledged, self.given_up))
        outcome.acknowledged -= before
        return outcome


Act = Callable[[Trial, Outcome], None]


def nothing(trial: Trial, outcome: Outcome) -> None:
    """Let the site work undisturbed."""
    del trial, outcome
    time.sleep(STAY_S)


def kill_web(trial: Trial, outcome: Outcome) -> None:
    """Kill a web host and start it again."""
    site = trial.site
    site.host("web1").kill()
    _note_out_and_back(site, outcome, lambda: site.start_web("web1"))


def cut_web(trial: Trial, outcome: Outcome) -> None:
    """Take a web host's cable out, and put it back."""
    site = trial.site
    site.network.cut("web1")
    _note_out_and_back(site, outcome, lambda: site.network.heal("web1"))


def hide_stores(trial: Trial, outcome: Outcome) -> None:
    """Take the store from one web host, whose readers go to the other one."""
    site = trial.site
    site.network.block("web1", *(host.name for host in site.store.hosts))
    _note_out_and_back(
        site, outcome, lambda: site.network.unblock("web1", *(h.name for h in site.store.hosts))
    )


def slow_web(trial: Trial, outcome: Outcome) -> None:
    """Delay and lose what a web host sends."""
    _slow("web1", trial, outcome)


def slow_store(trial: Trial, outcome: Outcome) -> None:
    """Delay and lose what a store host sends."""
    _slow("store1", trial, outcome)


def kill_store(trial: Trial, outcome: Outcome) -> None:
    """Kill the store host that holds the catalogue; its replica takes over."""
    index = _catalogue_host(trial.site)
    trial.site.host(f"store{index + 1}").kill()
    _fail_over(trial.site, outcome)
    trial.site.store.start_host(index)
    trial.site.store.rebalance()


def cut_store(trial: Trial, outcome: Outcome) -> None:
    """Take the cable of the store host that holds the catalogue out, and put it back."""
    site = trial.site
    index = _catalogue_host(site)
    site.network.cut(f"store{index + 1}")
    _fail_over(site, outcome)
    site.network.heal(f"store{index + 1}")
    site.store.rebalance()


def kill_worker(trial: Trial, outcome: Outcome) -> None:
    """Kill the leading worker's host; another takes over."""
    site = trial.site
    leader = _leading_worker(site)
    site.host(leader).kill()
    outcome.remarks.append(f"another worker led after {_new_leader(site):.1f} s")
    site.start_worker(leader)


def cut_worker(trial: Trial, outcome: Outcome) -> None:
    """Take the leading worker's cable out; when it is back, it must not act on what it knew."""
    site = trial.site
    leader = _leading_worker(site)
    site.network.cut(leader)
    outcome.remarks.append(f"another worker led after {_new_leader(site):.1f} s")
    time.sleep(STAY_S)
    site.network.heal(leader)
    time.sleep(STAY_S)


ACTS: dict[str, tuple[str, Act]] = {
    "calm": ("nothing is broken", nothing),
    "web-killed": ("SIGKILL of all of a web host; started again", kill_web),
    "web-cut": ("a web host off the switch; healed", cut_web),
    "web-blind": ("a web host does not reach the store; healed", hide_stores),
    "web-slow": (f"what a web host sends: {DELAY_MS:.0f} ms late, {LOSS:.0%} lost", slow_web),
    "store-slow": (f"what a store host sends: {DELAY_MS:.0f} ms late, {LOSS:.0%} lost", slow_store),
    "store-killed": ("SIGKILL of the store host with the catalogue; started again", kill_store),
    "store-cut": ("the store host with the catalogue off the switch; healed", cut_store),
    "worker-killed": ("SIGKILL of the leading worker's host; started again", kill_worker),
    "worker-cut": ("the leading worker's host off the switch; healed", cut_worker),
}


def try_hosts(directory: Path, names: Sequence[str]) -> Iterator[tuple[float, Outcome]]:
    """Build the site and do things to it in turn; yield when each began, and its row."""
    lack = missing()
    if lack:
        yield time.monotonic(), Outcome("hosts", "a site of several hosts", skipped=lack)
        return
    with Network() as network:
        trial = Trial(Site(directory / "site", network))
        trial.site.start()
        trial.publish_articles()
        for name in names:
            begun, (tried, act) = time.monotonic(), ACTS[name]
            try:
                yield begun, trial.run(name, tried, act)
            except Exception as error:  # noqa: BLE001 - the table must show what broke the run
                traceback.print_exc()
                yield begun, Outcome(name, tried, failures=[f"{type(error).__name__}: {error}"])


def _note_out_and_back(site: Site, outcome: Outcome, heal: Callable[[], object]) -> None:
    out_s = wait_until(lambda: not site.is_up("web1"), "the balancer to take web1 out")
    time.sleep(STAY_S)
    heal()
    back_s = site.wait_ready("web1")
    outcome.remarks.append(f"the balancer took it out after {out_s:.1f} s, back in {back_s:.1f} s")


def _slow(name: str, trial: Trial, outcome: Outcome) -> None:
    network = trial.site.network
    network.slow(name, DELAY_MS, LOSS)
    time.sleep(2 * STAY_S)
    network.heal(name)
    outcome.remarks.append("slowed by " + ("netem" if network.has_netem else "a relay of frames"))


def _catalogue_host(site: Site) -> int:
    return site.store.home_of("{feed:c}:articles")[0]


def _fail_over(site: Site, outcome: Outcome) -> None:
    """Wait until readers of every partition are served with the store again."""
    keys = Keys(site.settings().namespace, site.settings().partitions)
    readers = {keys.partition(f"reader-{n:05d}"): f"reader-{n:05d}" for n in range(READERS)}
    with site.client() as client:
        took_s = wait_until(
            lambda: all(
                ask_feed(client, r)[0].rung not in {"", Rung.SNAPSHOT.value}
                for r in readers.values()
            ),
            "the replica to take over",
        )
    outcome.remarks.append(f"readers of every partition had the store again after {took_s:.1f} s")
    time.sleep(STAY_S)


def _leading_worker(site: Site) -> str:
    """Return the host of the worker that holds the lease; its owner names the process."""
    with closing(site.open_store()) as store:
        wait_until(lambda: store.lease_holder(LEASE) is not None, "a worker to lead")
        process = int(str(store.lease_holder(LEASE)).split(".")[-2])
    return next(name for name in WORKERS if process in site.host(name).pids())


def _new_leader(site: Site) -> float:
    with closing(site.open_store()) as store:
        before = store.lease_holder(LEASE)  # a dead worker's lease still lives
        return wait_until(
            lambda: store.lease_holder(LEASE) not in {None, before}, "another worker to lead"
        )
