"""The steps of the demo's tour, in order."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.progress import track

from feed.client import FeedClient
from feed.commands.demo_service import DemoError, run_feed, wait_for
from feed.commands.demo_world import World
from feed.commands.errors import EXIT_GATE
from feed.commands.ingest import send_documents
from feed.commands.tour import print_comparison, print_feed, print_trending
from feed.config import HOUR_S
from feed.domain import Event, EventKind, Rung, Submission, format_time
from feed.ingest.documents import Documents
from feed.storage.archive import Archive

ARCHIVE_S = 120.0
FRESH_S = 30.0
VISITS = 800
OFFLINE_HOURS = 12.0
PICKER_READERS = 40
EXPERIMENT = {
    "name": "demo-trending-boost",
    "hypothesis": "The trending boost helps readers find what they then read for a while.",
    "owner": "the demo",
    "variants": [
        {"name": "boost", "share": 0.5},
        {"name": "no-boost", "share": 0.5, "overrides": {"trending_boost": 0.0}},
    ],
    "primary_metrics": ["qualified_reads"],
    "planned_readers": 2000,
    "planned_days": 14,
    "pre_days": 2,
}


def write_readers(data: Path, readers: dict[str, str]) -> None:
    """Write the list that the page's reader picker offers."""
    listed = [
        {"user_id": user_id, "name": user_id, "description": description}
        for user_id, description in sorted(readers.items())[:PICKER_READERS]
    ]
    (data / "demo").mkdir(parents=True, exist_ok=True)
    (data / "demo" / "readers.json").write_bytes(orjson.dumps(listed))


class Tour:
    """One walk through the system, every table from its public answers.

    Args:
        client: of the running service.
        world: what to load and who visits.
        data: the service's data directory.
        console: where the tables go.
    """

    def __init__(self, client: FeedClient, world: World, data: Path, console: Console) -> None:
        self._client = client
        self._world = world
        self._data = data
        self._console = console
        self._sent = 0
        self._loaded_at = time.time()

    def run(self) -> None:
        """Load, train, show, and write the experiment's report."""
        self.load()
        self.train()
        self.show_trending()
        self.show_one_reader()
        self.compare_offline()
        self.run_experiment()

    def load(self) -> None:
        """Send the articles and what readers did, as a newsroom would."""
        self._console.print(f"[bold]Loading[/bold] {self._world.about}")
        submissions = [Submission(article) for article in self._world.articles]
        documents = Documents(submissions, self._world.events)
        self._console.print(send_documents(self._client, documents, Console(stderr=True)))
        self._sent += len(self._world.events)
        write_readers(self._data, self._world.readers)

    def train(self) -> None:
        """Wait until the log holds everything, train on it, and wait until the model is served."""
        self._wait_for_archive()
        self._console.print("[bold]Training[/bold] on the event log")
        code = run_feed("retrain", "--data", str(self._data))
        if code == EXIT_GATE:
            self._console.print("The gate refused the model: the day-one weights go on serving.\n")
        elif code != 0:
            raise DemoError("training failed; see its message above")
        else:
            wait_for("the model to be served", self._has_model, FRESH_S)

    def show_trending(self) -> None:
        """Show what is read more than usual, with the numbers behind the label."""
        print_trending(self._console, self._client.trending(limit=10))

    def show_one_reader(self) -> None:
        """Show one reader's feed before and after that reader reads three articles."""
        reader = self._world.tour_reader
        self._console.print(f"[bold]One reader[/bold]: {self._world.readers.get(reader, reader)}")
        before = self._client.feed(reader, limit=20)
        print_feed(self._console, f"The feed of {reader}, before", before)
        titles = []
        for number, article_id in enumerate(self._world.tour_reads):
            titles.append(self._read(reader, article_id, number))
        self._console.print(f"{reader} now reads: " + "; ".join(titles) + "\n")
        after = self._client.feed(reader, limit=20)
        print_feed(self._console, "The next request, at once after", after)

    def compare_offline(self) -> None:
        """Replay the log and show the model beside the signals that it must beat."""
        self._console.print(
            "[bold]Offline[/bold]: the log replayed, every list scored with what was known before"
        )
        found = self._data / "evaluation.json"
        source = self._world.dataset or ("archive", str(self._data / "archive"))
        since = format_time(self._loaded_at - OFFLINE_HOURS * HOUR_S)
        window = [] if self._world.dataset else ["--from", since, "--retrain-every", "6h"]
        arguments = ["evaluate", "--dataset", *source, *window, "--json", str(found)]
        page = ["--html", str(self._data / "evaluation.html")]
        if run_feed(*arguments, *page, quiet=True) != 0:
            raise DemoError("the evaluation failed; see its message above")
        report = orjson.loads(found.read_bytes())
        print_comparison(self._console, report)
        self._console.print(f"All of it: {self._data / 'evaluation.html'}\n")

    def _read(self, reader: str, article_id: str, number: int) -> str:
        now = time.time()
        click = Event(
            event_id=f"tour-{number}-click",
            user_id=reader,
            article_id=article_id,
            kind=EventKind.CLICK,
            occurred_at=now,
        )
        read = replace(click, event_id=f"tour-{number}-read", kind=EventKind.READ, dwell_s=45.0)
        self._client.send_events([click, read])
        self._sent += 2
        return str(self._client.call("GET", f"/v1/articles/{article_id}")["title"])

    def run_experiment(self) -> None:
        """Let simulated visitors use the service under an A/B test, then write its report."""
        self._client.call("POST", "/v1/experiments", body=EXPERIMENT)
        self._client.call("POST", f"/v1/experiments/{EXPERIMENT['name']}/start")
        time.sleep(1.0)  # one look of every web process at the definitions
        rng = np.random.default_rng(11)
        visitors = sorted(self._world.readers)
        numbers = rng.integers(len(visitors), size=VISITS).tolist()
        console = Console(stderr=True)
        for number in track(numbers, "simulated visits under an A/B test", console=console):
            self._visit(visitors[number], rng)
        self._wait_for_archive()
        report = self._data / "reports"
        name = str(EXPERIMENT["name"])
        if run_feed("report", name, "--data", str(self._data), "--out", str(report)) != 0:
            raise DemoError("the report could not be written; see its message above")
        self._console.print(f"[bold]The A/B report[/bold] of {name}: {report}")

    def _visit(self, user_id: str, rng: np.random.Generator) -> None:
        page = self._client.feed(user_id, limit=10, platform="simulated")
        shown = [item["article"]["article_id"] for item in page["items"]]
        now = time.time()
        events = self._world.respond(user_id, shown, now, page["request_id"], rng)
        at_once = [replace(e, occurred_at=now + 0.001 * i) for i, e in enumerate(events)]
        if at_once:
            self._client.send_events(at_once)
        self._sent += len(at_once)

    def _wait_for_archive(self) -> None:
        archive = Archive(self._data / "archive")

        def holds_everything() -> bool:
            with archive.query() as connection:
                count: int = connection.execute("SELECT count(*) FROM events").fetchall()[0][0]
            return count >= self._sent

        wait_for("the log to hold every event", holds_everything, ARCHIVE_S)

    def _has_model(self) -> bool:
        answers = [self._client.feed(self._world.tour_reader, limit=1) for _ in range(4)]
        return all(answer["mode_served"] == Rung.PERSONALIZED for answer in answers)
