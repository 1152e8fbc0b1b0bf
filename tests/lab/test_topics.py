"""The new readers behind the figures on choosing topics."""

import numpy as np
from lab.simulation.topics import CHOICES, choose, run_newsroom

from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import build_readers


def test_choosing_topics_helps_the_first_page_of_readers_who_know_what_they_like():
    found = run_newsroom(seed=3, days=1, newcomers=8)
    first_page = {choice.name: figures[0] for choice, figures in zip(CHOICES, found, strict=True)}
    assert (first_page["two sections"] > first_page["nothing: skipped"]).all()
    assert (found[..., 1] > 0).all()
    assert (found[..., 1] <= 1).all()


def test_readers_choose_what_they_like_best_or_something_else_by_chance():
    articles = load_articles(1_700_000_000.0)
    (reader,) = build_readers(articles, 1, np.random.default_rng(5))
    by_name = {choice.name: choose(reader, choice) for choice in CHOICES}
    assert by_name["nothing: skipped"] == []
    assert by_name["three sections"] == list(reader.sections)
    assert len(by_name["two, each wrong by 1/3"]) == 2
