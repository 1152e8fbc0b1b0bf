"""`feed retrain`: learn from the archive, put the model to the gate, and publish it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.catalogue.ranking_changes import settings_in_force
from feed.commands.errors import CommandError, one_line_errors
from feed.commands.opening import chosen_settings, command_line_user, open_store
from feed.commands.parameters import PATH
from feed.config import DAY_S, Settings
from feed.domain import ConflictError, FeedError, GateRefusedError, InvalidInputError, format_time
from feed.experiments.design.lifecycle import named_models, read_experiments
from feed.features.sections import read_aliases
from feed.models.bundle import ModelBundle
from feed.models.factors import training_threads
from feed.models.registry import ModelRegistry, with_manifest
from feed.models.trainer_lease import held_lease
from feed.models.trainer_lock import one_trainer
from feed.models.training_runs import DRY, PUBLISHED, REFUSED, RunRecorder, recorded_run
from feed.offline.archive_log import encoder_of, read_archive
from feed.offline.gate import GateVerdict, judge
from feed.offline.methods import CLICKS_BY_AGE
from feed.offline.ranking_metrics import MeanEstimate
from feed.offline.spark.spark_needs import LOCAL, SparkTask, check_can_train
from feed.offline.training import hold_out, train_on_walk
from feed.setting_fields import check_ranges, override
from feed.storage.archive import Archive
from feed.training_config import TrainingConfig

ENGINES = ("als", "spark", "none")
KEPT_VERSIONS = 5
"""Versions kept besides the live one and the one before."""


Reporter = Callable[[str], Callable[[float], None]]
Learnt = tuple[ModelBundle, GateVerdict, int]
"""A candidate, the gate's verdict on it, and how many events were read."""


@click.command("retrain")
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option("--window-days", type=float, help="Days of the archive to learn from.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="als",
    show_default=True,
    help="What trains: als, spark (the same on Apache Spark), or none: content and counters only.",
)
@click.option("--master", help="Spark's master, with --engine spark.  [default: local[*]]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A training parameter (see: feed settings --of training). May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Train and judge the model, but do not publish.")
@click.option("--force", is_flag=True, help="Publish even if the gate refuses.")
@click.option("--threads", type=click.IntRange(1), help="Threads for training on a large log.")
@click.option("--by", default=command_line_user, hidden=True)
@click.option("--lock", type=int, hidden=True, help="Descriptor of the lock, if it is held.")
def retrain(
    *,
    data: Path | None,
    window_days: float | None,
    engine: str,
    master: str | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    force: bool,
    threads: int | None,
    by: str,
    lock: int | None,
) -> None:
    """Learn from the archive's events and make the new model live.

    The newest slice of the log is held out. Both the candidate and what would serve without it
    order the lists of that slice. The candidate is published only if it is not worse by more than
    gate_margin. What would serve is the live model; while no model is live, it is the day-one
    weights. The model that was judged is the one that is published.

    Exit codes: 0 the model was published (or this was a dry run); 1 the training failed; 2 the
    input is at fault; 3 the gate refused the model.
    """
    console = Console(record=True)
    with one_line_errors():
        if master is not None and engine != "spark":
            raise InvalidInputError("--master", "needs --engine spark")
        config = read_config(assignments, window_days, engine)
        if engine == "spark":
            check_can_train(config)
        settings = chosen_settings(data)
        directory = settings.data_dir
        registry = ModelRegistry(directory / "models")
        hidden = not console.is_terminal
        bar = Progress(console=console, transient=True, disable=hidden)
        models_dir = directory / "models"
        with (
            alone(models_dir, lock) as fence,
            recorded_run(models_dir, by, time.time) as run,
            bar,
        ):
            registry.sweep()
            settings = in_force(settings, console)
            live = registry.load_live()
            do_learn = partial(learn_on_spark, master or LOCAL) if engine == "spark" else learn
            candidate, verdict, events_read = do_learn(
                settings,
                live,
                config,
                threads or training_threads(),
                _free_version(registry),
                partial(_reporter, bar, run),
            )
            candidate = with_manifest(
                candidate,
                created_at=format_time(time.time()),
                gate=verdict.to_dict() | {"forced": force and not verdict.passed},
                held_out=verdict.notes,
                vectors=encoder_of(Archive(directory / "archive")),
            )
            bar.stop()
            print_training(console, events_read, candidate)
            print_verdict(console, verdict, candidate.version)
            run.note(console.export_text(clear=False))
            if dry_run:
                run.end(DRY, verdict.reason)
                console.print("Nothing was published (dry run).")
                return
            run.progress("publishing", 0.0)
            try:
                publish(registry, candidate, verdict, fence, force=force)
            except GateRefusedError:
                run.end(REFUSED, verdict.reason)
                raise
            prune(registry, settings, console)
            run.end(PUBLISHED, candidate.version)
        console.print(f"[bold]{candidate.version}[/bold] is live.")


