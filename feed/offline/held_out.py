"""What a model does on feeds that it has not learnt from: sources, and the ranker's calibration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.offline.evaluated_lists import PoolList
from feed.offline.examples import sample_negatives
from feed.ranking.candidates import SOURCES

CALIBRATION_BINS = 10
FEWEST_IN_A_BIN = 50
NEGATIVES = 20
"""Unclicked candidates of a list that count, as many as the ranker learns from."""
Z95 = 1.959964


class HeldOutNotes:
    """Notes how clicked articles were found, and how likely the ranker held each to be clicked.

    Args:
        is_learned: Whether the ranker is a learned one; the day-one weights foretell no clicks.
    """

    def __init__(self, *, is_learned: bool) -> None:
        self._is_learned = is_learned
        self._rng = np.random.default_rng(0)
        self._names = tuple(SOURCES)
        self._found = np.zeros(len(self._names), np.int64)
        self._alone = np.zeros(len(self._names), np.int64)
        self._lists = self._wanted = self._reached = 0
        self._scores: list[Floats] = []
        self._clicked: list[Flags] = []

    def add(self, entry: PoolList, scores: Floats) -> None:
        """Note one list; `scores` f64 [k] are the ranker's."""
        self._lists += 1
        self._wanted += len(entry.wanted)
        self._reached += int(entry.clicked.sum())
        proposals = [entry.found.proposals[name] for name in self._names]
        rows = np.concatenate(proposals)
        of = np.repeat(np.arange(len(proposals)), [len(found) for found in proposals])
        for article in entry.wanted.tolist():
            self._note_sources(of[rows == article])
        teaches = entry.clicked.any() and not entry.clicked.all()  # as in training
        if self._is_learned and teaches:
            kept = sample_negatives(entry.clicked, NEGATIVES, self._rng)
            self._scores.append(scores[kept])
            self._clicked.append(entry.clicked[kept])

    def to_json(self) -> dict[str, Any]:
        """Return the notes for the manifest: shares of the clicked articles by source, and bins."""
        wanted = max(self._wanted, 1)
        notes: dict[str, Any] = {
            "lists": self._lists,
            "clicked": self._wanted,
            "recall": self._reached / wanted,
            "sources": {
                name: {"recall": found / wanted, "alone": alone / wanted}
                for name, found, alone in zip(
                    self._names, self._found.tolist(), self._alone.tolist(), strict=True
                )
            },
        }
        if self._scores:
            scores, clicked = np.concatenate(self._scores), np.concatenate(self._clicked)
            notes["calibration"] = calibration_bins(scores, clicked)
        return notes

    def _note_sources(self, found_by: Rows) -> None:
        self._found[found_by] += 1
        if len(found_by) == 1:
            self._alone[found_by] += 1


def calibration_bins(scores: Floats, clicked: Flags) -> list[dict[str, float]]:
    """Return what was foretold and what happened, in bins of equally many scores.

    Args:
        scores: f64 [n], probabilities.
        clicked: bool [n].

    Returns:
        For each bin, the lowest scores first: `n`, `clicks`, the mean of the scores (`foretold`),
        the share clicked (`observed`) and its 95 % interval by Wilson (`low`, `high`).

    Source: Wilson: Probable Inference, the Law of Succession, and Statistical Inference (1927).
    """
    bins = max(1, min(CALIBRATION_BINS, len(scores) // FEWEST_IN_A_BIN))
    order = np.argsort(scores, kind="stable")
    found = []
    for part in np.array_split(order, bins):
        if len(part):
            clicks, n = int(clicked[part].sum()), len(part)
            low, high = wilson_interval(clicks, n)
            found.append(
                {
                    "n": n,
                    "clicks": clicks,
                    "foretold": float(scores[part].mean()),
                    "observed": clicks / n,
                    "low": low,
                    "high": high,
                }
            )
    return found


def wilson_interval(count: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score; n must be more than 0."""
    share, z2 = count / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
