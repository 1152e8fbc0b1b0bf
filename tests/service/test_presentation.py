import pytest

from feed.domain import AiGenerated, Article
from feed.service.cards import make_card
from feed.service.presentation import disclose, notice_of


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
