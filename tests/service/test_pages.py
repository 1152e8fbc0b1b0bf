from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from slates import make_slots

from feed.domain import Article, Slots
from feed.service.cards import Card, make_card
from feed.service.pages import fill_page


def slate(count: int) -> Slots:
    return make_slots([f"a{n}" for n in range(count)])


def cache_without(gone: set[str]) -> object:
    def take(article_ids: Sequence[str]) -> list[Card | None]:
        return [
            None if a in gone else make_card(Article(article_id=a, title=a, published_at=0.0))
            for a in article_ids
        ]

    return take


@given(
    count=st.integers(0, 60),
    limit=st.integers(1, 25),
    gone=st.sets(st.integers(0, 59).map("a{}".format)),
)
def test_pages_one_after_the_other_show_each_article_left_exactly_once(
    count: int, limit: int, gone: set[str]
) -> None:
    kept, shown, offset = slate(count), [], 0
    while True:
        page = fill_page(kept, offset, limit, cache_without(gone))  # type: ignore[arg-type]
        shown += page.slots.article_ids
        if page.next_offset is None:
            break
        assert len(page.slots) == limit
        offset = page.next_offset
    assert shown == [article_id for article_id in kept.article_ids if article_id not in gone]


def test_a_page_is_filled_from_below_when_an_article_is_gone() -> None:
    page = fill_page(slate(10), 0, 3, cache_without({"a1"}))  # type: ignore[arg-type]
    assert page.slots.article_ids == ["a0", "a2", "a3"]
    assert page.gone == (1,)
    assert page.next_offset == 4
