"""How often articles are clicked, compared with others at the same places of feeds.

As a module that is run, it answers one question from standard input: `data_dir` and `since`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from scipy import special

from feed.storage.archive import Archive

MOST_PLACES = 50
"""Places from this one on count as one."""
FEWEST_EXPECTED = 5.0
"""Expected clicks from which the ratio says anything."""
MOST_ARTICLES = 20_000
"""Articles of one answer."""
_MEMORY_MB = 300
_PLACES = f"""
WITH clicks AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
), slots AS (
    SELECT least(s.position, {MOST_PLACES}) AS place, s.article_id,
           c.article_id IS NOT NULL AS clicked
    FROM served AS s LEFT JOIN clicks AS c USING (user_id, request_id, article_id)
    WHERE epoch(s.served_at) >= ?
), rates AS (
    SELECT place, count(*) FILTER (clicked) / count(*) AS rate FROM slots GROUP BY place
)
SELECT article_id, count(*), count(*) FILTER (clicked), sum(rate)
FROM slots JOIN rates USING (place) GROUP BY article_id ORDER BY count(*) DESC LIMIT {MOST_ARTICLES}
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceClicks:
    """The clicks of one article, and what its places foretold.

    The ratio is that of indirect standardisation: observed over expected, the expectation being
    the sum over the places of the times it stood there and the click rate of all articles there.
    Better articles stand further up, so this corrects for the place and for the company there.

    Attributes:
        served: Times that it stood in a page that was given out.
        clicked: How many of them were clicked.
        expected: How many clicks all articles together get at such places.
    """

    served: int = 0
    clicked: int = 0
    expected: float = 0.0

    @property
    def is_enough(self) -> bool:
        """Whether there are enough places for the ratio to say anything."""
        return self.expected >= FEWEST_EXPECTED

    @property
    def ratio(self) -> float:
        """Clicks for each expected one; 0 if none was expected."""
        return self.clicked / self.expected if self.expected else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the ratio: the exact 95 % interval of a Poisson count (Garwood 1936)."""
        if not self.expected:
            return 0.0, float("inf")
        low = special.gammaincinv(self.clicked, 0.025) if self.clicked else 0.0
        high = special.gammaincinv(self.clicked + 1, 0.975)
        return float(low) / self.expected, float(high) / self.expected


def count_place_clicks(archive: Archive, since: float) -> dict[str, PlaceClicks]:
    """Return the clicks of each article and what its places foretold, from one pass.

    Args:
        archive: The event log.
        since: Earlier feeds do not count, epoch seconds.

    Returns:
        By article id, those served most often; an article that was not served is not in it.

    Raises:
        ArchiveError: a file cannot be read.
    """
    with archive.query(since) as connection:
        rows = connection.execute(_PLACES, [since]).fetchall()
    return {
        article_id: PlaceClicks(served=served, clicked=clicked, expected=float(expected))
        for article_id, served, clicked, expected in rows
    }


def main() -> None:
    """Answer the question on standard input."""
    question = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(question["data_dir"]) / "archive", memory_mb=_MEMORY_MB, threads=1)
    found = count_place_clicks(archive, question["since"])
    answer = {article_id: asdict(clicks) for article_id, clicks in found.items()}
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main()
