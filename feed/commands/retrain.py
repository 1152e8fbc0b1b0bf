"""`feed retrain`: learn from the archive, pass the gate, publish."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings
from feed.config import RankingConfig, TrainingConfig, override
from feed.domain import GateRefusedError, InvalidInputError, format_time
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.factors import training_threads
from feed.models.registry import ModelRegistry, with_manifest
from feed.offline.archive_log import read_archive
from feed.offline.event_log import EventLog
from feed.offline.gate import Verdict, judge
from feed.offline.training import Window, hold_out, train
from feed.storage.archive import Archive

KEPT_VERSIONS = 5
"""Versions kept besides the live one and the one before."""

_DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory; default FEED_DATA_DIR."
)


@click.command("retrain")
@_DATA
@click.option("--dry-run", is_flag=True, help="Train and judge, but publish nothing.")
@click.option("--force", is_flag=True, help="Publish even if the gate refuses.")
@click.option("--engine", type=click.Choice(["implicit"]), default="implicit", show_default=True)
@click.option(
    "--set", "settings_text", multiple=True, metavar="NAME=VALUE", help="A training parameter."
)
def retrain_command(
    *, data: Path | None, dry_run: bool, force: bool, engine: str, settings_text: tuple[str, ...]
) -> None:
    """Learn from the archive's events and make the new model live.

    The newest slice of the log (a day, or 15 % of a shorter log) is held out: the candidate and
    the live model both order its lists, and the candidate is published only if it is not worse.
    Exit code 3 says that it was refused.
    """
    del engine
    console = Console()
    with one_line_errors():
        config = override(TrainingConfig(), _pairs(settings_text), prefix="--set ")
        directory = chosen_settings(data).data_dir
        registry = ModelRegistry(directory / "models")
        log, embeddings = read_archive(Archive(directory / "archive"))
        window = hold_out(log)
        live = registry.load_live() or empty_bundle()
        ranking = RankingConfig()
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("training", total=1.0)
            candidate = train(
                log,
                window.start,
                config,
                ranking,
                embeddings=embeddings,
                threads=training_threads(),
                version=_free_version(registry, window.end),
                progress=lambda share: bar.update(task, completed=share),
            )
        judged = _unseen(window, live)
        verdict = judge(
            log, candidate, live, judged, config.gate_margin, ranking, embeddings=embeddings
        )
        candidate = with_manifest(candidate, gate=verdict.to_dict())
        _print_verdict(console, candidate, verdict, log)
        if dry_run:
            console.print("Nothing was published (dry run).")
            return
        _publish(registry, candidate, verdict, force=force)
        console.print(f"{candidate.version} is live.")


def _publish(
    registry: ModelRegistry, candidate: ModelBundle, verdict: Verdict, *, force: bool
) -> None:
    if not verdict.passed and not force:
        raise GateRefusedError(f"{candidate.version} was not published: {verdict.reason}")
    registry.publish(candidate)
    registry.set_live(candidate.version)
    registry.prune(KEPT_VERSIONS)


def _unseen(window: Window, live: ModelBundle) -> Window:
    """Return the part of a window that the live model was not trained on, if any is left."""
    until = float(live.manifest.get("learnt_until", 0.0))
    return Window(until, window.end) if window.start < until < window.end else window


def _print_verdict(
    console: Console, candidate: ModelBundle, verdict: Verdict, log: EventLog
) -> None:
    table = Table(title=f"{candidate.version}: {verdict.reason}", title_justify="left")
    for name in ("model", "pool nDCG@10", "95 % interval", "lists"):
        table.add_column(name)
    for name, found in (
        ("candidate", verdict.candidate),
        (f"live ({verdict.live_version})", verdict.live),
        ("difference", verdict.difference),
    ):
        interval = f"{found.low:.4f} to {found.high:.4f}" if found.n else "-"
        table.add_row(name, f"{found.mean:.4f}" if found.n else "-", interval, str(found.n))
    console.print(table)
    at = (format_time(verdict.window.start), format_time(verdict.window.end))
    console.print(
        f"Learnt from {len(log.events.from_feed)} events and {len(log.impressions)} lists; "
        f"judged on {at[0]} to {at[1]}; rankers: {candidate.manifest['rankers'] or 'none yet'}."
    )


def _free_version(registry: ModelRegistry, end: float) -> str:
    name = f"v{format_time(end)[:19].replace(':', '').replace('-', '')}"
    taken = {str(m["version"]) for m in registry.list()}
    return next(v for v in (name, *(f"{name}-{i}" for i in range(2, 1000))) if v not in taken)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise InvalidInputError("--set", "must be NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs
