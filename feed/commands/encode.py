"""`feed encode`: fit the tfidf encoder, and encode every article with the configured encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from feed.catalogue.article_service import ArticleService
from feed.catalogue.encoder_choice import check_encoder, open_encoder, tfidf_path
from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import PATH
from feed.domain import Article, InvalidInputError
from feed.features.embeddings import Encoder, TfidfSvdEncoder, article_text
from feed.storage.encoding_part import EncodingProgress
from feed.storage.redis_store import RedisStore

BATCH = 50
"""Articles between two signs of life."""
LINE_EVERY = 20 * BATCH
"""Articles between two lines where the output is no terminal."""
FEWEST_ARTICLES = 20


@click.command()
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option("--fit", is_flag=True, help="First fit the tfidf encoder to the present articles.")
def encode(data: Path | None, *, fit: bool) -> None:
    """Encode the articles whose vectors do not come from the configured encoder (FEED_ENCODER).

    Run this after the setting has changed. Vectors that the publisher sent are kept. Until nearly
    all articles have their new vector, all processes use the old ones; then they all change to the
    new ones at once. If a run is interrupted, the next one goes on where it stopped. The desk,
    `GET /v1/status` and /metrics show how far it is.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        check_encoder(settings)
        with open_store(settings) as store:
            if fit:
                texts = [article_text(a) for a in _articles(store)]
                if len(texts) < FEWEST_ARTICLES:
                    raise InvalidInputError("--fit", f"needs {FEWEST_ARTICLES} articles or more")
                path = tfidf_path(settings)
                path.parent.mkdir(parents=True, exist_ok=True)
                TfidfSvdEncoder.fit(texts).save(path)
            encoder = open_encoder(settings)
            if encoder is None and settings.encoder != "none":  # else all vectors would be lost
                rule = f"{settings.encoder} is not fitted yet: run feed encode --fit"
                raise InvalidInputError("FEED_ENCODER", rule)
            changed = _encode_all(store, encoder)
    click.echo(f"encoded {changed} articles")


def _encode_all(store: RedisStore, encoder: Encoder | None) -> int:
    """Encode what other encoders made, saying how far it is; return how many articles."""
    service = ArticleService(store, lambda: encoder, lambda: None)
    ids, now, changed = [*_ids(store)], time.time(), 0
    progress = EncodingProgress(encoder.name if encoder else "none", now, now, 0, len(ids))
    store.write_encoding(progress)
    with _progress_shown(len(ids)) as show:
        for batch in _batches(iter(ids)):
            changed += service.encode(batch)
            progress = replace(progress, at=time.time(), done=progress.done + len(batch))
            store.write_encoding(progress)
            show(progress.done, changed)
    store.drop_earlier_vectors()
    store.write_encoding(replace(progress, at=time.time(), is_over=True))
    return changed


@contextmanager
def _progress_shown(total: int) -> Iterator[Callable[[int, int], None]]:
    """Give what takes how many articles were looked at and encoded: for a bar, or for lines."""
    console = Console(stderr=True)
    columns: tuple[ProgressColumn, ...] = (
        TextColumn("articles"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[encoded]:,} encoded"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("articles", total=total, encoded=0)

        def show(looked_at: int, encoded: int) -> None:
            bar.update(task, completed=looked_at, encoded=encoded)
            if bar.disable and (looked_at % LINE_EVERY == 0 or looked_at == total):
                line = f"{looked_at:,} of {total:,} articles looked at, {encoded:,} encoded"
                click.echo(line, err=True)

        yield show


def _articles(store: RedisStore) -> Iterator[Article]:
    for ids in _batches(_ids(store)):
        for stored in store.read_articles(ids):
            if stored is not None:
                yield stored.article


def _ids(store: RedisStore) -> Iterator[str]:
    return iter([stored.article.article_id for stored in store.scan_articles()])


def _batches(ids: Iterator[str]) -> Iterator[Sequence[str]]:
    while batch := list(islice(ids, BATCH)):
        yield batch
