from feed.config import RankingConfig
from feed.domain import Article, EventKind
from feed.features.pool import PoolBuilder
from feed.features.profile import profile_from_state
from feed.storage.store import History, HistoryEntry, ReaderState, Shown

NOW = 1_700_000_000.0


def pool_of(*article_ids):
    builder = PoolBuilder()
    for article_id in article_ids:
        article = Article(article_id=article_id, title=article_id, published_at=NOW - 60.0)
        builder.add(article, None, NOW - 60.0)
    return builder.snapshot()


def test_a_readers_state_becomes_rows_and_unknown_articles_drop_out():
    state = ReaderState(
        history=History.of(
            [
                HistoryEntry(EventKind.CLICK, "b", NOW - 30.0),
                HistoryEntry(EventKind.CLICK, "gone", NOW - 20.0),
            ]
        ),
        read_ids=frozenset({"b"}),
        shown=(Shown("a", 2, NOW - 10.0), Shown("gone", 1, NOW - 5.0)),
    )
    profile = profile_from_state(state, pool_of("a", "b"), NOW, RankingConfig())
    assert profile.clicked_rows.tolist() == [1]
    assert profile.read_rows.tolist() == [1]
    assert profile.shown_rows.tolist() == [0]
    assert profile.shown_counts.tolist() == [2.0]
    assert profile.shown_last_at.tolist() == [NOW - 10.0]


def test_nobody_known_is_an_empty_profile():
    profile = profile_from_state(ReaderState(), pool_of("a"), NOW, RankingConfig())
    assert profile.n_events == 0
    assert profile.shown_rows.tolist() == []
