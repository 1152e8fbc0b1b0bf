"""Of the articles that tell one story, which one a reader is shown, and which are read already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Rows
from feed.config import HOUR_S
from feed.features.pool import ArticlePool
from feed.features.profile import Profile, followed_of
from feed.features.request_context import RequestContext

_NO_ROWS: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ChosenVersions:
    """What became of candidates of which several tell one story.

    Attributes:
        dropped: positions of those for which another one stands, ascending, int64.
        factor: by how much the score of each candidate rises, f64 [k]: the one that is chosen has
            the score of the best of its story.
    """

    dropped: Rows
    factor: Floats


def choose_versions(
    pool: ArticlePool, profile: Profile, rows: Rows, scores: Floats, pins: int
) -> ChosenVersions:
    """Return which of several versions of a story a reader gets.

    A pin stands for its story. Otherwise it is the version of a followed source, then one in the
    language in which the reader reads most, then the newest by whole hours, then one with its full
    text, then the one with the best score. It stands where the best of them would stand.

    Args:
        pool: the articles.
        profile: the reader.
        rows: the candidates, int64 [k].
        scores: their scores, f64 [k].
        pins: how many of the first candidates are pinned.
    """
    factor = np.ones(len(rows))
    places = _of_stories(pool, rows)
    if pool.stories is None or len(places) < 2:
        return ChosenVersions(_NO_ROWS, factor)
    dropped: list[int] = []
    for some in _of_one_story(pool.stories.story[rows[places]]):
        versions = places[some]
        pinned = versions[versions < pins]
        if pinned.size:
            dropped += versions[versions >= pins].tolist()
            continue
        best = versions[
            np.lexsort(_preferences(pool, profile, rows[versions], scores[versions]))[0]
        ]
        dropped += versions[versions != best].tolist()
        if scores[best] > 0:
            factor[best] = scores[versions].max() / scores[best]
    return ChosenVersions(np.array(sorted(dropped), np.int64), factor)


def first_versions(pool: ArticlePool, rows: Rows) -> Rows:
    """Return rows without those that tell the story of an earlier one, int64."""
    if pool.stories is None or len(_of_stories(pool, rows)) < 2:
        return rows
    first = np.unique(pool.stories.story[rows], return_index=True)[1]
    return rows[np.sort(first)]


def read_versions(pool: ArticlePool, profile: Profile | None, request: RequestContext) -> Rows:
    """Return the articles whose story the reader has read, or has on the page, sorted int64.

    An article that was published after the reader's last click on its story is not among them: the
    story has moved on. But what has the text of an article that was read is, whenever it came.
    """
    found = [*_read_stories(pool, profile, request)]
    return np.unique(np.concatenate(found)) if found else _NO_ROWS


def hidden_versions(pool: ArticlePool, profile: Profile) -> Rows:
    """Return all articles of the stories of which the reader wants no article, sorted int64."""
    places = _of_stories(pool, profile.hidden_rows)
    if pool.stories is None or not places.size:
        return _NO_ROWS
    stories = np.unique(pool.stories.story[profile.hidden_rows[places]]).tolist()
    return np.sort(np.concatenate([pool.stories.versions[story] for story in stories]))


def follow_ups(pool: ArticlePool, profile: Profile, rows: Rows) -> dict[int, int]:
    """Return which of some articles continue a story that was read, and the article read last."""
    stories = pool.stories
    if stories is None:
        return {}
    read: dict[int, int] = {}
    for place in _of_stories(pool, profile.clicked_rows).tolist():  # newest first
        row = int(profile.clicked_rows[place])
        read.setdefault(int(stories.story[row]), row)
    if not read:
        return {}
    both = zip(rows.tolist(), stories.story[rows].tolist(), strict=True)
    return {row: read[story] for row, story in both if read.get(story, row) != row}


def _read_stories(
    pool: ArticlePool, profile: Profile | None, request: RequestContext
) -> Iterator[Rows]:
    """Yield the versions of each story that was read and that bring nothing new."""
    stories = pool.stories
    if stories is None:
        return
    last_read: dict[int, float] = {}
    twins: list[int] = []
    if request.page_row >= 0 and stories.several[request.page_row]:
        last_read[int(stories.story[request.page_row])] = request.now
    if profile is not None:
        for place in _of_stories(pool, profile.clicked_rows).tolist():  # newest first
            row = profile.clicked_rows[place]
            last_read.setdefault(int(stories.story[row]), float(profile.clicked_at[place]))
            twins.append(int(stories.twin[row]))
    for story, at in last_read.items():
        versions = stories.versions[story]
        is_old = pool.published_at[versions] <= at
        yield versions[is_old | np.isin(stories.twin[versions], twins)]


def _of_stories(pool: ArticlePool, rows: Rows) -> Rows:
    """Return the places of articles whose event has several, int64."""
    if pool.stories is None or not pool.stories.versions:
        return _NO_ROWS
    known: Rows = (rows < pool.size).nonzero()[0]
    return known[pool.stories.several[rows[known]]]


def _known(pool: ArticlePool, rows: Rows) -> Rows:
    return rows[rows < pool.size]


def _of_one_story(stories: Rows) -> Iterator[Rows]:
    """Yield the places of each story that occurs more than once."""
    _, story, counts = np.unique(stories, return_inverse=True, return_counts=True)
    for several in np.flatnonzero(counts > 1).tolist():
        yield np.flatnonzero(story == several)


def _preferences(
    pool: ArticlePool, profile: Profile, rows: Rows, scores: Floats
) -> tuple[Floats, ...]:
    """Return the keys by which versions are sorted, the most important last (see lexsort)."""
    by_source = followed_of(pool, profile.preferences, rows)[1]
    in_language = pool.language[rows] == _main_language(pool, profile)
    newest = np.floor(pool.published_at[rows] / HOUR_S)
    keys = (scores, pool.full_text[rows], newest, in_language, by_source)
    return tuple(-np.asarray(key, np.float64) for key in keys)


def _main_language(pool: ArticlePool, profile: Profile) -> int:
    """Return the code of the language that a reader has opened most, -2 if there is none."""
    languages = pool.language[_known(pool, profile.clicked_rows)]
    languages = languages[languages >= 0]
    return int(np.bincount(languages).argmax()) if languages.size else -2
