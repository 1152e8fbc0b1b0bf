#!/usr/bin/env python3
"""How alike the texts of twins and of different articles are, on the sample articles."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from rich.console import Console
from rich.table import Table

from feed.domain import Article
from feed.features.embeddings import SentenceEncoder, article_text
from feed.features.twins import ALIKE_COSINE
from feed.newsroom.articles import load_articles

LIMITS = (0.5, 0.6, ALIKE_COSINE, 0.8, 0.9)


def another_headline(article: Article) -> Article:
    """Return an article as a second feed may have it: the standfirst on top, half of the text."""
    return replace(
        article,
        title=article.standfirst,
        standfirst="",
        body=article.body[: len(article.body) // 2],
    )


def main() -> None:
    """Print which share of pairs reaches each cosine."""
    articles = [a for a in load_articles(0.0) if a.standfirst]
    encoder = SentenceEncoder()
    vectors = encoder.encode([article_text(a) for a in articles])
    twins = encoder.encode([article_text(another_headline(a)) for a in articles])
    pairs = [
        (i, j)
        for i, j in combinations(range(len(articles)), 2)
        if (articles[i].section, articles[i].language)
        == (articles[j].section, articles[j].language)
    ]
    one, other = np.array(pairs).T
    found = {
        f"{len(articles)} articles under another headline": (vectors * twins).sum(axis=1),
        f"{len(pairs)} pairs of one section and language": (vectors[one] * vectors[other]).sum(1),
    }
    table = Table("cosine of at least", *found)
    for limit in LIMITS:
        table.add_row(f"{limit:g}", *(f"{(c >= limit).mean():.1%}" for c in found.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
