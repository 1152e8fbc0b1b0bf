"""Whether two articles are twins, tell one story, belong to one series, or none of these."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np

from feed.arrays import Floats
from feed.features.story_text import Boilerplate, Rarity, Segment, StoryText

TWIN_COSINE = 0.95
"""Cosine from which two texts that came within hours of each other are one text."""
TWIN_HOURS = 12.0
"""Articles of one source that are further apart are no twins, but editions of a column."""
TWIN_WORDS = 0.6
"""Share of words in common (Jaccard) that twins have at least."""
SERIES_TITLE = 0.5
"""Share of words in common from which two titles follow one template."""
NAME_WORDS = 2
"""A name or a date that fills a gap in a template has at most this many words."""
SERIES_NAMES = 0.5
"""Overlap of names below which articles that share a template are about different things."""

UPDATE_TITLE = 0.7
"""Share of words in common, numbers left out, of two titles of which one updates the other."""
UPDATE_NAMES = 0.35
"""Overlap of names from which the texts of such articles are about the same."""

FEATURES = ("cosine", "title", "names", "rare", "hours", "foreign")
WEIGHTS = (2.4, 3.5, 1.4, 7.6, -4.0, 4.0)
"""Log-odds that two articles tell one story, per unit of each feature.

`scripts/lab/run bench/stories DIR --fit` prints them: a logistic regression on the invented and
the judged pairs together.
"""
BIAS = -5.9


class Level(IntEnum):
    """How close two articles are."""

    NONE = 0
    SERIES = 1
    STORY = 2
    TWIN = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts with the cosine of their vectors and the hours between them (NaN: not known)."""

    one: StoryText
    other: StoryText
    cosine: float
    hours: float


class PairJudge:
    """Decides the level of pairs with what was learned of the articles so far.

    Attributes:
        boilerplate: what sources repeat.
        rarity: how rare words are.
    """

    def __init__(self) -> None:
        self.boilerplate = Boilerplate()
        self.rarity = Rarity()

    def learn(self, text: StoryText) -> None:
        """Count one more article."""
        self.boilerplate.learn(text)
        self.rarity.learn(text)

    def forget(self, text: StoryText) -> None:
        """Take back an article that is too old, or only updates another one."""
        self.boilerplate.forget(text)
        self.rarity.learn(text, -1)

    def may_belong(self, pair: Pair) -> bool:
        """Return whether a pair could have a level at all: a cheap bound on what `judge` finds."""
        one, other = pair.one, pair.other
        rarity = self._rarity(one, other)
        rare = sum(max(rarity(word) - 0.5, 0.0) for word in one.words & other.words)
        foreign = _are_foreign(one, other)
        most = (pair.cosine, 1.0, 1.0, math.log1p(rare), _late(pair.hours), foreign)
        if sum(map(operator.mul, WEIGHTS, most)) + BIAS >= 0 or pair.cosine >= TWIN_COSINE:
            return True
        if one.source == other.source and one.keys & other.keys:
            return True
        return _jaccard(one.title_words, other.title_words) >= SERIES_TITLE

    def level(self, pair: Pair) -> Level:
        """Return the level of a pair."""
        return self.judge(pair)[0]

    def judge(self, pair: Pair) -> tuple[Level, float]:
        """Return the level of a pair and the log-odds that both tell one story."""
        one, other = pair.one, pair.other
        if one.identity == other.identity:
            is_edition = one.source == other.source and pair.hours > TWIN_HOURS
            return (Level.STORY if is_edition else Level.TWIN), math.inf
        if self.is_update(pair):
            return Level.STORY, math.inf
        if self._is_series(pair):
            return Level.SERIES, -math.inf
        if self._is_copy(pair):
            return Level.TWIN, math.inf
        odds = float(self.features(pair) @ np.array(WEIGHTS)) + BIAS
        return (Level.STORY if odds >= 0 else Level.NONE), odds

    def is_update(self, pair: Pair) -> bool:
        """Return whether two articles tell one event with other counts, such as of the injured.

        They came within hours, their titles name the same and are alike but for counts, and their
        texts name the same. Editions of a column name different things somewhere.
        """
        one, other = pair.one, pair.other
        words, numbers = _of_titles(one, other, "words"), _of_titles(one, other, "numbers")
        if not pair.hours <= TWIN_HOURS or numbers[0] == numbers[1]:
            return False
        if not all(map(str.isdecimal, numbers[0] ^ numbers[1])):
            return False
        titled = _of_titles(one, other, "names")
        if titled[0] - numbers[0] != titled[1] - numbers[1]:
            return False
        if _jaccard(words[0] - numbers[0], words[1] - numbers[1]) < UPDATE_TITLE:
            return False
        repeated = self._repeated(one, other)
        names = [
            _union(text.text, repeated, "names") - _union(text.text, repeated, "numbers")
            for text in (one, other)
        ]
        return _overlap(names[0], names[1], self._rarity(one, other)) >= UPDATE_NAMES

    def features(self, pair: Pair) -> Floats:
        """Return the features of a pair in the order of `FEATURES`, f64 [6].

        The title, the names and the rare words are compared without boilerplate and without what
        both texts of one source have in common word for word.
        """
        one, other = pair.one, pair.other
        skip = self._skipped(one, other)
        words = [_union(text.segments, skip, "words") for text in (one, other)]
        names = [_union(text.segments, skip, "names") for text in (one, other)]
        titles = [_union(text.title, skip, "words") for text in (one, other)]
        rarity = self._rarity(one, other)
        rare = sum(max(rarity(word) - 0.5, 0.0) for word in words[0] & words[1])
        return np.array(
            [
                pair.cosine,
                _overlap(titles[0], titles[1], rarity),
                _overlap(names[0], names[1], rarity),
                math.log1p(rare),
                _late(pair.hours),
                _are_foreign(one, other),
            ]
        )

    def _rarity(self, one: StoryText, other: StoryText) -> Callable[[str], float]:
        of, first, second = self.rarity.of, one.language, other.language
        if first == second:
            return partial(of, first)
        return lambda word: min(of(first, word), of(second, word))

    def _skipped(self, one: StoryText, other: StoryText) -> frozenset[str]:
        """Return the keys of the segments that say nothing of what the articles are about."""
        return self._repeated(one, other) | self._shared(one, other)

    def _repeated(self, one: StoryText, other: StoryText) -> frozenset[str]:
        """Return the keys of the segments that are boilerplate of their source."""
        return frozenset(
            segment.key
            for text in (one, other)
            for segment in text.segments
            if self.boilerplate.is_repeated(text.source, segment)
        )

    @staticmethod
    def _shared(one: StoryText, other: StoryText) -> frozenset[str]:
        """Return the segments that two articles of one source have in common word for word.

        There are none to leave out if the titles are equal: then they tell what it is about.
        """
        if one.source != other.source or _keys(one.title) == _keys(other.title):
            return frozenset()
        return one.keys & other.keys

    def _is_series(self, pair: Pair) -> bool:
        """Return whether two articles fill one template with different things."""
        one, other = pair.one, pair.other
        is_late = not pair.hours <= TWIN_HOURS
        if _keys(one.title) == _keys(other.title):
            return one.source == other.source and is_late
        if _fill_one_title(one, other):
            return True
        if one.source != other.source:
            return False
        words, numbers = _of_titles(one, other, "words"), _of_titles(one, other, "numbers")
        same_form = _jaccard(words[0] - numbers[0], words[1] - numbers[1]) >= SERIES_TITLE
        if same_form and numbers[0] != numbers[1] and is_late:
            return True
        if not self._shared(one, other):
            return False
        skip = self._skipped(one, other)
        rest = [_union(text.segments, skip, "names") for text in (one, other)]
        return _overlap(rest[0], rest[1], self._rarity(one, other)) < SERIES_NAMES

    def _is_copy(self, pair: Pair) -> bool:
        one, other = pair.one, pair.other
        if pair.cosine < TWIN_COSINE or pair.hours > TWIN_HOURS:
            return False
        numbers = _of_titles(one, other, "numbers")
        if numbers[0] != numbers[1]:
            return False
        skip = self._skipped(one, other)
        words = [_union(text.segments, skip, "words") for text in (one, other)]
        return _jaccard(words[0], words[1]) >= TWIN_WORDS