def in_force(settings: Settings, console: Console) -> Settings:
    """Return the settings with the newsroom's changes of the ranking, where there is a store."""
    if not settings.redis_url and not (settings.data_dir / "store").is_dir():
        return settings
    try:
        with open_store(settings) as store:
            return settings_in_force(store, settings)
    except FeedError as error:
        console.print(f"The ranking settings are those of the environment: {error}.")
        return settings


def read_config(
    assignments: Sequence[str], window_days: float | None = None, engine: str = ENGINES[0]
) -> TrainingConfig:
    """Return the training parameters that the options say.

    Raises:
        InvalidInputError: a parameter does not exist or its value is of the wrong kind.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign:
            raise InvalidInputError("--set", f"must be NAME=VALUE, not {text}")
        group, _, key = name.partition(".")
        if key:
            values.setdefault(group, dict(getattr(TrainingConfig(), group, {})))[key] = value
        else:
            values[name] = value
    if window_days is not None:
        values["window_days"] = window_days
    config = override(TrainingConfig(), values, prefix="--set ")
    check_ranges(config, values, prefix="--set ")
    if config.window_days <= 0:
        raise InvalidInputError("--window-days", "must be more than 0")
    return replace(config, factors=0) if engine == "none" else config


def window_begin(archive: Archive, config: TrainingConfig) -> float:
    """Return when the last `window_days` of an archive begin, epoch seconds.

    Raises:
        InvalidInputError: the archive holds no event.
    """
    span = archive.span()
    if span is None:
        raise InvalidInputError("--data", "holds no archived events yet")
    return span[1] - config.window_days * DAY_S


def learn(
    settings: Settings,
    live: ModelBundle | None,
    config: TrainingConfig,
    threads: int,
    version: str,
    reporter: Reporter,
) -> Learnt:
    """Return a candidate trained on all but the newest slice, and the gate's verdict on it.

    Raises:
        InvalidInputError: the archive holds no event.
    """
    read = reporter("reading the archive")
    archive = Archive(settings.data_dir / "archive")
    since, aliases = window_begin(archive, config), read_aliases(settings.section_aliases)
    log, embeddings = read_archive(archive, since, section_aliases=aliases)
    read(1.0)
    window = hold_out(log, learnt_until(live))
    candidate, past = train_on_walk(
        log,
        window.start,
        config,
        settings.ranking,
        embeddings=embeddings,
        threads=threads,
        version=version,
        progress=reporter("learning"),
    )
    verdict = judge(
        log,
        candidate,
        live,
        window,
        config.gate_margin,
        settings.ranking,
        embeddings=embeddings,
        progress=reporter("judging"),
        past=past,
    )
    return candidate, verdict, len(log.events.from_feed) + len(log.impressions.shown)


def learn_on_spark(
    master: str,
    settings: Settings,
    live: ModelBundle | None,
    config: TrainingConfig,
    threads: int,
    version: str,
    reporter: Reporter,
) -> Learnt:
    """Return what `learn` returns, learnt by Spark with its master at an address.

    Raises:
        InvalidInputError: the archive holds no event, or Spark does not start.
    """
    directory = settings.data_dir.resolve()
    task = SparkTask(
        master=master,
        directory=directory,
        live_until=learnt_until(live),
        section_aliases=read_aliases(settings.section_aliases),
        config=config,
        ranking=settings.ranking,
        threads=threads,
        version=version,
    )
    engine = import_module("feed.offline.spark.spark_run")  # PySpark is an extra
    learnt: Learnt = engine.train_and_judge(task, live, reporter)
    return learnt


def learnt_until(live: ModelBundle | None) -> float:
    """Return when the training of the live model ended, epoch seconds; -inf without one."""
    return float("-inf") if live is None else float(live.manifest.get("learnt_until", 0.0))


def publish(
    registry: ModelRegistry,
    candidate: ModelBundle,
    verdict: GateVerdict,
    fence: Callable[[], None],
    *,
    force: bool,
) -> None:
    """Publish a candidate and make it live.

    Raises:
        ConflictError: another trainer has taken over.
        GateRefusedError: the verdict is against it and `force` is not given.
    """
    if not verdict.passed and not force:
        raise GateRefusedError(f"{candidate.version} was not published: {verdict.reason}")
    registry.publish(candidate)
    registry.set_live(candidate.version, fence)


def prune(registry: ModelRegistry, settings: Settings, console: Console) -> None:
    """Delete old models, but none that a running or planned experiment names."""
    try:
        with open_store(settings) as store:
            needed = named_models(read_experiments(store).values())
    except FeedError as error:
        console.print(f"No old model was deleted: {error}.")
        return
    registry.prune(KEPT_VERSIONS, needed)


@contextmanager
def alone(models_dir: Path, lock: int | None) -> Iterator[Callable[[], None]]:
    """Keep other trainers of the installation away; give what checks that they still are.

    Raises:
        CommandError: one is at work.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(one_trainer(models_dir, lock))
            fence = stack.enter_context(held_lease(models_dir, time.time))
        except ConflictError as error:
            raise CommandError(str(error)) from None
        yield fence


def print_training(console: Console, events_read: int, candidate: ModelBundle) -> None:
    """Print what was read and what was learnt from it."""
    manifest = candidate.manifest
    table = Table(title=f"What {candidate.version} learned from", title_justify="left")
    table.add_column("what")
    table.add_column("how much", justify="right")
    for name, value in (
        ("window", " to ".join(text[:16] for text in manifest["window"])),
        ("events read", events_read),
        ("clicks and other engagements learnt from", manifest["events"]),
        ("feeds in view", manifest["lists"]),
        ("of these clicked", manifest["clicked_lists"]),
        ("rankers learn from feeds since", manifest["examples_from"][:16]),
        ("readers", manifest["readers"]),
        ("articles", len(candidate.article_ids)),
        ("factors", candidate.factors.shape[1]),
        (
            "learned rankers",
            ", ".join(manifest["rankers"]) or "none that betters the day-one weights",
        ),
    ):
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)


def print_verdict(console: Console, verdict: GateVerdict, version: str) -> None:
    """Print the gate's numbers and what follows from them."""
    window = verdict.to_dict()["window"]
    table = Table(
        title=f"The gate, on {window[0][:16]} to {window[1][:16]}, which neither has seen",
        title_justify="left",
    )
    for name in ("", verdict.metric, "95 % interval", "feeds"):
        table.add_column(name, justify="left" if not name else "right")
    for name, found in (
        (f"candidate {version}", verdict.candidate),
        (verdict.against, verdict.other),
        ("difference", verdict.difference),
        (CLICKS_BY_AGE, verdict.rival),
        ("lead of the candidate over that", verdict.lead),
    ):
        table.add_row(name, *_numbers(found))
    console.print(table)
    word = "Passed" if verdict.passed else "Refused"
    console.print(f"{word}: {verdict.reason}.")


def _numbers(found: MeanEstimate) -> tuple[str, str, str]:
    if not found.n:
        return "-", "-", "0"
    return f"{found.mean:.4f}", f"{found.low:.4f} to {found.high:.4f}", str(found.n)


def _reporter(bar: Progress, run: RunRecorder, stage: str) -> Callable[[float], None]:
    """Return what shows the share done of a stage, to people here and to the desk."""
    task = bar.add_task(stage, total=1.0)
    run.progress(stage, 0.0)

    def report(share: float) -> None:
        bar.update(task, completed=share)
        run.progress(stage, share)

    return report


def _free_version(registry: ModelRegistry) -> str:
    name = "v" + format_time(time.time())[:19].replace(":", "").replace("-", "")
    taken = {str(m["version"]) for m in registry.list()}
    return next(v for v in (name, *(f"{name}-{i}" for i in range(2, 1000))) if v not in taken)
