"""`feed evaluate`: replay a log and compare the model with simple baselines."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from feed.arrays import Matrix
from feed.catalogue.encoder_choice import check_encoder_name, open_ready_encoder
from feed.commands.errors import InputCommandError, one_line_errors
from feed.commands.opening import prepare_archive
from feed.commands.parameters import OUTPUT_FILE, PATH
from feed.commands.retrain import read_config
from feed.documents.terminal import print_document
from feed.documents.views import render_html, render_latex, render_markdown
from feed.domain import InvalidInputError, format_time, parse_time
from feed.features.embeddings import TfidfSvdEncoder, article_text
from feed.models.factors import training_threads
from feed.offline.datasets import NAMES, encode_catalogue, read_dataset
from feed.offline.earlier_looks import EARLIER_EVERY
from feed.offline.evaluation_report import build_report, evaluation_document
from feed.offline.event_log import EventLog
from feed.offline.log_source import StoredLog, temporary_directory
from feed.offline.own_methods import open_method
from feed.offline.parallel import evaluate_protocols
from feed.offline.walk_plan import HEADS, WalkPlan

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_span(text: str) -> float:
    """Return the seconds of a span such as 30m, 24h or 7d.

    Raises:
        InvalidInputError: it is not one.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise InvalidInputError(
            "--retrain-every", "must be more than 0, as a number with m, h or d, such as 24h"
        )
    return float(match[1]) * _UNITS[match[2]]


@click.command("evaluate")
@click.argument("directory", type=PATH)
@click.option("--dataset", type=click.Choice(NAMES), required=True, help="Layout of DIRECTORY.")
@click.option("--from", "from_text", metavar="TIME", help="First impression measured, ISO 8601.")
@click.option("--to", "to_text", metavar="TIME", help="End of the window, exclusive.")
@click.option("--retrain-every", default="24h", show_default=True, help="Time between trainings.")
@click.option(
    "--protocol",
    type=click.Choice(["both", *HEADS]),
    default="both",
    show_default=True,
    help="What is ordered; see above.",
)
@click.option(
    "--encoder",
    default="sentence",
    show_default=True,
    help="What turns texts into vectors: sentence, tfidf, none or onnx:DIRECTORY.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A training parameter (see: feed settings --of training). May be repeated.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="MODULE:CLASS",
    help="A ranking method of your own, or its name in the entry points feed.methods, measured "
    "beside the others. May be repeated.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads for training.",
)
@click.option("--json", "json_path", type=OUTPUT_FILE, help="Write the figures to this file.")
@click.option(
    "--scores", "scores_path", type=OUTPUT_FILE, help="Write all scores to this Parquet file."
)
@click.option("--html", "html_path", type=OUTPUT_FILE, help="Write a report to this file.")
@click.option(
    "--markdown", "markdown_path", type=OUTPUT_FILE, help="Write the tables to this file."
)
@click.option("--latex", "latex_path", type=OUTPUT_FILE, help="Write the tables to this file.")
def evaluate_command(
    directory: Path,
    dataset: str,
    from_text: str | None,
    to_text: str | None,
    retrain_every: str,
    protocol: str,
    encoder: str,
    assignments: tuple[str, ...],
    methods: tuple[str, ...],
    threads: int,
    json_path: Path | None,
    scores_path: Path | None,
    html_path: Path | None,
    markdown_path: Path | None,
    latex_path: Path | None,
) -> None:
    """Replay the log in DIRECTORY and measure the ranking on it.

    Every impression from --from to --to (default: the last two days) is scored with what was
    known strictly before it. New models are trained every --retrain-every, on what came before.

    There are two protocols: `slate` orders the articles that the editors showed, `pool` ranks
    every article that could have been shown.
    """
    console = Console()
    with one_line_errors(), ExitStack() as stack:
        for method in methods:
            open_method(method)
        training = read_config(assignments)
        check_encoder_name("--encoder", encoder)
        if dataset == "archive":
            prepare_archive(directory)
        if not directory.is_dir():
            raise InputCommandError(f"there is no directory {directory}")
        log, vectors = read_dataset(dataset, directory)
        start, end = _window(log, from_text, to_text)
        plan = WalkPlan(
            start=start,
            end=end,
            retrain_every_s=parse_span(retrain_every),
            heads=HEADS if protocol == "both" else (protocol,),
            earlier_every=EARLIER_EVERY,
            threads=min(max(threads, 1), training_threads()),
            training=training,
        )
        bar = stack.enter_context(_progress(console))
        task = bar.add_task("reading", total=1.0)
        if vectors is None:
            vectors = _encode(log, encoder, start, bar, task)

        def show(share: float, doing: str) -> None:
            bar.update(task, completed=share, description=doing)

        stored = StoredLog(log, Path(stack.enter_context(temporary_directory())))
        del log
        book = evaluate_protocols(
            stored,
            plan,
            embeddings=vectors,
            scores=scores_path,
            methods=methods,
            progress=show,
        )
        bar.update(task, completed=1.0, description="done")
    report = build_report(book, _settings(dataset, plan, len(stored.articles), assignments))
    document = evaluation_document(report)
    print_document(document, console)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    for path, render in (
        (html_path, render_html),
        (markdown_path, render_markdown),
        (latex_path, render_latex),
    ):
        if path is not None:
            path.write_text(render(document), encoding="utf-8")


def _window(log: EventLog, from_text: str | None, to_text: str | None) -> tuple[float, float]:
    at = log.impressions.at
    if not len(at):
        raise InputCommandError("the log holds no impressions")
    end = parse_time("--to", to_text) if to_text else float(at[-1]) + 1.0
    start = parse_time("--from", from_text) if from_text else end - 2 * 86400.0
    inside = log.impressions.between(start, end)
    if not len(inside):
        raise InputCommandError(
            f"no impressions between {format_time(start)} and {format_time(end)}; "
            f"the log has them from {format_time(float(at[0]))} to {format_time(float(at[-1]))}"
        )
    return start, end


def _encode(log: EventLog, encoder: str, start: float, bar: Progress, task: Any) -> Matrix | None:
    if not any(article_text(a) for a in log.catalogue):
        return None
    chosen = _fit_tfidf(log, start) if encoder == "tfidf" else open_ready_encoder(encoder)
    if chosen is None:
        return None
    return encode_catalogue(
        log, chosen, lambda share: bar.update(task, completed=share, description="encoding")
    )


def _fit_tfidf(log: EventLog, until: float) -> TfidfSvdEncoder:
    """Fit on the articles that had appeared before the window."""
    seen = log.first_seen_at < until
    texts = [article_text(a) for a in log.catalogue if seen[log.articles.row(a.article_id)]]
    return TfidfSvdEncoder.fit([text for text in texts if text])


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def _settings(
    dataset: str, plan: WalkPlan, articles: int, assignments: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "from": format_time(plan.start),
        "to": format_time(plan.end),
        "retrain_every_hours": plan.retrain_every_s / 3600.0,
        "articles": articles,
        "trees": plan.training.ranker_trees,
        "seed": plan.training.seed,
        "set": ", ".join(assignments) or "nothing",
    }
