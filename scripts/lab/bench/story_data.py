"""Pairs of articles with what people say of them, for judging how stories are found."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from feed.arrays import Flags, Floats, Integers, Matrix
from feed.config import DAY_S, HOUR_S
from feed.domain import Article
from feed.features.embeddings import SentenceEncoder, article_text
from feed.features.story_pairs import Pair, PairJudge
from feed.features.story_text import SENTENCES, TITLE_PARTS, StoryText, read_text

VERSIONS = Path(__file__).with_name("story_versions.jsonl")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PER_DAY = 62**3 / 0.27
"""How much the numbers in MIND's addresses grow in a day, as titles that name their day say."""
AROUND = {"AA": "AAJZZZZ", "BB": "BBWp000"}
"""The last number of one series of them and the first of the next, on 8 November 2019."""
NEAR = 0.3
"""Pairs of the invented set whose cosine is lower are left out: no rule would look at them."""


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """Pairs of articles of one set, one element or row each.

    Attributes:
        name: what the set is.
        texts: the articles.
        vectors: their unit vectors, f32 [articles, d].
        at: when they came, epoch seconds, NaN where nothing says so.
        one: place of a pair's article in `texts`, int64 [k].
        other: the same of the other article.
        same: whether who read one does not want the other on the same page.
        series: whether both belong to one series (invented pairs only).
        article_groups: numbers that articles share if they must be held out together, int64.
        weight: how many pairs each stands for.
    """

    name: str
    texts: Sequence[StoryText]
    vectors: Matrix
    at: Floats
    one: Integers
    other: Integers
    same: Flags
    series: Flags
    article_groups: Integers
    weight: Floats

    @property
    def cosine(self) -> Floats:
        """Cosines of the pairs, f64 [k]."""
        found: Floats = (self.vectors[self.one] * self.vectors[self.other]).sum(1, np.float64)
        return found

    @property
    def hours(self) -> Floats:
        """Hours between the articles of each pair, f64 [k], NaN where not known."""
        found: Floats = np.abs(self.at[self.one] - self.at[self.other]) / HOUR_S
        return found

    def judge(self) -> PairJudge:
        """Return a judge that has learned all articles of the set."""
        judge = PairJudge()
        for text in self.texts:
            judge.learn(text)
        return judge

    def pairs(self) -> list[Pair]:
        """Return the pairs as the judge takes them."""
        columns = self.one.tolist(), self.other.tolist(), self.cosine.tolist(), self.hours.tolist()
        return [
            Pair(self.texts[i], self.texts[j], cosine, hours)
            for i, j, cosine, hours in zip(*columns, strict=True)
        ]


def invented_articles() -> tuple[list[Article], list[str]]:
    """Return the invented articles and the event of each."""
    lines = [json.loads(line) for line in VERSIONS.read_text(encoding="utf-8").splitlines()]
    articles = [
        Article(
            article_id=line["id"],
            title=line["title"],
            standfirst=line["standfirst"],
            source=line["source"],
            language=line["language"],
            published_at=line["hours"] * HOUR_S,
        )
        for line in lines
    ]
    return articles, [line["event"] for line in lines]


def invented_pairs(*, bare: bool = False) -> JudgedPairs:
    """Return the pairs of the invented articles, except those far apart in text and in truth.

    Args:
        bare: whether texts are encoded without what their sources repeat.
    """
    articles, events = invented_articles()
    vectors = _encode(articles, bare=bare)
    lines = [json.loads(line) for line in VERSIONS.read_text(encoding="utf-8").splitlines()]
    column = [line["topic"] if line["kind"] == "series" else "" for line in lines]
    pairs = [
        (i, j)
        for i, j in combinations(range(len(articles)), 2)
        if events[i] == events[j] or float(vectors[i] @ vectors[j]) >= NEAR
    ]
    one, other = np.array(pairs).T
    same = np.array([events[i] == events[j] for i, j in pairs])
    return JudgedPairs(
        name="invented",
        texts=[read_text(article) for article in articles],
        vectors=vectors,
        at=np.array([article.published_at for article in articles]),
        one=one,
        other=other,
        same=same,
        series=~same & np.array([column[i] == column[j] != "" for i, j in pairs]),
        article_groups=np.unique(events, return_inverse=True)[1],
        weight=np.ones(len(pairs)),
    )


