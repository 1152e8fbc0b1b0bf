"""What the trending judgement found for each story that is read, listed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter

import orjson

FEWEST_READERS = 0.5
"""Stories with fewer decayed readers are left out: they are far from any label."""
MOST_TESTS = 2_000


@dataclass(frozen=True, slots=True)
class TrendTest:
    """The numbers of one story's test, and what became of it.

    Attributes:
        article_id: Of the article that leads the story.
        came: Decayed readers that came, counted for each article.
        readers: Those of them that counted, each once: further ones of one network may not.
        expected: Readers that its usual rate, and the site's, foretold.
        lift: Smoothed ratio of the two.
        p_value: Tail probability of the test.
        is_met: Whether the numbers satisfy the rule for the label.
        waits_since: Since when it satisfies the rule without the label, because that depends on
            readers from untrusted callers and must hold for a while; epoch seconds. None: it does
            not wait.
    """

    article_id: str
    came: float
    readers: float
    expected: float
    lift: float
    p_value: float
    is_met: bool
    waits_since: float | None


_VALUES = attrgetter(*(one.name for one in fields(TrendTest)))


@dataclass(frozen=True, slots=True)
class TrendTests:
    """The tests of one judgement, those of the most read stories; `at` is epoch seconds.

    `leaders` has the article that leads the story of each further article.
    """

    at: float
    window_minutes: int
    tests: Sequence[TrendTest]
    leaders: Mapping[str, str] = field(default_factory=dict)

    def of(self, article_id: str) -> TrendTest | None:
        """Return the test of an article's story; None if it had next to no readers."""
        leader = self.leaders.get(article_id, article_id)
        return next((test for test in self.tests if test.article_id == leader), None)

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        rows = [_VALUES(test) for test in self.tests]
        content = {"at": self.at, "minutes": self.window_minutes, "tests": rows}
        return orjson.dumps(content | {"leaders": self.leaders})

    @classmethod
    def from_bytes(cls, data: bytes) -> TrendTests:
        """Return what `to_bytes` wrote."""
        held = orjson.loads(data)
        tests = [TrendTest(*row) for row in held["tests"]]
        return cls(held["at"], held["minutes"], tests, held.get("leaders", {}))
