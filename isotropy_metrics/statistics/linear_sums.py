"""Linear sums: all that one reading of some rows gives without a product of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isotropy_metrics.arrays import squared_norms

CHUNK_ROWS = 512
"""Rows that are read once, and used for their copy and every sum while they are in the processor's cache."""

LEAST_SINGLE, MOST_SINGLE = 1e-30, 1e30
"""Squared lengths of rows whose products neither vanish nor overflow in float32."""

MOST_OVER_NORM = 1e17
"""Weights over lengths whose squares do not either."""

SCALARS = (
    "n_rows",
    "n_zero_rows",
    "n_single_rows",
    "weight_sum",
    "weight_square_sum",
    "unit_weight_sum",
    "unit_weight_square_sum",
)


class Float32RangeError(Exception):
    """float32 products of these rows would overflow or vanish."""


@dataclass
class LinearSums:
    """Of rows x with weights w and x̂ = x/‖x‖: counts and sums of weights, Σ w x̂, Σ w² x̂², and Σ w (x − shift)."""

    scalars: dict[str, float]
    unit_sum: np.ndarray
    unit_square_sum: np.ndarray
    shifted_sum: np.ndarray

    def __add__(self, other: LinearSums) -> LinearSums:
        scalars = {name: value + other.scalars[name] for name, value in self.scalars.items()}
        return LinearSums(
            scalars,
            self.unit_sum + other.unit_sum,
            self.unit_square_sum + other.unit_square_sum,
            self.shifted_sum + other.shifted_sum,
        )


def linear_sums(
    rows: np.ndarray,
    weight: np.ndarray | None = None,
    first_row: int = 0,
    shift: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> LinearSums:
    """The sums of these rows (n_samples, n_features); rows − shift are left in `out`, if it is given.

    Args:
        first_row: the number that the first of these rows has for the user, for errors.

    Raises:
        ValueError: a row is not finite.
        Float32RangeError: the rows must come in float64.
    """
    unit_sum, unit_square_sum, shifted_sum = np.zeros((3, rows.shape[1]))
    norms, over_norm = np.empty(len(rows)), np.zeros(len(rows))
    squares = np.empty((min(len(rows), CHUNK_ROWS), rows.shape[1]), rows.dtype)
    weight = np.ones(len(rows)) if weight is None else weight
    out = rows if out is None else out
    with np.errstate(all="ignore"):  # what leaves the range is found below
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            x = rows[chunk]
            if shift is None and out is not rows:
                np.copyto(out[chunk], x)
                x = out[chunk]
            squared = np.multiply(x, x, out=squares[: len(x)])
            norms[chunk] = np.einsum("ij->i", squared)
            if shift is not None:
                np.subtract(x, shift, out=out[chunk])
            np.divide(weight[chunk], np.sqrt(norms[chunk]), out=over_norm[chunk], where=norms[chunk] > 0)
            unit_sum += over_norm[chunk].astype(x.dtype) @ x
            unit_square_sum += (over_norm[chunk] ** 2).astype(x.dtype) @ squared
            shifted_sum += weight[chunk].astype(x.dtype) @ out[chunk]
    _check_range(rows, norms, over_norm, first_row)
    counted = weight[norms > 0]
    n_rows = (len(rows), len(rows) - len(counted), len(rows) if rows.dtype == np.float32 else 0)
    weights = (weight.sum(), weight @ weight, counted.sum(), counted @ counted)
    scalars = dict(zip(SCALARS, (*n_rows, *map(float, weights)), strict=True))
    return LinearSums(scalars, unit_sum, unit_square_sum, shifted_sum)


def _check_range(rows: np.ndarray, norms: np.ndarray, over_norm: np.ndarray, first_row: int) -> None:
    """Raise what `linear_sums` raises; rows and weights of usual size are known by their norms alone."""
    is_usual = (norms > LEAST_SINGLE) & (norms < MOST_SINGLE)
    if not is_usual.all():
        norms = squared_norms(rows, first_row)
    if rows.dtype == np.float32:
        is_out = (norms > MOST_SINGLE) | ((norms < LEAST_SINGLE) & (norms > 0))
        is_out |= (over_norm > MOST_OVER_NORM) | ((over_norm < 1 / MOST_OVER_NORM) & (over_norm > 0))
        if is_out.any():
            raise Float32RangeError
