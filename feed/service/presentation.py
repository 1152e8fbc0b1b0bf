"""Feeds as callers see them: items, labels, and disclosures that say only what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feed.domain import AiGenerated, EventKind, FeedItem, Reason
from feed.ranking.reasons import sentence
from feed.service.cards import Card

CUSTOMIZED = "Your feed is customized."
EXPERIMENTAL = "Generative AI is experimental."
_TRENDING = "This article has been trending online recently"
_MADE_WITH = {
    AiGenerated.GENERATED: "has been generated with AI",
    AiGenerated.ASSISTED: "has been written with the help of AI",
}


@dataclass(frozen=True, slots=True)
class Reactions:
    """What readers, and this reader, think of one article."""

    likes: int
    dislikes: int
    mine: EventKind | None


def disclose(ai_generated: AiGenerated, *, trending: bool, personalized: bool) -> str:
    """Return the sentences that are true of one item of one feed; empty when none is."""
    made = _MADE_WITH.get(ai_generated)
    sentences = []
    if trending and made:
        sentences.append(f"{_TRENDING} and {made}.")
    elif trending:
        sentences.append(f"{_TRENDING}.")
    elif made:
        sentences.append(f"This article {made}.")
    if personalized:
        sentences.append(CUSTOMIZED)
    if made:
        sentences.append(EXPERIMENTAL)
    return " ".join(sentences)


def notice_of(cards: Sequence[Card], *, personalized: bool) -> str:
    """Return the sentences that are true of a feed as a whole; empty when none is."""
    sentences = [CUSTOMIZED] if personalized else []
    if any(card.ai_generated is not AiGenerated.NONE for card in cards):
        sentences.append(EXPERIMENTAL)
    return " ".join(sentences)


def labels_of(item: FeedItem, card: Card) -> list[str]:
    """Return the labels of one slot."""
    labels = []
    if item.trending:
        labels.append("trending")
    if card.ai_generated is AiGenerated.GENERATED:
        labels.append("ai_generated")
    elif card.ai_generated is AiGenerated.ASSISTED:
        labels.append("ai_assisted")
    if card.sponsored:
        labels.append("sponsored")
    if item.pinned:
        labels.append("editors_pick")
    return labels


def present_item(
    item: FeedItem,
    card: Card,
    reactions: Reactions,
    titles: Mapping[str, str],
    *,
    personalized: bool,
) -> dict[str, Any]:
    """Return one slot of a feed, JSON-ready; `titles` are of the articles its reasons name."""
    return {
        "position": item.position,
        "article": card.json,
        "score": round(item.score, 6),
        "reasons": [present_reason(reason, titles) for reason in item.reasons],
        "labels": labels_of(item, card),
        "disclosure": disclose(
            card.ai_generated, trending=item.trending, personalized=personalized
        ),
        "reactions": {"likes": reactions.likes, "dislikes": reactions.dislikes},
        "my_reaction": reactions.mine.value if reactions.mine else None,
    }


def present_reason(reason: Reason, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return one reason, JSON-ready, without the fields that do not apply."""
    fields = {
        "code": reason.code.value,
        "text": sentence(reason, titles),
        "article_id": reason.article_id,
        "section": reason.section,
        "source": reason.source,
        "readers": reason.readers,
        "window_minutes": reason.window_minutes,
    }
    return {name: value for name, value in fields.items() if value is not None}
