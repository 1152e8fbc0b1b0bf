#!/usr/bin/env python
"""Compares ways to turn what a reader has read into a score of an article's text alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.catalogue.encoder_choice import open_ready_encoder
from feed.commands.errors import one_line_errors
from feed.domain import Article, InvalidInputError, parse_time
from feed.features.embeddings import Encoder
from feed.features.interactions import CLICK
from feed.offline.datasets import encode_catalogue, read_dataset
from feed.offline.event_log import EventLog
from feed.offline.ranking_metrics import auc, bootstrap_mean, sort_lists
from feed.training_config import TrainingConfig
from lab.bench.story_data import bare_texts

Profile = Callable[[Matrix], Floats]
"""Cosines of candidates (rows) with past clicks, oldest first (columns) -> f64 [candidates]."""
HALF_LIFE_CLICKS = 20.0
DIMENSIONS = TrainingConfig().content_dimensions
MEAN = "mean of all clicks"
RAW = "mean of all clicks, vectors as encoded"
TEXTS: dict[str, Callable[[Article], Article]] = {
    "mean, of titles alone": lambda one: replace(one, standfirst="", body=""),
    "mean, with section and subsection before the text": lambda one: replace(
        one,
        title=f"{one.section} {one.source}. {one.title}",  # MIND's subsection
    ),
}
"""What is encoded besides title and standfirst, each with the mean of all clicks."""
BARE = "mean, without what three articles of a subsection repeat"
"""The same with texts of which the boilerplate was taken out."""


def mean(cosines: Matrix) -> Floats:
    """Return the cosine with the mean of all clicks, up to the length of that mean."""
    return np.asarray(cosines.mean(axis=1), np.float64)


def recent(cosines: Matrix, half_life: float = HALF_LIFE_CLICKS) -> Floats:
    """Return a mean in which a click weighs half as much as one so many clicks later."""
    age = np.arange(cosines.shape[1])[::-1]
    return np.asarray(np.average(cosines, axis=1, weights=0.5 ** (age / half_life)))


def attention(cosines: Matrix, sharpness: float) -> Floats:
    """Return a mean with weights exp(sharpness x cosine), which differ from candidate to candidate.

    It is dot-product attention with the candidate as query and clicks as keys and values.
    """
    weights = np.exp(sharpness * cosines)
    return np.asarray((weights * cosines).sum(axis=1) / weights.sum(axis=1), np.float64)


def nearest(cosines: Matrix, count: int = 1) -> Floats:
    """Return the mean cosine with the most similar clicks."""
    return np.asarray(np.sort(cosines, axis=1)[:, -count:].mean(axis=1), np.float64)


PROFILES: dict[str, Profile] = {
    MEAN: mean,
    "mean, half-life of 20 clicks": recent,
    "mean, half-life of 5 clicks": partial(recent, half_life=5.0),
    "attention, sharpness 2": partial(attention, sharpness=2.0),
    "attention, sharpness 5": partial(attention, sharpness=5.0),
    "attention, sharpness 10": partial(attention, sharpness=10.0),
    "nearest three clicks": partial(nearest, count=3),
    "nearest click": nearest,
}


@dataclass(frozen=True, slots=True)
class Axes:
    """Which main axes of the vectors are used, from which on, and with how much of the spread.

    `flattened` is 0 where an axis counts as much as the vectors differ along it, and 1 where all
    axes count the same (whitening).
    """

    count: int = DIMENSIONS
    first: int = 0
    flattened: float = 0.0


AXES = {
    f"mean, {DIMENSIONS // 2} axes": Axes(DIMENSIONS // 2),
    f"mean, {2 * DIMENSIONS} axes": Axes(2 * DIMENSIONS),
    "mean, without the first 3 axes": Axes(first=3),
    "mean, without the first 10 axes": Axes(first=10),
    "mean, half whitened": Axes(flattened=0.5),
    "mean, whitened": Axes(flattened=1.0),
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

    Nothing is learnt but the main axes of the vectors, from articles seen before. The first table
    is about whole lists, and lists of readers without a past count: their candidates are equal. The
    second is about what has a text alone, in the lists that differ there. The default days are
    those before the two of MIND on which results are reported.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        start, end = parse_time("--from", from_text), parse_time("--to", to_text)
        task = bar.add_task("encoding", total=2.0 + len(TEXTS))
        log, given = read_dataset(dataset, directory)
        chosen = None if given is not None else open_ready_encoder(encoder)
        if given is None and chosen is None:
            raise InvalidInputError("--encoder", "must be one that makes vectors")
        known = log.first_seen_at < start
        others = {} if chosen is None else _rewritten(log, known)
        texts = [log, *others.values()]
        found = [given if chosen is None else _encode(one, chosen, bar, task) for one in texts]
        if any(vectors is None for vectors in found):
            raise InvalidInputError("DIRECTORY", "must hold articles with texts")
        lists = list(impressions(log, start, end))
    unit, *other_units = (_unit(vectors) for vectors in found if vectors is not None)
    reduced = _reduced(unit, known)
    ways: dict[str, tuple[Matrix, Profile]] = {n: (reduced, p) for n, p in PROFILES.items()}
    ways[RAW] = (unit, mean)
    ways |= {name: (_reduced(unit, known, axes), mean) for name, axes in AXES.items()}
    for name, one in zip(others, other_units, strict=True):
        ways[name] = (_reduced(one, known), mean)
    worded: Flags = np.asarray(unit.any(axis=1))
    share = np.mean(worded[np.concatenate([seen.shown for seen in lists])])
    console = Console()
    console.print(compare(lists, ways, "whole lists, where no text scores 0", no_text=0.0))
    console.print(compare(lists, ways, "whole lists, where no text scores the mean of the list"))
    console.print(f"{len(lists):,} lists; {share:.0%} of what they show has a text")
    parts = [with_text(seen, worded) for seen in lists]
    told = [part for part in parts if part is not None]
    console.print(compare(told, ways, "what has a text alone"), f"{len(told):,} lists")


def compare(
    lists: list[Seen],
    ways: Mapping[str, tuple[Matrix, Profile]],
    title: str,
    no_text: float | None = None,
) -> Table:
    """Return the slate AUC of each way, and its lead over the mean of all clicks, paired."""
    readers = np.array([seen.user for seen in lists])
    found = {name: measure(lists, *way, no_text) for name, way in ways.items()}
    table = Table("past clicks enter as", "slate AUC", "lead over the mean", title=title)
    for name, values in found.items():
        lead = bootstrap_mean(values - found[MEAN], readers)
        shown = f"{lead.mean:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})"
        table.add_row(name, f"{values.mean():.4f}", "" if name == MEAN else shown)
    return table


def with_text(seen: Seen, worded: Flags) -> Seen | None:
    """Return what of a list has a text; None if there is nothing to put in order, or no past."""
    inside = worded[seen.shown]
    clicked = seen.clicked[inside]
    if not clicked.any() or clicked.all() or not worded[seen.past].any():
        return None
    return replace(seen, shown=seen.shown[inside], clicked=clicked)


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


def _rewritten(log: EventLog, known: Flags) -> dict[str, EventLog]:
    """Return the log with other texts, by what was done; boilerplate is learnt of what is known."""
    before = [
        a for a in log.catalogue if (row := log.articles.row(a.article_id)) >= 0 and known[row]
    ]
    told = zip(log.catalogue, bare_texts(log.catalogue, before), strict=True)
    texts = {name: tuple(map(rewrite, log.catalogue)) for name, rewrite in TEXTS.items()}
    texts[BARE] = tuple(replace(one, title=text, standfirst="", body="") for one, text in told)
    return {name: replace(log, catalogue=articles) for name, articles in texts.items()}


def _encode(log: EventLog, encoder: Encoder, bar: Progress, task: TaskID) -> Matrix | None:
    before = bar.tasks[task].completed
    return encode_catalogue(log, encoder, lambda s: bar.update(task, completed=before + s))


def _reduced(unit: Matrix, known: Flags, wanted: Axes | None = None) -> Matrix:
    """Return vectors without the mean of those known, on main axes: by default as feeds have it."""
    wanted = wanted or Axes()
    worded: Flags = np.asarray(unit.any(axis=1))
    centre = unit[worded & known].mean(axis=0)
    _, spread, axes = np.linalg.svd(unit[worded & known] - centre, full_matrices=False)
    used = slice(wanted.first, wanted.first + wanted.count)
    found = np.zeros((len(unit), len(axes[used])), np.float32)
    found[worded] = (unit[worded] - centre) @ axes[used].T / spread[used] ** wanted.flattened
    return _unit(found)


if __name__ == "__main__":
    main()
