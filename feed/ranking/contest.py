"""What a candidate would have needed to stand at a place of the order, and who comes next there."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from feed.arrays import Floats, Matrix, Rows
from feed.ranking.calibration import calibrate, is_calibrated
from feed.ranking.diversity import COSINE_SCALE, diversify
from feed.ranking.front_page_limits import plan_limits
from feed.ranking.pipeline import Ranking
from feed.ranking.plugin_steps import HAS_RULES
from feed.ranking.ruled_order import rule_order

_LEAST = 1e-12
_NOBODY: Rows = np.empty(0, np.int64)


class Contest:
    """The places of a ranking's order, before anything is drawn by chance or pinned.

    Args:
        ranking: what the stages of a request found.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._pins = len(ranking.pin_slots)
        view, rows = ranking.context.view, ranking.candidates.rows
        self._codes = (view.pool.section[rows], view.pool.source[rows])
        self._content: Matrix = view.content[rows]

    @cached_property
    def order(self) -> Rows:
        """Every candidate by score and diversity, best first, however long the slate is."""
        return self._order_without(_NOBODY, len(self._content))

    @cached_property
    def calibrated(self) -> Rows:
        """The same with its first page calibrated, if the request's is."""
        if not is_calibrated(self._ranking.context, self._ranking.config):
            return self.order
        return self._order_without(_NOBODY, len(self._content), calibrated=True)

    @cached_property
    def ruled(self) -> Rows:
        """The same as the rules of plugins leave it."""
        return self._ruled(self.calibrated)

    @cached_property
    def ranked(self) -> Rows:
        """The same as the newsroom's limits let it stand."""
        return self._limited(self.ruled)

    @cached_property
    def is_by_score(self) -> bool:
        """Whether neither calibration, nor a rule, nor a limit has moved anything."""
        return np.array_equal(self.ranked, self.order)

    def place_of(self, candidate: int) -> int:
        """Return a candidate's place in `ranked` (from 0), -1 for what is not ranked."""
        return _place_in(self.ranked, candidate)

    def place_without_limits(self, candidate: int) -> int:
        """Return a candidate's place in `ruled` (from 0), -1 for what is not ranked."""
        return _place_in(self.ruled, candidate)

    def next_in_line(self, place: int, drawn: Rows) -> int:
        """Return the candidate that would stand at a place if its present one did not exist.

        -1 if no candidate is left.

        Args:
            place: in `ranked`.
            drawn: candidates that stand above by chance, wherever `ranked` has them.
        """
        gone = self.ranked[place : place + 1]
        place -= int(np.isin(drawn, self.ranked[:place]).sum())
        ranking = self._ranking
        is_moved = HAS_RULES or ranking.context.limits
        needs_all = is_moved or is_calibrated(ranking.context, ranking.config)
        size = len(self._content) if needs_all else place + 1 + len(drawn)
        found = self._order_without(gone, size, calibrated=True)
        found = self._limited(self._ruled(found))
        found = found[~np.isin(found, drawn)]  # chance takes them out of the finished order
        return int(found[place]) if len(found) > place else -1

    def lack(self, candidate: int, place: int) -> float | None:
        """Return by which share a candidate's score had to be greater to win a place, or a better.

        With the worth of `diversify`, and what stands above each place as it is, that is the least
        of `exp((worth of the winner - worth of the candidate) / lambda) - 1`. None if the scores
        alone do not decide: lambda is 0, or calibration, rules or limits have moved something.

        Args:
            candidate: one that stands below the place.
            place: in `ranked`.
        """
        weights = self._weights[: place + 1]
        counts = weights > 0
        gaps = self._winning[: place + 1] - self._worth(candidate)[: place + 1]
        if not self.is_by_score or not counts.any():
            return None
        least = float((gaps[counts] / weights[counts]).min())
        return math.expm1(min(max(least, 0.0), 700.0))

    @cached_property
    def _weights(self) -> Floats:
        """What the logarithm of the score counts at each place: lambda on the first page."""
        config, weights = self._ranking.config, np.ones(len(self.order))
        weights[: min(config.slate_size, config.first_page)] = config.mmr_lambda
        return weights

    @cached_property
    def _winning(self) -> Floats:
        """What the winner of each place is worth there, f64 [places]."""
        return np.array([self._worth(one)[place] for place, one in enumerate(self.order.tolist())])

    def _worth(self, candidate: int) -> Floats:
        """Return what a candidate is worth at each place, f64 [places]."""
        config, pins = self._ranking.config, self._pins
        above = np.concatenate([np.arange(pins), self.order[:-1]]).astype(np.int64)
        worth = np.full(len(self.order), float(self._ranking.final[candidate]))
        factors = (config.section_decay, config.source_decay)
        for codes, factor in zip(self._codes, factors, strict=True):
            if codes[candidate] >= 0 and factor < 1:
                earlier = np.cumsum(np.r_[0, codes[above] == codes[candidate]])[pins:]
                worth *= np.maximum(config.decay_floor, factor**earlier)
        cosines = np.r_[0.0, self._content[above] @ self._content[candidate]]
        nearest = np.maximum.accumulate(np.maximum(cosines, 0.0))[pins:]
        logs = np.log(np.maximum(worth, _LEAST))
        return np.asarray(
            self._weights * logs - (1.0 - self._weights) * COSINE_SCALE * nearest, np.float64
        )

    def _ruled(self, order: Rows) -> Rows:
        ranking = self._ranking
        if not (HAS_RULES and ranking.config.use_plugins):
            return order
        return rule_order(ranking.context, ranking.candidates.rows, ranking.final, order)

    def _limited(self, order: Rows) -> Rows:
        """Return an order as the limits let it stand, whatever exploration draws."""
        ranking = self._ranking
        return plan_limits(
            ranking.context,
            ranking.candidates.rows,
            order,
            ranking.explorable,
            ranking.pin_slots,
            ranking.config,
        ).ranked

    def _order_without(self, gone: Rows, size: int, *, calibrated: bool = False) -> Rows:
        """Return the order of what is no near-duplicate, some of it left out."""
        ranking = self._ranking
        kept = np.ones(len(self._content), np.bool_)
        kept[gone] = False
        kept[ranking.order.duplicates] = False
        at = np.flatnonzero(kept)
        sections, sources = self._codes
        stories = ranking.context.view.pool.stories
        found = diversify(
            ranking.final[at],
            sections[at],
            sources[at],
            self._content[at],
            ranking.config,
            size,
            self._pins,
            None if stories is None else stories.series[ranking.candidates.rows[at]],
        )
        if calibrated:
            found = calibrate(
                ranking.context,
                ranking.situation.index,
                ranking.candidates.rows[at],
                ranking.final[at],
                found,
                ranking.pin_slots,
                ranking.config,
            ).order
        ordered: Rows = at[found.order]
        return ordered


def _place_in(order: Rows, candidate: int) -> int:
    found = np.flatnonzero(order == candidate)
    return int(found[0]) if found.size else -1
