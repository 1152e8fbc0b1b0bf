"""Slots for tests: a slate of given articles with everything else plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feed.domain import Slots


def make_slots(article_ids: Sequence[str], **columns: Any) -> Slots:
    """Return slots of these articles, best first; `columns` replace the plain ones."""
    count = len(article_ids)
    plain: dict[str, Any] = {
        "article_ids": list(article_ids),
        "positions": list(range(count)),
        "scores": [1.0 / (position + 1) for position in range(count)],
        "reasons": [()] * count,
        "sources": [("fresh",)] * count,
        "trending": [False] * count,
        "explored": [False] * count,
        "pinned": [False] * count,
        "propensities": [1.0] * count,
    }
    return Slots(**{**plain, **columns})
