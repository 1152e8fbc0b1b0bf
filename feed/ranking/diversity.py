"""The order of a slate: scores, tempered by what already stands above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

MMR_PAGES = 2
"""First pages ordered slot by slot; below, only the section and source decays order on."""
COSINE_SCALE = 5.0
"""How many times a cosine of 1 counts as much as a score smaller by a factor of e."""
_LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class DiversifiedOrder:
    """Positions into the candidates, best first, and what the decays left of each score.

    `decay` in (0, 1] (MMR's penalty only compares and is left out); `duplicates` are the positions
    dropped because a better candidate tells the same story.
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
) -> DiversifiedOrder:
    """Order candidates greedily by score, decays and difference from what stands above.

    Each slot takes the candidate with the greatest
    `lambda * ln(score * decay(section) * decay(source)) - (1 - lambda) * COSINE_SCALE * nearest`,
    `nearest` being the greatest cosine with what stands above and
    `decay = max(floor, factor ** earlier articles of the section)`. Logarithms, because scores
    spread over magnitudes: on the plain scale every article but the first few would be chosen by
    cosine alone. With lambda 0.9, a cosine of 0.6 above costs 28 % of the score.
    Source: Carbonell, Goldstein: The use of MMR (SIGIR 1998). The slot-by-slot search covers
    `MMR_PAGES` first pages; what is left is ordered by score and decays, which is the same
    greedy choice without the cosine as long as one of the two decays is 1.

    Args:
        scores: non-negative, f64 [k].
        sections: section codes, -1 (none) never decays, i32 [k].
        sources: source codes likewise, i32 [k].
        content: content vectors, unit rows or zeros, f32 [k, d].
        config: the decays, `mmr_lambda`, `duplicate_similarity`, `first_page`.
        size: slots wanted.
        kept_first: the first so many candidates are pinned: they are not ordered, but count as
            standing above everything, for duplicates and decays.

    Returns:
        At most `size` positions, pinned ones left out.
    """
    similarity = content @ content.T
    order = np.argsort(-scores[kept_first:], kind="stable") + kept_first
    order = np.concatenate([np.arange(kept_first), order])
    keep = _first_tellings(similarity, order, config.duplicate_similarity)
    duplicates = order[~keep & (order >= kept_first)]
    left = order[keep & (order >= kept_first)]
    greedy = _Greedy(scores, sections, sources, similarity, config)
    for pinned in range(kept_first):
        greedy.place(pinned)
    head = greedy.take(left, min(size, MMR_PAGES * config.first_page))
    tail = greedy.rest(left, size - len(head))
    decay = np.concatenate([np.array(greedy.decays), greedy.tail_decays])
    return DiversifiedOrder(np.concatenate([head, tail]), decay, duplicates)


def _first_tellings(similarity: Matrix, order: Rows, threshold: float) -> Flags:
    """Return which places of `order` are not near-duplicates of a kept one above."""
    keep = np.ones(len(order), np.bool_)
    first, second = np.nonzero(similarity >= threshold)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    upper, lower = place[first], place[second]
    below = upper < lower
    pairs = sorted(zip(lower[below].tolist(), upper[below].tolist(), strict=True))
    for later, earlier in pairs:
        if keep[earlier]:
            keep[later] = False
    return keep


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
        self._value = config.mmr_lambda * np.log(np.maximum(scores, _LEAST))
        self._lambda = config.mmr_lambda
        self._scores = scores
        self._codes = (sections, sources)
        self._factors = (config.section_decay, config.source_decay)
        self._floor = config.decay_floor
        penalty = (1.0 - config.mmr_lambda) * COSINE_SCALE
        self._nearness = similarity * np.float32(penalty) if penalty > 0 else None
        self._cost = np.zeros(len(scores), np.float32)
        self._decay = np.ones(len(scores))
        self._counts = [np.zeros(int(c.max(initial=-1)) + 1, np.int64) for c in self._codes]
        self._open = np.zeros(len(scores), np.bool_)
        self.decays: list[float] = []
        self.tail_decays: Floats = np.zeros(0)

    def place(self, at: int) -> None:
        """Let an article stand above the others from now on."""
        if self._nearness is not None:
            np.maximum(self._cost, self._nearness[at], out=self._cost)
        for kind in (0, 1):
            code = int(self._codes[kind][at])
            if self._factors[kind] < 1 and code >= 0:
                count = int(self._counts[kind][code])
                self._counts[kind][code] += 1
                before = max(self._floor, self._factors[kind] ** count)
                after = max(self._floor, self._factors[kind] ** (count + 1))
                if after < before:
                    members = np.flatnonzero(self._codes[kind] == code)
                    self._decay[members] *= after / before
                    self._value[members] += self._lambda * math.log(max(after / before, _LEAST))

    def take(self, left: Rows, count: int) -> Rows:
        """Choose slot by slot from `left`."""
        self._open[left] = True
        self._value[~self._open] = -np.inf
        taken = []
        for _ in range(min(count, len(left))):
            best = int((self._value - self._cost).argmax())
            taken.append(best)
            self.decays.append(float(self._decay[best]))
            self._value[best] = -np.inf
            self._open[best] = False
            self.place(best)
        return np.array(taken, np.int64)

    def rest(self, left: Rows, count: int) -> Rows:
        """Order what `take` left by score and the decay its place in its groups brings."""
        rest = left[self._open[left]]
        decay = np.ones(len(rest))
        for kind in (0, 1):
            if self._factors[kind] < 1:
                codes = self._codes[kind][rest]
                coded = codes >= 0
                earlier = _earlier_of_same(codes[coded]) + self._counts[kind][codes[coded]]
                decay[coded] *= np.maximum(self._floor, self._factors[kind] ** earlier)
        best = np.argsort(-self._scores[rest] * decay, kind="stable")[: max(count, 0)]
        self.tail_decays = decay[best]
        chosen: Rows = rest[best]
        return chosen


def _earlier_of_same(codes: Codes) -> Rows:
    """Return how many earlier elements equal each element."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    new = np.r_[True, ordered[1:] != ordered[:-1]] if len(codes) else np.zeros(0, np.bool_)
    starts = np.flatnonzero(new)
    earlier = np.empty(len(codes), np.int64)
    earlier[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    return earlier
