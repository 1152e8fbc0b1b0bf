"""The loop over trees that numba compiles, where it is installed (the extra `speed`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

import numpy as np
import numpy.typing as npt

from feed.arrays import Codes, Flags, Floats, Matrix, Rows

Words = npt.NDArray[np.uint64]
Loop = Callable[..., Floats]

_SIGNATURE = "f8[::1](f4[:, ::1], i8[::1], i4[::1], f4[::1], b1[::1], u8[::1], f8[:, ::1])"
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_ONE = np.uint64(1)
_SEQUENCE = np.uint64(0x03F7_9D71_B4CB_0A89)
"""De Bruijn's: its 64 pieces of six bits are all different."""
_REST = np.uint64(58)
_PLACE = np.zeros(64, np.uint64)
"""How far the sequence was shifted to the left, by its first six bits then."""
for _shift in range(64):
    _PLACE[((int(_SEQUENCE) << _shift) & int(_ALL)) >> int(_REST)] = _shift


@cache
def compiled_loop() -> Loop:
    """Return `add_up` compiled. The machine code stays on disk where a place can be written.

    Raises:
        ImportError: numba is not installed.
    """
    numba = import_module("numba")  # costs memory and time
    try:
        loop: Loop = numba.njit(_SIGNATURE, cache=True, nogil=True)(add_up)
    except RuntimeError:  # neither beside this file nor in the user's cache
        loop = numba.njit(_SIGNATURE, nogil=True)(add_up)
    return loop


def add_up(
    features: Matrix,
    starts: Rows,
    columns: Codes,
    thresholds: Matrix,
    unknown_right: Flags,
    stay: Words,
    values: Floats,
) -> Floats:
    """Return the sum of all trees, f64 [k], of features f32 [F, k]; see `QuickTrees`.

    The values are added in the order of the trees, as LightGBM does.
    """
    count = features.shape[1]
    total = np.zeros(count)
    in_reach = np.empty(count, np.uint64)
    for tree in range(len(values)):
        in_reach[:] = _ALL
        for split in range(starts[tree], starts[tree + 1]):
            column, threshold, rest = features[columns[split]], thresholds[split], stay[split]
            if unknown_right[split]:
                for i in range(count):
                    in_reach[i] &= _ALL if column[i] <= threshold else rest
            else:
                for i in range(count):
                    in_reach[i] &= rest if column[i] > threshold else _ALL
        for i in range(count):
            first = in_reach[i] & (~in_reach[i] + _ONE)
            total[i] += values[tree, _PLACE[(first * _SEQUENCE) >> _REST]]
    return total
