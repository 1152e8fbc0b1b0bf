"""Multiple testing: Holm for primary, Benjamini and Hochberg for secondary metrics."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import false_discovery_control


def adjust_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust so that the chance of one or more false claims stays under the level.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.

    Args:
        p_values: Raw; None for a test without result, which neither counts nor is adjusted.

    Returns:
        Adjusted p-values in the same order.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, place) in enumerate(order):
        largest = max(largest, min(1.0, p_value * (len(order) - rank)))
        adjusted[place] = largest
    return adjusted


def adjust_holm_of_all(p_values: Sequence[float | None]) -> list[float | None]:
    """Do as `adjust_holm`, but count a test without result yet, too.

    So a variant that is still too small to be judged does not make it easier for the others.
    """
    adjusted = adjust_holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else found for p, found in zip(p_values, adjusted, strict=True)]


def adjust_benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust so that the expected share of false claims among all claims stays under the level.

    Source: Benjamini and Hochberg (1995), Controlling the false discovery rate.

    Args:
        p_values: Raw; None for a test without result, which neither counts nor is adjusted.

    Returns:
        Adjusted p-values in the same order.
    """
    known = [p for p in p_values if p is not None]
    if not known:
        return [None] * len(p_values)
    found = iter(false_discovery_control(known, method="bh").tolist())
    return [None if p is None else float(next(found)) for p in p_values]
