"""The eigenvalues of a scatter with and without the mean, for the price of one of them."""

from __future__ import annotations

import numpy as np

BLOCK = 64
"""Columns that LAPACK reduces at a time."""


def both_spectra(scatter: np.ndarray, total: np.ndarray, weight_sum: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of S = Σ w (x − mean)(x − mean)ᵀ and of Σ w x xᵀ = S + t tᵀ/W, each largest first.

    With t = Σ w x and W = Σ w. A reflection turns t into the first axis; the reduction of S to a tridiagonal T leaves
    that axis alone, so that the reduction of the other matrix is T with |t|²/W added to its first entry. The O(d³)
    part is done once.
    """
    from scipy.linalg import lapack

    if len(total) == 1:
        return scatter[0].copy(), scatter[0] + total**2 / weight_sum
    diagonal, beside = lapack.dsytrd(_reflected(scatter, total), lower=1, lwork=BLOCK * len(total))[1:3]
    raw = diagonal.copy()
    raw[0] += total @ total / weight_sum
    return tuple(lapack.dsterf(each, beside)[0][::-1].copy() for each in (diagonal, raw))


def _reflected(scatter: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """H S H with the Householder reflection H that turns `direction` into the first axis."""
    length = np.linalg.norm(direction)
    if not length > 0:
        return scatter
    v = direction / length
    v[0] += 1.0 if v[0] >= 0 else -1.0
    beta = 2 / (v @ v)
    p = beta * (scatter @ v)
    w = p - (beta / 2) * (v @ p) * v
    return scatter - np.outer(v, w) - np.outer(w, v)
