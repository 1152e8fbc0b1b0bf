#!/usr/bin/env python
"""Compares ways to turn what a reader has read into a score of an article's text alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.catalogue.encoder_choice import open_ready_encoder
from feed.commands.errors import one_line_errors
from feed.domain import InvalidInputError, parse_time
from feed.features.interactions import CLICK
from feed.offline.datasets import encode_catalogue, read_dataset
from feed.offline.event_log import EventLog
from feed.offline.ranking_metrics import auc, bootstrap_mean, sort_lists
from feed.training_config import TrainingConfig

Profile = Callable[[Matrix], Floats]
"""Cosines of candidates (rows) with past clicks, oldest first (columns) -> f64 [candidates]."""
HALF_LIFE_CLICKS = 20.0
DIMENSIONS = TrainingConfig().content_dimensions
MEAN = "mean of all clicks"
RAW = "mean of all clicks, vectors as encoded"


def mean(cosines: Matrix) -> Floats:
    """Return the cosine with the mean of all clicks, up to the length of that mean."""
    return np.asarray(cosines.mean(axis=1), np.float64)


def recent(cosines: Matrix) -> Floats:
    """Return a mean in which a click weighs half as much as one 20 clicks later."""
    age = np.arange(cosines.shape[1])[::-1]
    return np.asarray(np.average(cosines, axis=1, weights=0.5 ** (age / HALF_LIFE_CLICKS)))


def attention(cosines: Matrix, sharpness: float) -> Floats:
    """Return a mean with weights exp(sharpness x cosine), which differ from candidate to candidate.

    It is dot-product attention with the candidate as query and clicks as keys and values.
    """
    weights = np.exp(sharpness * cosines)
    return np.asarray((weights * cosines).sum(axis=1) / weights.sum(axis=1), np.float64)


def nearest(cosines: Matrix) -> Floats:
    """Return the cosine with the most similar click."""
    return np.asarray(cosines.max(axis=1), np.float64)


PROFILES: dict[str, Profile] = {
    MEAN: mean,
    "mean, half-life of 20 clicks": recent,
    "attention, sharpness 2": partial(attention, sharpness=2.0),
    "attention, sharpness 5": partial(attention, sharpness=5.0),
    "attention, sharpness 10": partial(attention, sharpness=10.0),
    "nearest click": nearest,
}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """An impression: rows shown, which were clicked, and what its reader had clicked before."""

    user: int
    shown: Rows
    clicked: Flags
    past: Rows


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(["ebnerd", "mind"]), default="mind")
@click.option("--from", "from_text", default="2019-11-09T00:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2019-11-13T00:00", show_default=True, metavar="TIME")
@click.option("--encoder", default="sentence", show_default=True)
def main(directory: Path, dataset: str, from_text: str, to_text: str, encoder: str) -> None:
    """Print the slate AUC of each way, and its lead over the mean of all clicks.

    Nothing is learnt but the main axes of the vectors, from articles seen before. Lists of readers
    without a past count: their candidates are equal. The default days are those before the two of
    MIND on which results are reported.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        task = bar.add_task("encoding", total=1.0)
        log, vectors = read_dataset(dataset, directory)
        if vectors is None:
            chosen = open_ready_encoder(encoder)
            if chosen is None:
                raise InvalidInputError("--encoder", "must be one that makes vectors")
            vectors = encode_catalogue(log, chosen, lambda s: bar.update(task, completed=s))
        if vectors is None:
            raise InvalidInputError("DIRECTORY", "must hold articles with texts")
        lists = list(impressions(log, parse_time("--from", from_text), parse_time("--to", to_text)))
    unit = _unit(vectors)
    reduced = _reduced(unit, log.first_seen_at < parse_time("--from", from_text))
    readers = np.array([seen.user for seen in lists])
    ways = {name: (reduced, profile) for name, profile in PROFILES.items()} | {RAW: (unit, mean)}
    found = {name: measure(lists, *way, no_text=0.0) for name, way in ways.items()}
    table = Table(
        "past clicks enter as", "slate AUC", "lead over the mean", "no text: mean of the list"
    )
    for name, values in found.items():
        lead = bootstrap_mean(values - found[MEAN], readers)
        shown = f"{lead.mean:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})"
        other = measure(lists, *ways[name]).mean()
        table.add_row(name, f"{values.mean():.4f}", "" if name == MEAN else shown, f"{other:.4f}")
    worded: Flags = np.asarray(unit.any(axis=1))
    share = np.mean(worded[np.concatenate([seen.shown for seen in lists])])
    Console().print(table, f"{len(lists):,} lists; {share:.0%} of what they show has a text")


def impressions(log: EventLog, start: float, end: float) -> Iterator[Seen]:
    """Yield the impressions of a window that have both clicked and unclicked articles."""
    columns, shown = log.events.columns, log.impressions
    clicks = np.flatnonzero(columns.kinds == CLICK)
    clicks = clicks[np.argsort(columns.users[clicks], kind="stable")]
    bounds = np.searchsorted(columns.users[clicks], np.arange(len(log.users) + 1))
    for at in np.flatnonzero((shown.at >= start) & (shown.at < end)).tolist():
        inside = slice(shown.starts[at], shown.starts[at + 1])
        clicked, user = shown.clicked[inside].astype(np.bool_), int(shown.users[at])
        mine = clicks[bounds[user] : bounds[user + 1]]
        past = columns.articles[mine[columns.occurred_at[mine] < shown.at[at]]]
        if clicked.any() and not clicked.all():
            yield Seen(user, shown.shown[inside], clicked, past)


def measure(
    lists: list[Seen], unit: Matrix, profile: Profile, no_text: float | None = None
) -> Floats:
    """Return the AUC of each list, f64 [n].

    Args:
        lists: what is ordered.
        unit: vectors of unit length, f32 [articles, d], zero without a text.
        profile: how past clicks enter.
        no_text: score of a candidate without a text; the mean of the others if not given.
    """
    scores = []
    worded: Flags = np.asarray(unit.any(axis=1))
    for seen in lists:
        past, known = seen.past[worded[seen.past]], worded[seen.shown]
        score = np.zeros(len(seen.shown))
        if len(past) and known.any():
            score[known] = profile(unit[seen.shown[known]] @ unit[past].T)
            score[~known] = score[known].mean() if no_text is None else no_text
        scores.append(score)
    clicked = np.concatenate([seen.clicked for seen in lists])
    return auc(sort_lists(np.concatenate(scores), clicked, [len(s.shown) for s in lists]))


def _unit(vectors: Matrix) -> Matrix:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float32)


def _reduced(unit: Matrix, known: Flags) -> Matrix:
    """Return the vectors as feeds use them: without the mean of those known, on 128 main axes."""
    worded: Flags = np.asarray(unit.any(axis=1))
    centre = unit[worded & known].mean(axis=0)
    _, _, axes = np.linalg.svd(unit[worded & known] - centre, full_matrices=False)
    found = np.zeros((len(unit), min(DIMENSIONS, len(axes))), np.float32)
    found[worded] = (unit[worded] - centre) @ axes[:DIMENSIONS].T
    return _unit(found)


if __name__ == "__main__":
    main()
