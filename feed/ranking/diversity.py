"""The order of a slate: scores, reduced by what already stands above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from feed.arrays import Codes, Flags, Floats, Matrix, Rows
from feed.config import RankingConfig

COSINE_SCALE = 5.0
"""How many times a cosine of 1 counts as much as a score smaller by a factor of e."""
_LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class DiversifiedOrder:
    """Positions into the candidates, best first, and what the decays left of each score.

    `decay` in (0, 1] (MMR's penalty only compares and is left out); `duplicates` are the positions
    dropped as near-duplicates of a better candidate.
    """

    order: Rows
    decay: Floats
    duplicates: Rows


def diversify(
    scores: Floats,
    sections: Codes,
    sources: Codes,
    content: Matrix,
    config: RankingConfig,
    size: int,
    kept_first: int = 0,
    series: Rows | None = None,
    dropped: Rows | None = None,
) -> DiversifiedOrder:
    """Order candidates greedily by score, decays and difference from what stands above.

    Each slot takes the candidate with the greatest
    `lambda * ln(score * decay(section) * decay(source)) - (1 - lambda) * COSINE_SCALE * nearest`,
    `nearest` being the greatest cosine with what stands above and
    `decay = max(floor, factor ** earlier articles of the section)`. Logarithms, because scores
    spread over magnitudes: on the plain scale every article but the first few would be chosen by
    cosine alone. With lambda 0.9, a cosine of 0.6 above costs 28 % of the score.
    Source: Carbonell, Goldstein: The use of MMR (SIGIR 1998). The slot-by-slot search covers
    the first page; what is left is ordered by score and decays, which is the same greedy choice
    without the cosine as long as one of the two decays is 1.

    Args:
        scores: non-negative, f64 [k].
        sections: section codes, -1 (none) never decays, i32 [k].
        sources: source codes likewise, i32 [k].
        content: content vectors, unit rows or zeros, f32 [k, d].
        config: the decays, `mmr_lambda`, `duplicate_similarity`, `first_page`.
        size: slots wanted.
        kept_first: how many of the first candidates are pinned: they are not ordered, but count as
            standing above everything, for duplicates and decays.
        series: codes of series, -1 for none: articles of one series are no near-duplicates.
        dropped: positions that count as near-duplicates, whatever their vectors say.

    Returns:
        At most `size` positions, pinned ones left out.
    """
    similarity = content @ content.T
    similarity.ravel()[:: len(similarity) + 1] = 0.0
    order = (-scores[kept_first:]).argsort(kind="stable") + kept_first
    order = np.concatenate([np.arange(kept_first), order])
    keep = _find_originals(similarity, order, config.duplicate_similarity, series, dropped)
    duplicates = order[~keep & (order >= kept_first)]
    left = order[keep & (order >= kept_first)]
    greedy = _Greedy(scores, sections, sources, similarity, config)
    for pinned in range(kept_first):
        greedy.place(pinned)
    head = greedy.take(left, min(size, config.first_page))
    tail = greedy.rest(left, size - len(head))
    decay = np.concatenate([np.array(greedy.decays), greedy.tail_decays])
    return DiversifiedOrder(np.concatenate([head, tail]), decay, duplicates)


def _find_originals(
    similarity: Matrix,
    order: Rows,
    threshold: float,
    series: Rows | None,
    dropped: Rows | None,
) -> Flags:
    """Return which places of `order` are not near-duplicates of a kept one above."""
    keep = np.ones(len(order), np.bool_)
    if dropped is not None and dropped.size:
        keep[np.isin(order, dropped)] = False
    alike: Rows = (similarity.ravel() >= threshold).nonzero()[0]
    if series is not None and alike.size:
        first, second = series[alike // len(order)], series[alike % len(order)]
        alike = alike[(first != second) | (first < 0)]
    if not alike.size:
        return keep
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    upper, lower = place[alike // len(order)], place[alike % len(order)]
    below = upper < lower
    pairs = sorted(zip(lower[below].tolist(), upper[below].tolist(), strict=True))
    for later, earlier in pairs:
        if keep[earlier]:
            keep[later] = False
    return keep


class _Groups:
    """Articles that share a code (section or source), and how many of each stand above."""

    def __init__(self, codes: Codes, factor: float, floor: float) -> None:
        self.codes = codes
        self._code_of = codes.tolist()
        self._counts = [0] * (max(self._code_of, default=-1) + 1)
        self._factor, self._floor = factor, floor
        self._members: dict[int, Rows] = {}

    @property
    def counts(self) -> Rows:
        """How many articles of each code stand above, int64 by code."""
        return np.array(self._counts, np.int64)

    def decay(self, counts: Rows) -> Floats:
        """Return the decay for each count of earlier articles of the group, f64."""
        return np.asarray(np.maximum(self._floor, self._factor**counts), np.float64)

    def add(self, at: int) -> tuple[float, Rows | None, float]:
        """Let an article stand above: its own decay, who decays by it, and by which factor."""
        code = self._code_of[at]
        if code < 0:
            return 1.0, None, 1.0
        count = self._counts[code]
        self._counts[code] += 1
        before = max(self._floor, self._factor**count)
        after = max(self._floor, self._factor ** (count + 1))
        if after == before:
            return before, None, 1.0
        members = self._members.get(code)
        if members is None:
            members = self._members[code] = (self.codes == code).nonzero()[0]
        return before, members, after / before


class _Greedy:
    """The state of one greedy pass: what was taken, and what that costs the others."""

    def __init__(
        self,
        scores: Floats,
        sections: Codes,
        sources: Codes,
        similarity: Matrix,
        config: RankingConfig,
    ) -> None:
        self._lambda = config.mmr_lambda
        self._value = np.float32(self._lambda) * np.log(
            np.maximum(scores, _LEAST), dtype=np.float32
        )
        self._scores = scores
        self._groups = [
            _Groups(codes, factor, config.decay_floor)
            for codes, factor in ((sections, config.section_decay), (sources, config.source_decay))
            if factor < 1
        ]
        self._penalty = similarity * np.float32((1.0 - self._lambda) * COSINE_SCALE)
        self._cost = np.zeros(len(scores), np.float32)
        self._open = np.zeros(len(scores), np.bool_)
        self.decays: list[float] = []
        self.tail_decays: Floats = np.zeros(0)

    def place(self, at: int) -> float:
        """Let an article stand above the others from now on; return its own decay."""
        np.maximum(self._cost, self._penalty[at], out=self._cost)
        decay = 1.0
        for group in self._groups:
            own, members, factor = group.add(at)
            decay *= own
            if members is not None:
                self._value[members] += self._lambda * math.log(max(factor, _LEAST))
        return decay

    def take(self, left: Rows, count: int) -> Rows:
        """Choose slot by slot from `left`."""
        self._open[left] = True
        self._value[~self._open] = -np.inf
        worth = np.empty_like(self._value)
        taken = []
        for _ in range(min(count, len(left))):
            np.subtract(self._value, self._cost, out=worth)
            best = int(worth.argmax())
            taken.append(best)
            self._value[best] = -np.inf
            self.decays.append(self.place(best))
        chosen = np.array(taken, np.int64)
        self._open[chosen] = False
        return chosen

    def rest(self, left: Rows, count: int) -> Rows:
        """Order what `take` left by score and the decay its place in its groups brings."""
        rest = left[self._open[left]]
        decay = np.ones(len(rest))
        for group in self._groups:
            codes = group.codes[rest]
            coded = codes >= 0
            earlier = earlier_of_same(codes[coded]) + group.counts[codes[coded]]
            decay[coded] *= group.decay(earlier)
        best = (-self._scores[rest] * decay).argsort(kind="stable")[: max(count, 0)]
        self.tail_decays = decay[best]
        chosen: Rows = rest[best]
        return chosen


def earlier_of_same(codes: Codes) -> Rows:
    """Return how many earlier elements equal each element."""
    order = codes.argsort(kind="stable")
    ordered = codes[order]
    starts = ordered.searchsorted(ordered)
    earlier = np.empty(len(codes), np.int64)
    earlier[order] = np.arange(len(codes)) - starts
    return earlier
