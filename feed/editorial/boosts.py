"""Boosts: how much an editor raises or lowers an article for a while."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LEAST_FACTOR = 0.01
GREATEST_FACTOR = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boost:
    """A factor on the score of one article between two times; below 1 it buries the article.

    Attributes:
        article_id: Of the article.
        factor: Multiplies the score, `LEAST_FACTOR` to `GREATEST_FACTOR`.
        starts_at: Epoch seconds.
        ends_at: Epoch seconds.
        author: Who decided it.
    """

    article_id: str
    factor: float
    starts_at: float
    ends_at: float
    author: str = ""

    def holds(self, now: float) -> bool:
        """Whether it counts at a time (epoch seconds)."""
        return self.starts_at <= now < self.ends_at

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)
