"""One story under several ids is one article; different stories of one address stay apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.domain import Article
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.twins import CROWD, TwinFinder

NOW = 1_700_000_000.0
PAGE = "https://paper.test/city/ferries"
TITLE = "Ferries return to the old harbour"


def article(article_id: str, **fields: Any) -> Article:
    given = {"title": TITLE, "published_at": NOW - 600.0, "url": PAGE, **fields}
    return Article(article_id=article_id, **given)


def builder_of(*articles: Article, vectors: tuple[Any, ...] = ()) -> PoolBuilder:
    """A builder with articles that came a second apart, in this order."""
    builder = PoolBuilder(twins=TwinFinder(["utm_*"]))
    for number, one in enumerate(articles):
        builder.add(one, vectors[number] if vectors else None, NOW - 500.0 + number)
    return builder


def shown(pool: ArticlePool) -> list[str]:
    return [pool.ids.ids[row] for row in np.flatnonzero(pool.live).tolist()]


def test_the_first_received_of_twins_is_shown_whatever_the_order_of_reading() -> None:
    twins = [article("b"), article("a", url=f"{PAGE}?utm_source=rss#1"), article("c", title="X")]
    pool = builder_of(*twins).snapshot(NOW)
    assert shown(pool) == ["b", "c"]
    assert pool.leaders_of(pool.ids.rows(["a", "b", "c", "gone"])).tolist() == [0, 0, 2, -1]
    backwards = PoolBuilder(twins=TwinFinder(["utm_*"]))
    for number, one in reversed(list(enumerate(twins))):
        backwards.add(one, None, NOW - 500.0 + number)
    assert sorted(shown(backwards.snapshot(NOW))) == ["b", "c"]


def test_a_pool_without_twins_has_nothing_to_map() -> None:
    pool = builder_of(article("a"), article("b", url=f"{PAGE}/more")).snapshot(NOW)
    assert pool.leader is None
    assert shown(pool) == ["a", "b"]


@pytest.mark.parametrize(
    ("other", "are_twins"),
    [
        ("FERRIES return \u2013 to the old  harbour!", True),
        ("Ferries return to the old harbour today", True),
        ("A vote on the harbour is postponed", False),
        ("Ferries return to the old harbour in 2027", False),
    ],
)
def test_titles_of_one_address_decide(other: str, *, are_twins: bool) -> None:
    pool = builder_of(article("a"), article("b", title=other)).snapshot(NOW)
    assert shown(pool) == (["a"] if are_twins else ["a", "b"])


@pytest.mark.parametrize(("cosine", "are_twins"), [(0.75, True), (0.6, False)])
def test_a_similar_text_under_another_title_is_a_twin(cosine: float, *, are_twins: bool) -> None:
    vectors = ([1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5])
    pair = article("a"), article("b", title="Old boats sail again")
    pool = builder_of(*pair, vectors=vectors).snapshot(NOW)
    assert shown(pool) == (["a"] if are_twins else ["a", "b"])


def test_articles_that_only_share_the_root_of_a_site_or_have_no_address_stay() -> None:
    urls = ["https://paper.test/", "https://www.paper.test", None, None]
    pool = builder_of(*(article(f"a{n}", url=url) for n, url in enumerate(urls))).snapshot(NOW)
    assert len(shown(pool)) == 4


def test_episodes_that_link_the_page_of_their_show_stay_apart() -> None:
    show = "https://paper.test/podcasts/harbour"
    titles = ["Harbour talk, episode 12", "Harbour talk, episode 13", "Harbour talk, episode 12"]
    alike = [1.0, 0.0]
    episodes = [article(f"e{n}", url=show, title=title) for n, title in enumerate(titles)]
    pool = builder_of(*episodes, vectors=(alike,) * 3).snapshot(NOW)
    assert shown(pool) == ["e0", "e1"]


@pytest.mark.parametrize(
    ("anchors", "are_twins"), [(("0", "1"), True), (("", "2"), True), (("goal", "whistle"), False)]
)
def test_entries_of_a_live_page_are_no_twins_but_numbered_updates_are(
    anchors: tuple[str, str], *, are_twins: bool
) -> None:
    titles = ("The ferries are back", "The ferries are back again")
    pair = [
        article(f"a{number}", url=f"{PAGE}#{anchor}", title=title)
        for number, (anchor, title) in enumerate(zip(anchors, titles, strict=True))
    ]
    assert shown(builder_of(*pair).snapshot(NOW)) == (["a0"] if are_twins else ["a0", "a1"])


def test_an_address_of_very_many_articles_folds_equal_titles_alone() -> None:
    names = [f"{'abcdefghijklmnopqrstuvwxyz'[n]} harbour ferry" for n in range(CROWD + 1)]
    ticker = [article(f"t{n}", title=name) for n, name in enumerate([*names, names[0]])]
    vectors = ([1.0, 0.0],) * len(ticker)
    assert len(shown(builder_of(*ticker, vectors=vectors).snapshot(NOW))) == CROWD + 1
    few = builder_of(*ticker[: CROWD - 1], vectors=vectors).snapshot(NOW)
    assert len(shown(few)) == 1


def test_the_next_twin_takes_the_place_of_one_that_is_retracted_removed_or_changed() -> None:
    first, second, third = article("a"), article("b"), article("c")
    builder = builder_of(first, second, third)
    builder.add(replace(first, retracted=True), None, NOW)
    assert shown(builder.snapshot(NOW)) == ["b"]
    builder.remove("b")
    pool = builder.snapshot(NOW)
    assert shown(pool) == ["c"]
    assert pool.leaders_of(np.array([0, 1])).tolist() == [2, 2]
    builder.add(first, None, NOW)
    assert shown(builder.snapshot(NOW)) == ["a"]
    builder.add(replace(third, url=f"{PAGE}/other"), None, NOW)
    assert shown(builder.snapshot(NOW)) == ["a", "c"]


def test_an_expired_leader_is_followed_and_a_scheduled_one_waits() -> None:
    first, late = article("a", expires_at=NOW + 100), article("b")
    builder = builder_of(first, late)
    assert shown(builder.snapshot(NOW)) == ["a"]
    assert not builder.is_due(NOW + 99)
    assert builder.is_due(NOW + 100)
    assert shown(builder.snapshot(NOW + 100)) == ["b"]
    assert not builder.is_due(NOW + 10_000)
    builder = builder_of(article("a", published_at=NOW + 7_200), late)
    assert shown(builder.snapshot(NOW)) == ["b"]
    assert builder.is_due(NOW + 7_200)
    assert shown(builder.snapshot(NOW + 7_200)) == ["a"]


def test_a_leader_stands_in_the_sections_of_its_twins() -> None:
    pair = article("a", section="News"), article("b", section="Sport", other_sections=("Money",))
    pool = builder_of(*pair).snapshot(NOW)
    codes = pool.sections.rows(["News", "Sport", "Money"]).tolist()
    assert all(pool.stand_in(np.array([0]), [code])[0] for code in codes)
    alone = builder_of(*pair)
    alone.remove("b")
    assert shown(alone.snapshot(NOW)) == ["a"]


PAGES = st.sampled_from([PAGE, f"{PAGE}?utm_source=a", f"{PAGE}/b", "https://paper.test/", None])
TITLES = st.sampled_from([TITLE, TITLE.upper(), "Something else", "Part 1", "Part 2"])


@given(st.lists(st.tuples(PAGES, TITLES, st.booleans()), max_size=8))
def test_some_article_of_every_story_is_shown_and_leaders_lead_themselves(
    entries: list[tuple[str | None, str, bool]],
) -> None:
    articles = [
        article(f"a{n}", url=url, title=title, retracted=retracted)
        for n, (url, title, retracted) in enumerate(entries)
    ]
    pool = builder_of(*articles).snapshot(NOW)
    rows = np.arange(pool.size)
    leaders = pool.leaders_of(rows)
    assert np.array_equal(pool.leaders_of(leaders), leaders)
    told = {title.casefold() for _, title, retracted in entries if not retracted}
    assert {articles[row].title.casefold() for row in np.flatnonzero(pool.live)} == told
    assert not any(articles[row].retracted for row in np.flatnonzero(pool.live))
