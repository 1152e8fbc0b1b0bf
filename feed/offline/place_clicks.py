"""How often an article is clicked, compared with others at the same places of feeds.

As a module that is run, it answers one question from standard input: `data_dir`, `since` and
`article_id`.
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
_MEMORY_MB = 300
_PLACES = f"""
WITH clicks AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
), slots AS (
    SELECT least(s.position, {MOST_PLACES}) AS place, s.article_id = ? AS own,
           c.article_id IS NOT NULL AS clicked
    FROM served AS s LEFT JOIN clicks AS c USING (user_id, request_id, article_id)
    WHERE epoch(s.served_at) >= ?
)
SELECT count(*), count(*) FILTER (clicked), count(*) FILTER (own),
       count(*) FILTER (own AND clicked)
FROM slots GROUP BY place
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

    served: int
    clicked: int
    expected: float

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


def count_place_clicks(archive: Archive, article_id: str, since: float) -> PlaceClicks:
    """Return the clicks of an article and what its places foretold, from one pass over the archive.

    Args:
        archive: The event log.
        article_id: Of the article.
        since: Earlier feeds do not count, epoch seconds.

    Raises:
        ArchiveError: a file cannot be read.
    """
    with archive.query(since) as connection:
        places = connection.execute(_PLACES, [article_id, since]).fetchall()
    return PlaceClicks(
        served=sum(own for _, _, own, _ in places),
        clicked=sum(own_clicked for *_, own_clicked in places),
        expected=sum(own * clicked / shown for shown, clicked, own, _ in places),
    )


def main() -> None:
    """Answer the question on standard input."""
    question = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(question["data_dir"]) / "archive", memory_mb=_MEMORY_MB, threads=1)
    found = count_place_clicks(archive, question["article_id"], question["since"])
    sys.stdout.buffer.write(orjson.dumps(asdict(found)))


if __name__ == "__main__":
    main()
