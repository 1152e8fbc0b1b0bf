"""Publishes, damages and rolls back models while readers ask for their feeds."""

from __future__ import annotations

import shutil
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from feed.client import FeedClient
from feed.domain import BundleError
from feed.models.registry import ModelRegistry
from lab.faults.bundles import LOUD, QUIET, RUINS, is_mixed, tellable_bundle
from lab.faults.crashes import ENVIRONMENT, READERS
from lab.faults.installation import Installation, resident_mb, wait_until
from lab.faults.load import (
    Answer,
    ask_feed,
    longest_gap_s,
    quantile_ms,
    sample_articles,
    send_articles,
    statuses,
)
from lab.faults.outcome import Outcome

MARGINS = {"loud": LOUD, "quiet": QUIET}


@dataclass(slots=True)
class PageProbe:
    """Asks for first and second pages without pause and looks for two models in one answer."""

    url: str
    threads: int = 4
    answers: list[Answer] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> PageProbe:
        self._running = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.threads)
        ]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join()

    def _run(self, first: int) -> None:
        client = FeedClient(self.url, timeout_s=20.0, retries=0)
        number = first
        while not self._stop.is_set():
            number = (number + self.threads) % READERS
            user_id = f"reader-{number:05d}"
            answer, page = ask_feed(client, user_id)
            self._look(answer, page, "")
            if answer.status == 200 and page["next_cursor"]:
                again, rest = ask_feed(client, user_id, cursor=page["next_cursor"])
                self._look(again, rest, page["model_version"])
        client.close()

    def _look(self, answer: Answer, page: dict[str, object], expected: str) -> None:
        self.answers.append(answer)
        if answer.status == 200 and answer.model_version != "none":
            version = answer.model_version
            if (expected and version != expected) or is_mixed(page, MARGINS):
                self.mixed.append(version)


def swap_models(data_dir: Path, articles: int, swaps: int) -> Outcome:
    """Swap two models to and fro under load, then offer every kind of ruined one."""
    outcome = Outcome("swap", "models swapped under load; ruined ones offered; rolled back")
    with Installation(data_dir, environment=ENVIRONMENT) as installation:
        client = installation.client()
        ids = send_articles(client, sample_articles(articles, time.time()))
        registry = ModelRegistry(data_dir / "models")
        for version, margin in MARGINS.items():
            registry.set_live(registry.publish(tellable_bundle(version, ids, margin)))
        wait_for_version(client, "quiet")
        with PageProbe(installation.url) as probe:
            time.sleep(3.0)
            calm, before_mb = list(probe.answers), _memory(installation)
            swapped_at = _swap(registry, client, swaps)
            after_mb = _memory(installation)
            refuse_ruined(outcome, registry, installation)
            outcome.expect(registry.rollback() == "loud", "rollback chose another version")
            wait_for_version(client, "loud")
        client.close()
        outcome.times = swaps + len(RUINS) + 1
        _judge(outcome, probe, calm, swapped_at)
        outcome.remarks.append(f"memory of the web processes {before_mb} MB, later {after_mb} MB")
    return outcome


def refuse_ruined(outcome: Outcome, registry: ModelRegistry, installation: Installation) -> None:
    """Make ruined copies of a model live by force; the old one must go on, loudly."""
    client = installation.client()
    for number, (kind, ruin) in enumerate(RUINS.items()):
        live = registry.live_version()
        name = f"ruined-{number}"
        models = installation.data_dir / "models"
        directory = models / name
        shutil.copytree(models / "quiet", directory)
        ruin(directory)
        try:
            registry.set_live(name)
            outcome.failures.append(f"a model with fault '{kind}' was made live")
        except BundleError:
            pass
        before = metric(installation.url, "feed_bundles_refused_total")
        logged = len(installation.log_events("bundle_refused"))
        (models / "LIVE").write_text(f"{name}\n")
        wait_until(
            lambda: metric(installation.url, "feed_bundles_refused_total") >= before + 2,  # noqa: B023
            f"both web processes to refuse a model with fault '{kind}'",
        )
        answer, _ = ask_feed(client, "reader-00001")
        outcome.expect(answer.model_version == live, f"'{kind}' changed the serving model")
        outcome.expect(
            len(installation.log_events("bundle_refused")) > logged, f"'{kind}' was not logged"
        )
        (models / "LIVE").write_text(f"{live}\n")
    client.close()


def metric(url: str, name: str) -> float:
    """Return the value of a metric without labels, 0 if it is not there."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:  # noqa: S310 - our own
        lines = answer.read().decode().splitlines()
    for line in lines:
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return 0.0


def wait_for_version(client: FeedClient, version: str) -> None:
    """Wait until every web process serves a version (16 answers in a row)."""

    def everywhere() -> bool:
        return all(
            ask_feed(client, f"reader-{n:05d}")[0].model_version == version for n in range(16)
        )

    wait_until(everywhere, f"every web process to serve {version}")


def _swap(registry: ModelRegistry, client: FeedClient, swaps: int) -> list[float]:
    swapped_at = []
    for number in range(swaps):
        version = ("loud", "quiet")[number % 2]
        swapped_at.append(time.monotonic())
        registry.set_live(version)
        wait_for_version(client, version)
        time.sleep(1.0)
    return swapped_at


def _judge(
    outcome: Outcome, probe: PageProbe, calm: Sequence[Answer], swapped_at: Sequence[float]
) -> None:
    found = statuses(probe.answers)
    outcome.expect(set(found) == {200}, f"requests failed: {found}")
    outcome.expect(not probe.mixed, f"{len(probe.mixed)} answers of two models")
    outcome.longest_gap_s = longest_gap_s(probe.answers)
    after = [a for a in probe.answers if any(0 < a.at - t < 1.5 for t in swapped_at)]
    outcome.remarks.append(
        f"{len(probe.answers)} pages {found}; p99 calm {quantile_ms(calm, 0.99):.0f} ms,"
        f" within 1.5 s of a swap {quantile_ms(after, 0.99):.0f} ms"
    )


def _memory(installation: Installation) -> list[int]:
    return sorted(round(resident_mb(pid)) for pid in installation.processes("web"))
