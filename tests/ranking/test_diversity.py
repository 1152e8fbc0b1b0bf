import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.ranking.diversity import COSINE_SCALE, diversify


def run(scores, sections=None, sources=None, content=None, size=200, kept_first=0, **settings):
    k = len(scores)
    return diversify(
        np.asarray(scores, float),
        np.full(k, -1, np.int32) if sections is None else np.asarray(sections, np.int32),
        np.full(k, -1, np.int32) if sources is None else np.asarray(sources, np.int32),
        np.zeros((k, 0), np.float32) if content is None else np.asarray(content, np.float32),
        RankingConfig(**settings),
        size,
        kept_first,
    )


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slow_greedy(scores, sections, sources, content, config):
    """The definition, slot by slot, without any shortcut."""
    left, chosen = list(range(len(scores))), []
    while left:

        def value(i):
            decay = 1.0
            for codes, factor in ((sections, config.section_decay), (sources, config.source_decay)):
                earlier = sum(codes[j] == codes[i] for j in chosen)
                decay *= max(config.decay_floor, factor**earlier)
            near = max([0.0] + [float(content[i] @ content[j]) for j in chosen])
            lam = config.mmr_lambda
            return lam * np.log(scores[i] * decay) - (1 - lam) * COSINE_SCALE * near

        best = max(left, key=value)
        chosen.append(best)
        left.remove(best)
    return chosen


def test_order_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    scores, content = rng.random(30), unit(rng.normal(size=(30, 6)))
    sections, sources = rng.integers(0, 4, 30), rng.integers(0, 3, 30)
    config = RankingConfig(
        source_decay=0.8, mmr_lambda=0.7, duplicate_similarity=2.0, first_page=30
    )
    found = diversify(
        scores, sections.astype(np.int32), sources.astype(np.int32), content, config, 30
    )
    assert found.order.tolist() == slow_greedy(scores, sections, sources, content, config)


def test_without_mmr_the_tail_is_the_same_greedy_choice():
    rng = np.random.default_rng(2)
    scores, sections = rng.random(90), rng.integers(0, 5, 90).astype(np.int32)
    long_page = run(scores, sections, mmr_lambda=1.0, first_page=200)
    short_page = run(scores, sections, mmr_lambda=1.0, first_page=3)
    assert short_page.order.tolist() == long_page.order.tolist()
    np.testing.assert_allclose(short_page.decay, long_page.decay)


def test_pure_relevance_is_the_order_of_scores():
    scores = np.random.default_rng(3).random(50)
    found = run(scores, section_decay=1.0, mmr_lambda=1.0)
    assert found.order.tolist() == np.argsort(-scores).tolist()
    assert found.decay.tolist() == [1.0] * 50


def test_one_story_is_told_once_by_its_best_teller():
    content = unit([[1, 0, 0], [1, 0.05, 0], [0, 1, 0], [1, 0, 0.02]])
    found = run([0.5, 0.9, 0.3, 0.4], content=content)
    assert sorted(found.order.tolist()) == [1, 2]
    assert sorted(found.duplicates.tolist()) == [0, 3]


def test_articles_without_a_vector_are_nobodys_duplicate():
    found = run([0.5, 0.4, 0.3], content=np.zeros((3, 4)))
    assert found.order.tolist() == [0, 1, 2]


def test_duplicate_of_a_dropped_teller_may_stay():
    # b is like a, c is like b but not like a: a and c are two stories
    content = unit([[1, 0], [np.cos(0.3), np.sin(0.3)], [np.cos(0.6), np.sin(0.6)]])
    found = run([0.9, 0.8, 0.7], content=content, duplicate_similarity=0.93)
    assert sorted(found.order.tolist()) == [0, 2]


def test_sections_take_turns_when_scores_are_close():
    scores = [0.90, 0.89, 0.88, 0.85, 0.84, 0.83]
    found = run(scores, [1, 1, 1, 2, 2, 2], mmr_lambda=1.0)
    assert found.order.tolist()[:4] == [0, 3, 1, 4]


def test_decay_stops_at_the_floor():
    found = run(np.full(20, 0.8), np.ones(20), mmr_lambda=1.0, section_decay=0.5, decay_floor=0.4)
    assert found.decay.min() == pytest.approx(0.4)


def test_pinned_articles_are_not_ordered_but_stand_above():
    content = unit([[1, 0, 0], [1, 0.01, 0], [0, 1, 0], [0, 0, 1]])
    found = run([0.1, 0.9, 0.85, 0.84], [5, 6, 5, 7], content=content, kept_first=1)
    assert found.order.tolist() == [3, 2]  # 1 repeats the pin, 2 is of the pin's section


def test_size_is_a_limit_and_nothing_is_a_slate():
    assert len(run(np.arange(50.0), size=7).order) == 7
    assert len(run([]).order) == 0
    assert sorted(run([0.0, 0.0]).order.tolist()) == [0, 1]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=40
    ),
    st.floats(0, 1),
    st.integers(1, 30),
)
def test_every_article_comes_at_most_once_and_none_is_lost(articles, mmr_lambda, size):
    scores, sections, sources = zip(*articles, strict=True)
    found = run(
        scores, sections, sources, size=size, mmr_lambda=mmr_lambda, source_decay=0.9, first_page=4
    )
    assert len(set(found.order.tolist())) == len(found.order) == min(size, len(articles))
    assert len(found.decay) == len(found.order)
