"""What a reader's wishes for more or fewer articles make of their scores."""

from __future__ import annotations

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.domain import Reason, ReasonCode
from feed.features.wishes import CodedWish
from feed.preferences import STRONGEST, WishOf
from feed.ranking.context import RankingContext
from feed.ranking.reasons import TEMPLATES


def wish_factor(context: RankingContext, rows: Rows) -> Floats:
    """Return 2 to the sum of a reader's wishes, f64 [k], from 1/4 to 4 whatever they are.

    A wish for more adds its strength (1 or 2), one for fewer takes it off. It counts in full for
    articles of its section or source, and for the article it is about and the others of its story.
    For any other article it counts by the cosine with that article, if that is above 0.

    Args:
        context: the reader and the articles.
        rows: of articles, int64 [k].
    """
    wishes = context.profile.preferences.wishes
    if not wishes:
        return np.ones(len(rows))
    steps = np.zeros(len(rows))
    for wish in wishes:
        steps += wish.steps * likeness(context, wish, rows)
    return np.asarray(np.exp2(np.clip(steps, -STRONGEST, STRONGEST)), np.float64)


def likeness(context: RankingContext, wish: CodedWish, rows: Rows) -> Floats:
    """Return how much a wish is about articles, 0 to 1, f64 [k]."""
    pool, content = context.view.pool, context.view.content
    if wish.of is WishOf.SECTION:
        return np.asarray(pool.stand_in(rows, [wish.code]), np.float64)
    if wish.of is WishOf.SOURCE:
        return np.asarray(pool.source[rows] == wish.code, np.float64)
    if wish.code >= pool.size:
        return np.zeros(len(rows))
    same: Flags = rows == wish.code
    if pool.stories is not None:
        same |= pool.stories.story[rows] == pool.stories.story[wish.code]
    cosines = np.clip(content[rows] @ content[wish.code], 0.0, 1.0)
    return np.asarray(np.where(same, 1.0, cosines), np.float64)


def wish_reason(context: RankingContext, row: int) -> Reason | None:
    """Return the reason of an article that a reader's wish for more raised, None if none did."""
    alone = np.array([row])
    wanted = [wish for wish in context.profile.preferences.wishes if wish.steps > 0]
    parts = [wish.steps * float(likeness(context, wish, alone)[0]) for wish in wanted]
    if not parts or max(parts) <= 0:
        return None
    return _reason_of(context, wanted[int(np.argmax(parts))])


def _reason_of(context: RankingContext, wish: CodedWish) -> Reason:
    pool, code = context.view.pool, ReasonCode.YOU_ASKED
    if wish.of is WishOf.SECTION:
        name = pool.sections.ids[wish.code]
        return Reason(code=code, text=TEMPLATES[code].format(what=f"of {name}"), section=name)
    if wish.of is WishOf.SOURCE:
        name = pool.sources.ids[wish.code]
        return Reason(code=code, text=TEMPLATES[code].format(what=f"from {name}"), source=name)
    text = TEMPLATES[code].format(what="like “{title}”")
    return Reason(code=code, text=text, article_id=pool.ids.ids[wish.code])
