"""Adds up the signals that several workers have counted, each from its own readers' events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from feed.arrays import Floats, Rows
from feed.features.counters import BLOCKS, HALF_LIVES_S, Counters
from feed.features.covisitation import MAX_NEIGHBOURS, PAIR_HALF_LIFE_S
from feed.features.ids import IdMap
from feed.features.page_lists import LIST_HALF_LIFE_S, MAX_LISTED

Packed = Mapping[str, Any]
_COLUMNS_S: Floats = np.array(HALF_LIVES_S * len(BLOCKS))


def sum_rooms(parts: Sequence[Mapping[str, Packed]]) -> dict[str, dict[str, Any]]:
    """Return the sum of what several `LiveSignals.pack` returned, in the same form.

    The parts may hold different articles. Counters are exact but for rounding. Of the pairs of an
    article, each part holds the strongest; the sum holds the strongest of those.
    """
    return {
        "counters": _sum_counters([part["counters"] for part in parts]),
        "covisitation": _sum_pairs(
            [part["covisitation"] for part in parts], PAIR_HALF_LIFE_S, MAX_NEIGHBOURS
        ),
        "page_lists": _sum_pairs(
            [part["page_lists"] for part in parts], LIST_HALF_LIFE_S, MAX_LISTED
        ),
    }


class SummedCounters:
    """The readers of several workers' counters together, as the trending test asks for them.

    Args:
        parts: counters that share one numbering of articles.
    """

    def __init__(self, parts: Sequence[Counters]) -> None:
        self._parts = parts
        self.began_at = min((part.began_at for part in parts), default=np.inf)

    def clicks(self, rows: Rows, now: float) -> Floats:
        """Return decayed first clicks at `now`, f64 [k, half-lives]."""
        return sum(
            (p.clicks(rows, now) for p in self._parts), np.zeros((len(rows), len(HALF_LIVES_S)))
        )

    def site_clicks(self, now: float) -> Floats:
        """Return the same summed over the site, f64 [half-lives]."""
        return sum((p.site_clicks(now) for p in self._parts), np.zeros(len(HALF_LIVES_S)))


def _sum_counters(parts: Sequence[Packed]) -> dict[str, Any]:
    ids, places = _places(parts)
    landmark, site_landmark = _latest(parts, "landmark"), _latest(parts, "site_landmark")
    width = len(_COLUMNS_S)
    totals = np.zeros((len(ids), parts[0]["totals"].shape[1]))
    values, site = np.zeros((len(ids), width)), np.zeros((1, width))
    last = np.full((len(ids), parts[0]["last"].shape[1]), -np.inf)
    for part, at in zip(parts, places, strict=True):
        totals[at] += part["totals"]
        last[at] = np.maximum(last[at], part["last"])
        if not np.isnan(part["landmark"]):
            values[at] += part["values"] * _moved(part["landmark"], landmark, _COLUMNS_S)
        if not np.isnan(part["site_landmark"]):
            moved = _moved(part["site_landmark"], site_landmark, _COLUMNS_S)
            site += part["site_values"] * moved
    return {
        "ids": ids,
        "landmark": landmark,
        "values": values,
        "totals": totals,
        "last": last,
        "began_at": min(float(part["began_at"]) for part in parts),
        "site_landmark": site_landmark,
        "site_values": site,
    }


def _sum_pairs(parts: Sequence[Packed], half_life_s: float, limit: int) -> dict[str, Any]:
    ids, places = _places(parts)
    landmark, base_landmark = _latest(parts, "landmark"), _latest(parts, "base_landmark")
    bases, numbers = np.zeros((len(ids), 1)), IdMap()
    owners, others, weights = [], [], []
    for part, at in zip(parts, places, strict=True):
        if not np.isnan(part["base_landmark"]):
            bases[at] += part["bases"] * _moved(part["base_landmark"], base_landmark, half_life_s)
        if not np.isnan(part["landmark"]):
            owners.append(np.repeat(at, part["counts"]))
            others.append(numbers.add_all(part["names"])[part["others"]])
            weights.append(part["weights"] * _moved(part["landmark"], landmark, half_life_s))
    nobody: Rows = np.zeros(0, np.int64)
    owner, other = np.concatenate([nobody, *owners]), np.concatenate([nobody, *others])
    size = max(len(numbers), 1)
    pairs, inverse = np.unique(owner * size + other, return_inverse=True)
    weight = np.bincount(inverse, np.concatenate([np.zeros(0), *weights]), minlength=len(pairs))
    order = np.lexsort((-weight, pairs // size))
    owner = pairs[order] // size
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    order = order[rank < limit]
    return {
        "ids": ids,
        "names": numbers.ids,
        "others": (pairs[order] % size).astype(np.int32),
        "counts": np.bincount(pairs[order] // size, minlength=len(ids)).astype(np.int64),
        "weights": weight[order],
        "bases": bases,
        "landmark": landmark,
        "base_landmark": base_landmark,
    }


def _places(parts: Sequence[Packed]) -> tuple[list[str], list[Rows]]:
    """Return the articles of all parts, and where in that list those of each part stand."""
    numbers = IdMap()
    places = [numbers.add_all(part["ids"]) for part in parts]
    return numbers.ids, places


def _latest(parts: Sequence[Packed], name: str) -> float:
    return max(_known(parts, name), default=np.nan)


def _known(parts: Sequence[Packed], name: str) -> Iterator[float]:
    return (float(part[name]) for part in parts if not np.isnan(part[name]))


def _moved(landmark: float, latest: float, half_lives_s: float | Floats) -> Floats:
    factors: Floats = np.exp2((float(landmark) - latest) / np.asarray(half_lives_s, np.float64))
    return factors
