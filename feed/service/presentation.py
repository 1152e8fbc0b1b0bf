"""Feeds as callers see them: items, true labels and true disclosures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from feed.domain import AiGenerated, EventKind, Reason, ReasonCode, Slots
from feed.ranking.reasons import sentence
from feed.service.cards import Card

CUSTOMIZED = "Your feed is customized."
EXPERIMENTAL = "Generative AI is experimental."
_TRENDING = "has been trending online recently"
_MADE_WITH = {
    AiGenerated.GENERATED: "has been generated with AI",
    AiGenerated.ASSISTED: "has been written with the help of AI",
}


class Reactions(NamedTuple):
    """The likes and dislikes of one article: those of all readers, and this reader's own."""

    likes: int
    dislikes: int
    mine: EventKind | None


@cache
def disclose(
    ai_generated: AiGenerated, *, trending: bool, personalized: bool, by_story: bool = False
) -> str:
    """Return the sentences that are true of one item in one feed; empty if none is.

    Args:
        ai_generated: what was made with AI.
        trending: the item carries the trending label.
        personalized: the reader's history or preferences changed the feed.
        by_story: what trends may be the article's story: it has other articles, too.
    """
    made = _MADE_WITH.get(ai_generated)
    of_article = [_TRENDING] if trending and not by_story else []
    of_article += [made] if made else []
    sentences = [f"This story {_TRENDING}."] if trending and by_story else []
    if of_article:
        sentences.append(f"This article {' and '.join(of_article)}.")
    if personalized:
        sentences.append(CUSTOMIZED)
    if made:
        sentences.append(EXPERIMENTAL)
    return " ".join(sentences)


def notice_of(cards: Sequence[Card], *, personalized: bool) -> str:
    """Return the sentences that are true of a feed as a whole; empty if none is."""
    sentences = [CUSTOMIZED] if personalized else []
    if any(card.ai_generated is not AiGenerated.NONE for card in cards):
        sentences.append(EXPERIMENTAL)
    return " ".join(sentences)


@cache
def labels_of(
    ai_generated: AiGenerated, *, trending: bool, sponsored: bool, pinned: bool
) -> tuple[str, ...]:
    """Return the labels of one slot."""
    labels = []
    if trending:
        labels.append("trending")
    if ai_generated is AiGenerated.GENERATED:
        labels.append("ai_generated")
    elif ai_generated is AiGenerated.ASSISTED:
        labels.append("ai_assisted")
    if sponsored:
        labels.append("sponsored")
    if pinned:
        labels.append("editors_pick")
    return tuple(labels)


def present_slots(
    slots: Slots,
    cards: Sequence[Card],
    reactions: Sequence[Reactions],
    titles: Mapping[str, str],
    by_story: Sequence[bool],
    *,
    personalized: bool,
) -> list[dict[str, Any]]:
    """Return the slots of a page, JSON-ready.

    A sponsored article never trends, not even if it has become one since the feed was ranked.

    Args:
        slots: of the page.
        cards: their articles.
        reactions: to these.
        titles: of the articles that the reasons name.
        by_story: whether what trends there may be a story of several articles.
        personalized: the reader's history or preferences changed the feed.
    """
    pairs = zip(slots.trending, cards, strict=True)
    trends = [label and not card.sponsored for label, card in pairs]
    columns = (slots.positions, slots.scores, slots.reasons, trends, slots.pinned, by_story)
    return [
        {
            "position": position,
            "article": card.json,
            "score": round(score, 6),
            "reasons": [
                present_reason(reason, titles)
                for reason in reasons
                if not (card.sponsored and reason.code is ReasonCode.TRENDING)
            ],
            "labels": labels_of(
                card.ai_generated, trending=trending, sponsored=card.sponsored, pinned=pinned
            ),
            "disclosure": disclose(
                card.ai_generated, trending=trending, personalized=personalized, by_story=of_story
            ),
            "reactions": {"likes": given.likes, "dislikes": given.dislikes},
            "my_reaction": given.mine.value if given.mine else None,
        }
        for card, given, position, score, reasons, trending, pinned, of_story in zip(
            cards, reactions, *columns, strict=True
        )
    ]


def present_reason(reason: Reason, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return one reason, JSON-ready, without the fields that do not apply."""
    fields: dict[str, Any] = {"code": reason.code, "text": sentence(reason, titles)}
    if reason.article_id is not None:
        fields["article_id"] = reason.article_id
    if reason.section is not None:
        fields["section"] = reason.section
    if reason.source is not None:
        fields["source"] = reason.source
    if reason.readers is not None:
        fields["readers"] = reason.readers
    if reason.window_minutes is not None:
        fields["window_minutes"] = reason.window_minutes
    return fields
