"""Pairs of MIND that people have judged: no series is dropped, no equal texts stand together."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest

from feed.domain import Article
from feed.features.story_pairs import Level, Pair, PairJudge
from feed.features.story_text import StoryText, read_text

DATASETS = Path(os.environ.get("FEED_DATASETS", Path(__file__).parents[3] / "shared" / "data"))
MIND = DATASETS / "mind_small"


@pytest.fixture(scope="module")
def judged() -> list[tuple[Pair, str]]:
    """Every judged pair with its label; nothing says how long after the other an article came."""
    if not (MIND / "same_story.tsv").is_file():
        pytest.skip("mind_small/same_story.tsv is not here; FEED_DATASETS names the data sets")
    texts: dict[str, StoryText] = {}
    for line in (MIND / "news.tsv").read_text(encoding="utf-8").split("\n"):
        key, _, _, title, standfirst, *_ = [*line.split("\t"), "", "", "", ""]
        article = Article(
            article_id=key or "none", title=title, standfirst=standfirst, published_at=0.0
        )
        texts[key] = read_text(article)
    with (MIND / "same_story.tsv").open(encoding="utf-8", newline="") as file:
        return [
            (Pair(texts[r["id_a"]], texts[r["id_b"]], float(r["cosine"]), math.nan), r["label"])
            for r in csv.DictReader(file, delimiter="\t")
        ]


@pytest.fixture(scope="module")
def judge(judged: list[tuple[Pair, str]]) -> PairJudge:
    judge = PairJudge()
    for pair, _ in judged:
        judge.learn(pair.one)
        judge.learn(pair.other)
    return judge


def test_no_pair_that_is_alike_but_not_the_same_is_dropped(
    judged: list[tuple[Pair, str]], judge: PairJudge
) -> None:
    alike = [pair for pair, label in judged if label != "same" and pair.cosine >= 0.92]
    assert alike
    assert {judge.level(pair) for pair in alike} == {Level.SERIES}


def test_equal_texts_are_twins(judged: list[tuple[Pair, str]], judge: PairJudge) -> None:
    equal = [pair for pair, _ in judged if pair.one.identity == pair.other.identity]
    assert equal
    assert {judge.level(pair) for pair in equal} == {Level.TWIN}
