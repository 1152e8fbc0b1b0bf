from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from slates import make_slots

from feed.domain import Article, Reason, ReasonCode, Slots
from feed.service.cards import Card, make_card
from feed.service.pages import fill_page

BECAUSE = Reason(code=ReasonCode.BECAUSE_YOU_READ, text="Because you read “{title}”")


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


def test_what_may_no_longer_be_shown_is_skipped_like_what_is_gone() -> None:
    page = fill_page(slate(10), 2, 3, cache_without({"a3"}), barred={"a2", "a9"})  # type: ignore[arg-type]
    assert page.slots.article_ids == ["a4", "a5", "a6"]
    assert page.gone == (2, 3)


def test_an_article_that_a_reason_names_is_not_read_if_its_title_is_known() -> None:
    named = [replace(BECAUSE, article_id=article_id) for article_id in ("known", "unknown")]
    slots = replace(slate(2), reasons=[(reason,) for reason in named])
    taken: list[str] = []

    def take(article_ids: Sequence[str]) -> list[Card | None]:
        taken.extend(article_ids)
        return cache_without(set())(article_ids)  # type: ignore[operator, no-any-return]

    page = fill_page(slots, 0, 2, take, {"known": "Its title"})
    assert taken == ["a0", "a1", "unknown"]
    assert page.titles == {"known": "Its title", "unknown": "unknown"}
