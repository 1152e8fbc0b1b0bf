"""What is done to a site of several hosts, and what must hold meanwhile."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from feed.domain import Rung
from feed.models.registry import ModelRegistry
from feed.storage.archive import Archive
from feed.storage.key_names import Keys
from lab.faults.installation import wait_until
from lab.faults.load import ask_feed, sample_articles, send_articles
from lab.faults.outcome import Outcome
from lab.faults.proof import reckon
from lab.hosts.network import Network, missing
from lab.hosts.readers import READERS, Traffic
from lab.hosts.site import KEY, WORKERS, Site

ARTICLES = 60
CALM_S, STAY_S = 2.0, 6.0
"""Before and after a fault, and how long it lasts beyond what the site needs to get over it."""
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
        before = len(self.acknowledged)
        with Traffic(self.site.url, KEY, name, self.article_ids) as traffic:
            time.sleep(CALM_S)
            try:
                act(self, outcome)
            except TimeoutError as error:
                outcome.failures.append(str(error))
            time.sleep(CALM_S)
        traffic.judge(outcome)
        self.acknowledged |= traffic.events.acknowledged | traffic.clicks.acknowledged
        self.given_up |= traffic.events.given_up | traffic.clicks.given_up
        with closing(self.site.open_store()) as store:
            archive = Archive(self.site.data_dir("readers") / "archive")
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
    """Kill a worker's host; the other one takes over its partitions."""
    site = trial.site
    run = _run_of(site, "worker1")
    site.host("worker1").kill()
    _note_taken_over(site, run, outcome)
    site.start_worker("worker1")


def cut_worker(trial: Trial, outcome: Outcome) -> None:
    """Take a worker's cable out; when it is back, it must not act on what it knew."""
    site = trial.site
    run = _run_of(site, "worker1")
    site.network.cut("worker1")
    _note_taken_over(site, run, outcome)
    time.sleep(STAY_S)
    site.network.heal("worker1")
    time.sleep(STAY_S)


def cut_objects(trial: Trial, outcome: Outcome) -> None:
    """Take the cable of the object store out; what is not archived waits in the streams."""
    network = trial.site.network
    network.cut("objects")
    time.sleep(2 * STAY_S)
    network.heal("objects")
    del outcome


def train(trial: Trial, outcome: Outcome) -> None:
    """Train a model on a host of its own; every web host must take it over."""
    site = trial.site
    code = site.run_trainer("retrain", "--force")
    published = time.monotonic()
    outcome.expect(code == 0, f"feed retrain ended with {code}: {site.log('trainer')}")
    live = ModelRegistry(site.data_dir("trainer") / "models").live_version()
    wait_until(lambda: set(site.models().values()) == {live}, f"both web hosts to serve {live}")
    took_s = time.monotonic() - published
    outcome.remarks.append(f"both web hosts served {live} {took_s:.1f} s after the trainer ended")


ACTS: dict[str, tuple[str, Act]] = {
    "calm": ("nothing is broken", nothing),
    "web-killed": ("SIGKILL of all of a web host; started again", kill_web),
    "web-cut": ("a web host off the switch; healed", cut_web),
    "web-blind": ("a web host does not reach the store; healed", hide_stores),
    "web-slow": (f"what a web host sends: {DELAY_MS:.0f} ms late, {LOSS:.0%} lost", slow_web),
    "store-slow": (f"what a store host sends: {DELAY_MS:.0f} ms late, {LOSS:.0%} lost", slow_store),
    "store-killed": ("SIGKILL of the store host with the catalogue; started again", kill_store),
    "store-cut": ("the store host with the catalogue off the switch; healed", cut_store),
    "worker-killed": ("SIGKILL of a worker's host; started again", kill_worker),
    "worker-cut": ("a worker's host off the switch; healed", cut_worker),
    "objects-cut": ("the object store off the switch; healed", cut_objects),
    "trained": ("a model trained on the trainer's host", train),
}


def try_hosts(directory: Path, names: Sequence[str]) -> Iterator[tuple[float, Outcome]]:
    """Build the site and do things to it in turn; yield when each began, and its row."""
    lack = missing("haproxy")
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


def _run_of(site: Site, name: str) -> str:
    """Return the run of a host's worker, once both work; its name holds the process id."""
    with closing(site.open_store()) as store:
        wait_until(lambda: len(store.read_workers().live) == len(WORKERS), "both workers")
        processes = {str(pid) for pid in site.host(name).pids()}
        return next(r for r in store.read_workers().live if processes & set(r.split(".")))


def _note_taken_over(site: Site, run: str, outcome: Outcome) -> None:
    with closing(site.open_store()) as store:

        def is_over() -> bool:
            table = store.read_workers()
            return run not in table.live and not table.unowned(store.partitions)

        took_s = wait_until(is_over, "the other worker to take over", poll_s=0.2)
    outcome.remarks.append(f"the other worker had all partitions after {took_s:.1f} s")
