"""An article's text as story matching reads it: short segments, their words, names and numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from feed.domain import Article

BODY_CHARACTERS = 300
"""How much of the body is read after title and standfirst."""
BOILERPLATE_FROM = 3
"""A segment that this many articles of one source have in common is boilerplate."""
FEWEST_ARTICLES = 50
"""A language counts as having at least this many, so that rare words show on a small site, too."""
STEM = 6
"""Characters of a word that count, so that inflected forms meet in most languages."""

TITLE_PARTS = re.compile(r"\s+[-|\u2013\u2014]\s+|:\s+")
"""Where a title is cut."""
SENTENCES = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
"""Where a text is cut."""
_UNSPACED = r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]"
_WORD = re.compile(rf"{_UNSPACED}|(?:(?!{_UNSPACED})\w)+")
_IS_UNSPACED = re.compile(_UNSPACED)


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or a part of a title: its words, those that are names or numbers, the latter.

    Of a script without spaces, pairs of neighbouring characters are words.
    """

    key: str
    words: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoryText:
    """What of an article is compared, with its source and the language of its words.

    `keys`, `title_words` and `words` are those of its segments, boilerplate included.
    """

    title: tuple[Segment, ...]
    text: tuple[Segment, ...]
    source: str
    language: str
    keys: frozenset[str]
    title_words: frozenset[str]
    words: frozenset[str]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, those of the title first."""
        return self.title + self.text

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for two articles exactly if they say the same, but for case and punctuation."""
        return tuple(segment.key for segment in self.segments)


def read_text(article: Article) -> StoryText:
    """Return what story matching reads of an article."""
    body = article.body[:BODY_CHARACTERS]
    parts = [p for text in (article.standfirst, body) for p in SENTENCES.split(text)]
    title, text = _segments(TITLE_PARTS.split(article.title)), _segments(parts)
    return StoryText(
        title=title,
        text=text,
        source=article.source,
        language=article.language.lower().partition("-")[0],
        keys=frozenset(segment.key for segment in title + text),
        title_words=_words(title),
        words=_words(title + text),
    )


def _segments(parts: Iterable[str]) -> tuple[Segment, ...]:
    found = {segment.key: segment for part in parts if (segment := _segment(part)).key}
    return tuple(found.values())


@lru_cache(maxsize=4096)
def _segment(text: str) -> Segment:
    tokens = _WORD.findall(unicodedata.normalize("NFKC", text))
    folded = [token.casefold() for token in tokens]
    words, names = set(), set()
    for place, (token, word) in enumerate(zip(tokens, folded, strict=True)):
        if _IS_UNSPACED.match(word):
            after = folded[place + 1] if place + 1 < len(folded) else ""
            words.add(word + after if _IS_UNSPACED.match(after) else word)
            continue
        has_digit = any(map(str.isdigit, word))
        stem = word if has_digit else word[:STEM]
        words.add(stem)
        if has_digit or token[0].isupper():
            names.add(stem)
    numbers = {word for word in folded if any(map(str.isdigit, word))}
    return Segment(" ".join(folded), frozenset(words), frozenset(names), frozenset(numbers))


class Boilerplate:
    """Learns which segments a source repeats from article to article."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def learn(self, text: StoryText) -> None:
        """Count the segments of one more article."""
        self._counts.update((text.source, key) for key in text.keys)

    def forget(self, text: StoryText) -> None:
        """Take back what an article that is too old has counted."""
        for key in text.keys:
            at = text.source, key
            self._counts[at] -= 1
            if self._counts[at] <= 0:
                del self._counts[at]

    def is_repeated(self, source: str, segment: Segment) -> bool:
        """Return whether a segment is boilerplate of its source."""
        return self._counts[source, segment.key] >= BOILERPLATE_FROM


class Rarity:
    """How rare words are in the articles of their language.

    The rarity of a word is `1 - ln(n) / ln(N + 1)` if n of N articles have it: 1 for a word that
    only one article has, about 0 for one that nearly all have. Unlike an inverse document
    frequency it means the same on a small site as on a large one.
    """

    def __init__(self) -> None:
        self._articles: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()

    def learn(self, text: StoryText, times: int = 1) -> None:
        """Count the words of one more article; `times` -1 takes them back."""
        self._articles[text.language] += times
        for word in text.words:
            at = text.language, word
            self._counts[at] += times
            if self._counts[at] <= 0:
                del self._counts[at]

    def of(self, language: str, word: str) -> float:
        """Return the rarity of a word in [0, 1]."""
        count = self._counts[language, word]
        if count <= 1:
            return 1.0
        size = max(self._articles[language], FEWEST_ARTICLES)
        return max(1.0 - math.log(count) / math.log(size + 1.0), 0.0)


def _words(segments: Sequence[Segment]) -> frozenset[str]:
    if len(segments) == 1:  # as most titles: then nothing is kept twice
        return segments[0].words
    return frozenset().union(*(segment.words for segment in segments))