def _late(hours: float) -> float:
    return 0.0 if math.isnan(hours) else math.log1p(hours / 12.0)


def _are_foreign(one: StoryText, other: StoryText) -> float:
    """Return 1 if two texts are in different languages, else 0."""
    return float(bool(one.language and other.language and one.language != other.language))


def _fill_one_title(one: StoryText, other: StoryText) -> bool:
    """Return whether two titles are the same but for a name or a number that each of them has."""
    words, names = _of_titles(one, other, "words"), _of_titles(one, other, "names")
    own = len(names[0] - words[1]), len(names[1] - words[0])
    differ = min(own) > 0 and max(own) <= NAME_WORDS
    return differ and _jaccard(words[0], words[1]) >= SERIES_TITLE


def _of_titles(one: StoryText, other: StoryText, kind: str) -> tuple[frozenset[str], ...]:
    return tuple(_union(text.title, frozenset(), kind) for text in (one, other))


def _keys(segments: Iterable[Segment]) -> list[str]:
    return [segment.key for segment in segments]


def _union(segments: Iterable[Segment], skip: frozenset[str], kind: str) -> frozenset[str]:
    kept = (getattr(segment, kind) for segment in segments if segment.key not in skip)
    return frozenset().union(*kept)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(len(one | other), 1)


def _overlap(one: frozenset[str], other: frozenset[str], rarity: Callable[[str], float]) -> float:
    """Return the cosine of two sets of words that are weighted by the square of their rarity."""
    both = sum(rarity(word) ** 2 for word in one & other)
    sizes = [sum(rarity(word) ** 2 for word in words) for words in (one, other)]
    return both / math.sqrt(sizes[0] * sizes[1]) if both else 0.0
