"""A reader's wishes as codes and rows, as they hold at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from feed.arrays import Rows
from feed.features.pool import ArticlePool
from feed.preferences import Wish, WishKind, WishOf, wishes_at


def _no_rows() -> Rows:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class CodedWish:
    """A wish for more (`steps` above 0) or fewer of a section, a source or an article.

    `code` is that of the section or source, or the row of the article.
    """

    of: WishOf
    code: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedWishes:
    """The wishes that hold: what is muted, int64 and sorted each, and those for more or fewer."""

    muted_sections: Rows = field(default_factory=_no_rows)
    muted_sources: Rows = field(default_factory=_no_rows)
    muted_rows: Rows = field(default_factory=_no_rows)
    others: tuple[CodedWish, ...] = ()


NO_WISHES = CodedWishes()


def code_wishes(wishes: Iterable[Wish], pool: ArticlePool, now: float) -> CodedWishes:
    """Return the wishes that hold at `now`; what the pool does not know drops out."""
    coded = [(wish, _code(wish, pool)) for wish in wishes_at(wishes, now)]
    coded = [(wish, code) for wish, code in coded if code >= 0]
    if not coded:
        return NO_WISHES

    def muted(of: WishOf) -> Rows:
        codes = [code for wish, code in coded if wish.kind is WishKind.MUTE and wish.of is of]
        return np.unique(np.array(codes, np.int64))

    return CodedWishes(
        muted_sections=muted(WishOf.SECTION),
        muted_sources=muted(WishOf.SOURCE),
        muted_rows=muted(WishOf.ARTICLE),
        others=tuple(
            CodedWish(wish.of, code, wish.steps)
            for wish, code in coded
            if wish.kind is not WishKind.MUTE
        ),
    )


def _code(wish: Wish, pool: ArticlePool) -> int:
    if wish.of is WishOf.SECTION:
        return pool.sections.row(wish.value)
    if wish.of is WishOf.SOURCE:
        return pool.sources.row(wish.value)
    return pool.leader_of(pool.ids.row(wish.value))
