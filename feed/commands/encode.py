"""`feed encode`: fit the tfidf encoder, and encode every article with the configured encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click

from feed.catalogue.article_service import ArticleService
from feed.catalogue.encoder_choice import check_encoder, open_encoder, tfidf_path
from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.domain import Article, InvalidInputError
from feed.features.embeddings import TfidfSvdEncoder, article_text
from feed.storage.redis_store import RedisStore

BATCH = 200
FEWEST_ARTICLES = 20


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.")
@click.option("--fit", is_flag=True, help="First fit the tfidf encoder to the present articles.")
def encode(data: Path | None, *, fit: bool) -> None:
    """Encode the articles whose vectors do not come from the configured encoder (FEED_ENCODER).

    Run this after the setting has changed. Vectors that the publisher sent are kept. Until nearly
    all articles have their new vector, running processes go on with the old ones; then they take
    the new ones at once. A run that was broken off goes on where it stopped.
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
            service = ArticleService(store, lambda: open_encoder(settings), lambda: None)
            ids, changed, seen = [*_ids(store)], 0, 0
            for batch in _batches(iter(ids)):
                changed, seen = changed + service.encode(batch), seen + len(batch)
                click.echo(
                    f"{seen:,} of {len(ids):,} articles looked at, {changed:,} encoded", err=True
                )
    click.echo(f"encoded {changed} articles")


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
