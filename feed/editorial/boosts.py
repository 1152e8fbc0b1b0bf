"""Boosts: how much an editor raises or lowers an article for a while."""

from __future__ import annotations

import math
from collections.abc import Mapping
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


def boost_from_json(data: Mapping[str, Any]) -> Boost:
    """Return the boost that `Boost.to_json` gave.

    Raises:
        TypeError: it is none.
        ValueError: a value of it is none that a boost may have.
    """
    boost = Boost(**data)
    numbers = (boost.factor, boost.starts_at, boost.ends_at)
    if not (isinstance(boost.article_id, str) and all(map(math.isfinite, numbers))):
        raise ValueError("an id and finite numbers are needed")
    if not LEAST_FACTOR <= boost.factor <= GREATEST_FACTOR:
        raise ValueError(f"the factor must be {LEAST_FACTOR} to {GREATEST_FACTOR}")
    return boost
