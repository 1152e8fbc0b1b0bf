"""The stories that the trending test compares, each with its articles and the one that leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.features.ids import IdMap
from feed.features.pool import ArticlePool

STAYS = 1.25
"""An article goes on leading its story until another one has this many times its readers."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedStories:
    """Articles that may trend, by story; an article of no story is one of its own.

    Attributes:
        rows: of the articles, ascending, int64 [k].
        story: number of the story of each, from 0, int64 [k].
        first: row of the first article of each story, which may not be among `rows`, int64 [s].
        leading: row of the article that leads each story, int64 [s].
        others: rows of the other articles of a story that has any, most read first, by its number.
    """

    rows: Rows
    story: Rows
    first: Rows
    leading: Rows
    others: Mapping[int, Rows]

    def sum_of(self, values: Floats) -> Floats:
        """Return the sums of articles' values, f64 [k], by story, f64 [s]."""
        return np.asarray(np.bincount(self.story, values, len(self.first)), np.float64)

    def have(self, rows: Rows) -> Flags:
        """Return which stories have one of some articles, bool [s]."""
        found = np.zeros(len(self.first), np.bool_)
        found[self.story[np.isin(self.rows, rows)]] = True
        return found

    def articles_of(self, story: int) -> list[int]:
        """Return the rows of a story's articles, the leading one first."""
        return [int(self.leading[story]), *self.others.get(story, ())]

    def name(self, story: int, ids: IdMap) -> str:
        """Return the id of a story: that of its first article."""
        return ids.ids[int(self.first[story])]


def group_by_story(
    pool: ArticlePool, rows: Rows, readers: Floats, led_before: Rows
) -> JudgedStories:
    """Return the stories of some articles.

    Of a story, the article leads that has most readers now, or has led so far and has nearly as
    many.

    Args:
        pool: says which articles tell one story.
        rows: of the articles, ascending, int64 [k].
        readers: of each now, f64 [k].
        led_before: articles that have led their stories so far.
    """
    if pool.stories is None:
        return JudgedStories(rows, np.arange(len(rows)), rows, rows, {})
    first, story, counts = np.unique(
        pool.stories.story[rows], return_inverse=True, return_counts=True
    )
    leading = np.empty(len(first), np.int64)
    leading[story] = rows
    several = np.flatnonzero(counts[story] > 1)
    favoured = readers[several] * np.where(np.isin(rows[several], led_before), STAYS, 1.0)
    several = several[np.lexsort((several, -favoured, story[several]))]
    members = np.split(several, np.flatnonzero(np.diff(story[several])) + 1)
    others: dict[int, Rows] = {}
    for places in members if several.size else ():
        leading[story[places[0]]] = rows[places[0]]
        others[int(story[places[0]])] = rows[places[1:]]
    return JudgedStories(rows, story, first, leading, others)