def mind_pairs(directory: Path, *, timed: bool = True, bare: bool = False) -> JudgedPairs:
    """Return the pairs of MIND that people have judged.

    Args:
        directory: MIND in its published layout, with `same_story.tsv`: the columns id_a, id_b,
            cosine, band and label.
        timed: whether the numbers in the addresses count as times.
        bare: whether texts are encoded without what their sources repeat.
    """
    lines = (directory / "news.tsv").read_text(encoding="utf-8").split("\n")
    news = [line.split("\t") for line in lines if line]
    articles = [_of_mind(fields) for fields in news]
    place = {article.article_id: i for i, article in enumerate(articles)}
    with (directory / "same_story.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    one = np.array([place[row["id_a"]] for row in rows])
    other = np.array([place[row["id_b"]] for row in rows])
    vectors = _encode(articles, bare=bare)
    labels = [row["label"] for row in rows]
    return JudgedPairs(
        name="judged" if timed else "judged, times unknown",
        texts=[read_text(article) for article in articles],
        vectors=vectors,
        at=np.array([_moment(fields[5]) if timed else np.nan for fields in news]),
        one=one,
        other=other,
        same=np.array([label == "same" for label in labels]),
        series=np.zeros(len(rows), np.bool_),
        article_groups=_connected(one, other, len(articles)),
        weight=_weights(vectors, [row["band"] for row in rows]),
    )


def _of_mind(fields: Sequence[str]) -> Article:
    """Return an article of MIND, which names no sources: they all count as one."""
    return Article(
        article_id=fields[0],
        title=fields[3],
        standfirst=fields[4],
        language="en",
        published_at=0.0,
    )


def _connected(one: Integers, other: Integers, size: int) -> Integers:
    """Return a number for each article that it shares with all it is connected with by pairs."""
    pairs = coo_matrix((np.ones(len(one)), (one, other)), shape=(size, size))
    return connected_components(pairs, directed=False)[1].astype(np.int64)


def _encode(articles: Sequence[Article], *, bare: bool) -> Matrix:
    texts = bare_texts(articles) if bare else [article_text(article) for article in articles]
    return _encode_texts(tuple(texts))


@lru_cache(maxsize=2)
def _encode_texts(texts: tuple[str, ...]) -> Matrix:
    return SentenceEncoder().encode(texts)


def bare_texts(
    articles: Sequence[Article], learnt_from: Sequence[Article] | None = None
) -> list[str]:
    """Return texts without the parts that three articles of their source have in common.

    A text of which nothing would be left stays as it is.

    Args:
        articles: whose texts are wanted.
        learnt_from: what counts as sent before, by which repetitions are found; `articles`
            themselves when None.
    """
    judge = PairJudge()
    for article in articles if learnt_from is None else learnt_from:
        judge.learn(read_text(article))

    def kept(article: Article, field: str, pattern: re.Pattern[str]) -> list[str]:
        cut = pattern.split(getattr(article, field))
        parts = [part.strip() for part in cut if part and part.strip()]
        empty = replace(article, title="", standfirst="", body="")
        fields: list[dict[str, Any]] = [{field: part} for part in parts]
        texts = [read_text(replace(empty, **one)) for one in fields]
        return [
            part
            for part, found in zip(parts, texts, strict=True)
            if not all(judge.boilerplate.is_repeated(found.source, s) for s in found.segments)
        ]

    bare = []
    for article in articles:
        lines = kept(article, "title", TITLE_PARTS) + kept(article, "standfirst", SENTENCES)
        bare.append("\n".join(lines) or article_text(article))
    return bare


def _weights(vectors: Matrix, bands: Sequence[str]) -> Floats:
    """Return how many pairs of the whole set each judged one stands for, by bands of cosine."""
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    judged = Counter(bands)
    size = {}
    for band in judged:
        low, _, high = band.removeprefix(">=").partition("-")
        inside = (cosines >= float(low)) & (cosines < float(high or "2"))
        size[band] = float(np.count_nonzero(inside))
    return np.array([size[band] / judged[band] for band in bands])


def _moment(address: str) -> float:
    """Return the time that the number in an address stands for; NaN if it has none."""
    name = address.rpartition("/")[2].partition(".")[0]
    start = AROUND.get(name[:2])
    if start is None:
        return np.nan
    return (_number(name) - _number(start)) / PER_DAY * DAY_S


def _number(name: str) -> int:
    number = 0
    for letter in name:
        number = 62 * number + DIGITS.index(letter)
    return number
