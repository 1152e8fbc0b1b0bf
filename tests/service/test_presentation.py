import pytest

from feed.domain import AiGenerated, Article, Reason, ReasonCode
from feed.service.cards import make_card
from feed.service.presentation import Reactions, disclose, notice_of, present_slots
from tests.support.slates import make_slots


@pytest.mark.parametrize(
    ("made", "trending", "personalized", "text"),
    [
        (AiGenerated.NONE, False, False, ""),
        (AiGenerated.NONE, False, True, "Your feed is customized."),
        (AiGenerated.NONE, True, False, "This article has been trending online recently."),
        (
            AiGenerated.GENERATED,
            True,
            True,
            (
                "This article has been trending online recently and has been generated with AI. "
                "Your feed is customized. Generative AI is experimental."
            ),
        ),
        (
            AiGenerated.GENERATED,
            False,
            False,
            "This article has been generated with AI. Generative AI is experimental.",
        ),
        (
            AiGenerated.ASSISTED,
            False,
            True,
            (
                "This article has been written with the help of AI. Your feed is customized. "
                "Generative AI is experimental."
            ),
        ),
        (
            AiGenerated.ASSISTED,
            True,
            False,
            (
                "This article has been trending online recently and has been written with the help "
                "of AI. Generative AI is experimental."
            ),
        ),
    ],
)
def test_a_disclosure_says_what_is_true_and_no_more(
    made: AiGenerated, text: str, *, trending: bool, personalized: bool
) -> None:
    assert disclose(made, trending=trending, personalized=personalized) == text


def test_the_notice_is_of_the_whole_feed() -> None:
    plain = make_card(Article(article_id="a", title="A", published_at=0.0))
    made = make_card(
        Article(article_id="b", title="B", published_at=0.0, ai_generated=AiGenerated.ASSISTED)
    )
    assert notice_of([plain], personalized=False) == ""
    assert notice_of([plain], personalized=True) == "Your feed is customized."
    assert notice_of([plain, made], personalized=False) == "Generative AI is experimental."


@pytest.mark.parametrize("sponsored", [False, True])
def test_what_became_sponsored_since_the_feed_was_ranked_does_not_trend(*, sponsored: bool) -> None:
    card = make_card(Article(article_id="a", title="A", published_at=0.0, sponsored=sponsored))
    codes = (ReasonCode.TRENDING, ReasonCode.NEW)
    reasons = tuple(Reason(code=code, text=code.value) for code in codes)
    slots = make_slots(["a"], trending=[True], reasons=[reasons])
    plain = [Reactions(0, 0, None)]
    (item,) = present_slots(slots, [card], plain, {}, [False], personalized=False)
    assert item["labels"] == (("sponsored",) if sponsored else ("trending",))
    assert ("trending" in item["disclosure"]) is not sponsored
    assert [r["code"] for r in item["reasons"]] == (["new"] if sponsored else ["trending", "new"])
