"""The clicks of an article, compared with those of others at the same places of feeds."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

FEWEST_EXPECTED = 5.0
"""Expected clicks from which the ratio says anything."""


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
