"""QuickTrees: LightGBM's trees as tables that a compiled loop adds up, to the same last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import structlog

from feed.arrays import Codes, Flags, Floats, Matrix, Rows
from feed.models.tree_loop import Words, compiled_loop

log = structlog.get_logger(__name__)

MOST_LEAVES = 64
"""The leaves of a tree are the bits of one word."""
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING, _ZERO_IS_MISSING, _NAN_IS_MISSING = 12, 4, 8
_ZERO = np.float32(1e-35)


@dataclass(frozen=True, slots=True, eq=False)
class QuickTrees:
    """The splits of all trees, those of one tree after those of the one before it.

    An article starts each tree with all leaves in reach. At every split where it turns right, the
    leaves on the left get out of reach, also if it never comes to that split on its way. The first
    leaf that stays in reach is the article's. So all articles pass all splits together, without a
    branch.

    Source: Lucchese et al.: QuickScorer: A Fast Algorithm to Rank Documents with Additive
    Ensembles of Regression Trees (2015).

    Attributes:
        starts: the splits of tree t are those from `starts[t]` to before `starts[t + 1]`,
            int64 [trees + 1].
        columns: the feature of each split, int32 [splits].
        thresholds: up to which value articles turn left, f32 [splits].
        unknown_right: whether NaN turns right, bool [splits].
        stay: of the tree's leaves from the left, a bit each: 0 for those on the left of the split,
            uint64 [splits].
        values: of the leaves from the left, f64 [trees, 64].
    """

    starts: Rows
    columns: Codes
    thresholds: Matrix
    unknown_right: Flags
    stay: Words
    values: Floats

    def margin(self, features: Matrix) -> Floats:
        """Return the sum of all trees, f64 [k], of features f32 [k, F]."""
        return compiled_loop()(
            np.ascontiguousarray(features.T, np.float32),
            self.starts,
            self.columns,
            self.thresholds,
            self.unknown_right,
            self.stay,
            self.values,
        )


def quick_trees(text: str) -> QuickTrees | None:
    """Return the trees of a model as tables, the loop ready; None if LightGBM must add them up.

    That is so without numba (the extra `speed`) and for trees that `read_trees` refuses.

    Args:
        text: what `Booster.model_to_string` wrote.
    """
    return read_trees(text) if _has_loop() else None


def _has_loop() -> bool:
    if find_spec("numba") is None:
        return False
    try:
        compiled_loop()
    except ImportError as error:  # numba refuses versions of numpy that it does not know
        log.warning("numba_not_used", reason=str(error))
        return False
    return True


def read_trees(text: str) -> QuickTrees | None:
    """Return the trees of a model as tables.

    None for what feed does not train: several sums for each article, a mean instead of a sum,
    splits by category, linear leaves, zero for missing; and for trees of more than 64 leaves.
    """
    head, *sections = text.split("\nTree=")
    told = _fields(head)
    if told.get("num_tree_per_iteration") != "1" or "average_output" in head.split("\n"):
        return None
    trees = [_fields(section) for section in sections]
    if not all(map(_is_plain, trees)):
        return None
    values = np.zeros((len(trees), MOST_LEAVES))
    splits: list[_Split] = []
    starts = [0]
    for row, tree in zip(values, trees, strict=True):
        leaves: list[int] = []
        splits += _walk(tree, leaves)
        starts.append(len(splits))
        row[: len(leaves)] = np.array(tree["leaf_value"].split(), np.float64)[leaves]
    return QuickTrees(
        starts=np.array(starts, np.int64),
        columns=np.array([split.column for split in splits], np.int32),
        thresholds=_as_compared(np.array([split.threshold for split in splits], np.float64)),
        unknown_right=np.array([split.unknown_right for split in splits], np.bool_),
        stay=np.array([split.stay for split in splits], np.uint64),
        values=values,
    )


@dataclass(frozen=True, slots=True)
class _Split:
    column: int
    threshold: float
    unknown_right: bool
    stay: int


def _fields(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.split("\n") if "=" in line)


def _is_plain(tree: dict[str, str]) -> bool:
    kinds = [int(kind) for kind in tree.get("decision_type", "").split()]
    return (
        int(tree["num_leaves"]) <= MOST_LEAVES
        and tree.get("is_linear", "0") == "0"
        and not any(kind & _CATEGORICAL or kind & _MISSING == _ZERO_IS_MISSING for kind in kinds)
    )


def _walk(tree: dict[str, str], leaves: list[int]) -> Iterator[_Split]:
    """Append the leaves of a tree from left to right; yield each split after those on its left."""
    if tree["num_leaves"] == "1":
        leaves.append(0)
        return
    columns, lefts, rights, kinds = (
        [int(value) for value in tree[name].split()]
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    )
    thresholds = [float(value) for value in tree["threshold"].split()]
    first_leaf: dict[int, int] = {}
    ahead = [0]
    while ahead:
        node = ahead.pop()
        if node < 0:
            leaves.append(~node)
        elif node not in first_leaf:
            first_leaf[node] = len(leaves)
            ahead += [node, lefts[node]]
        else:
            on_the_left = (1 << len(leaves)) - (1 << first_leaf[node])
            yield _Split(
                columns[node],
                thresholds[node],
                _turns_right_at_nan(kinds[node], thresholds[node]),
                (1 << MOST_LEAVES) - 1 - on_the_left,
            )
            ahead.append(rights[node])


def _turns_right_at_nan(kind: int, threshold: float) -> bool:
    if kind & _MISSING == _NAN_IS_MISSING:
        return not kind & _DEFAULT_LEFT
    return threshold < 0.0  # where training saw no NaN, LightGBM takes it for zero


def _as_compared(thresholds: Floats) -> Matrix:
    """Return f32 thresholds up to which the same f32 values are as LightGBM takes them for.

    It takes for zero what is no further from it than 1e-35.
    """
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
    below = np.nextafter(rounded, np.float32(-np.inf))
    rounded = np.where(rounded > thresholds, below, rounded)
    rounded[(rounded >= 0) & (rounded < _ZERO)] = _ZERO
    rounded[(rounded >= -_ZERO) & (rounded < 0)] = np.nextafter(-_ZERO, np.float32(-np.inf))
    return rounded
