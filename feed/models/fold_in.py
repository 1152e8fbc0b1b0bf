"""Folds readers and new articles into the space of learned factors, as serving needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from feed.arrays import Floats, Matrix, Rows


@dataclass(frozen=True, slots=True, eq=False)
class FoldIn:
    """A reader's vector, f32 [f], with the triangle its equations were solved by, f64 [f, f]."""

    vector: Matrix
    triangle: Floats

    def solve(self, targets: Floats) -> Floats:
        """Return the solutions for other right sides of the same equations, f64 [f, k]."""
        solved, _ = lapack.dpotrs(self.triangle, targets)
        return np.asarray(solved, np.float64)


def solve_fold_in(
    factors: Matrix,
    gramian: Matrix,
    rows: Rows,
    weights: Floats,
    *,
    regularization: float,
    alpha: float,
) -> FoldIn:
    """Solve `(G + reg I + sum (|c| - 1) y y') x = sum_{c > 0} c y`, `c = sign(w)(1 + alpha|w|)`.

    One exact ALS half-step, by Cholesky's decomposition. Equal to implicit's `recalculate_user`
    on the same confidences.

    Args:
        factors: article factors, f32 [n, f].
        gramian: `Y'Y` of the factors that were trained, f32 [f, f].
        rows: article rows, int64 [k].
        weights: signed weights, f64 [k]; zeros are ignored.
        regularization: as in training.
        alpha: as in training.

    Raises:
        numpy.linalg.LinAlgError: the equations have no single solution (without regularization).
    """
    used = weights != 0
    y = factors[rows[used]].astype(np.float64)
    strength = 1.0 + alpha * np.abs(weights[used])
    normal = gramian.astype(np.float64)
    normal.ravel()[:: len(normal) + 1] += regularization
    normal += (y * (strength - 1.0)[:, None]).T @ y
    target = np.where(weights[used] > 0, strength, 0.0) @ y
    triangle, solved, failed = lapack.dposv(normal, target)
    if failed:
        raise np.linalg.LinAlgError("the fold-in's equations are singular")
    return FoldIn(solved.astype(np.float32).ravel(), triangle)


def fold_in(
    factors: Matrix,
    gramian: Matrix,
    rows: Rows,
    weights: Floats,
    *,
    regularization: float,
    alpha: float,
) -> Matrix:
    """Return a reader's vector from their weighted articles, f32 [f]; see `solve_fold_in`."""
    solved = solve_fold_in(
        factors, gramian, rows, weights, regularization=regularization, alpha=alpha
    )
    return solved.vector


def blend_factors(own: Matrix, mapped: Matrix, readers: Floats, shrinkage: float) -> Matrix:
    """Return `n/(n+s) own + s/(n+s) mapped`, f32 [m, f]: few readers trust the content map.

    Args:
        own: learnt factors, f32 [m, f].
        mapped: content mapped to factors, f32 [m, f].
        readers: distinct readers n, f64 [m].
        shrinkage: readers s at which both weigh the same.
    """
    trust = (readers / (readers + shrinkage)).astype(np.float32)[:, None]
    return trust * own + (1.0 - trust) * mapped
