"""Linear sums: all that one reading of some rows gives without a product of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isotropy_metrics.arrays import squared_norms

CHUNK_VALUES = 512 * 768
"""Values that are read once, and used for their copy and every sum while they are in the processor's cache."""

CHUNK_ROWS = 64, 512
"""At least, and at most: sums of more float32 rows lose digits before they are added in float64."""

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


def linear_sums(
    rows: np.ndarray,
    weight: np.ndarray | None = None,
    first_row: int = 0,
    shift: np.ndarray | None = None,
    out: np.ndarray | None = None,
    *,
    only_units: bool = False,
) -> LinearSums:
    """The sums of these rows (n_samples, n_features); with a shift, rows − shift are left in `out`.

    Args:
        first_row: the number that the first of these rows has for the user, for errors.
        only_units: leave `shifted_sum` zero.

    Raises:
        ValueError: a row is not finite.
        Float32RangeError: the rows must come in float64.
    """
    unit_sum, unit_square_sum, shifted_sum = np.zeros((3, rows.shape[1]))
    norms, over_norm = np.empty(len(rows)), np.zeros(len(rows))
    chunk_rows = int(np.clip(CHUNK_VALUES // rows.shape[1], *CHUNK_ROWS))
    squares = np.empty((min(len(rows), chunk_rows), rows.shape[1]), rows.dtype)
    weight = np.ones(len(rows)) if weight is None else weight
    out = rows if out is None else out
    with np.errstate(all="ignore"):  # what leaves the range is found below
        for start in range(0, len(rows), chunk_rows):
            chunk = slice(start, start + chunk_rows)
            x = rows[chunk]
            squared = np.multiply(x, x, out=squares[: len(x)])
            norms[chunk] = np.einsum("ij->i", squared)
            if shift is not None:
                np.subtract(x, shift, out=out[chunk])
            np.divide(weight[chunk], np.sqrt(norms[chunk]), out=over_norm[chunk], where=norms[chunk] > 0)
            unit_sum += over_norm[chunk].astype(x.dtype) @ x
            unit_square_sum += (over_norm[chunk] ** 2).astype(x.dtype) @ squared
            if not only_units:
                shifted_sum += weight[chunk].astype(x.dtype) @ out[chunk]
    _check_range(rows, norms, over_norm, first_row)
    return LinearSums(_scalars_of(rows, norms, weight), unit_sum, unit_square_sum, shifted_sum)


def scalars_of(rows: np.ndarray) -> dict[str, float]:
    """The `scalars` of these rows, each of weight 1; it raises what `linear_sums` would, and a little sooner."""
    norms = squared_norms(rows)
    _check_single(rows, (norms > MOST_SINGLE / 2) | ((norms < 2 * LEAST_SINGLE) & (norms > 0)))
    return _scalars_of(rows, norms, np.ones(len(rows)))


def _scalars_of(rows: np.ndarray, norms: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    counted = weight[norms > 0]
    n_rows = (len(rows), len(rows) - len(counted), len(rows) if rows.dtype == np.float32 else 0)
    weights = (weight.sum(), weight @ weight, counted.sum(), counted @ counted)
    return dict(zip(SCALARS, (*n_rows, *map(float, weights)), strict=True))


def _check_range(rows: np.ndarray, norms: np.ndarray, over_norm: np.ndarray, first_row: int) -> None:
    """Raise what `linear_sums` raises; rows and weights of usual size are known by their norms alone."""
    is_usual = (norms > LEAST_SINGLE) & (norms < MOST_SINGLE)
    if not is_usual.all():
        norms = squared_norms(rows, first_row)
    is_out = (norms > MOST_SINGLE) | ((norms < LEAST_SINGLE) & (norms > 0))
    _check_single(rows, is_out | (over_norm > MOST_OVER_NORM) | ((over_norm < 1 / MOST_OVER_NORM) & (over_norm > 0)))


def _check_single(rows: np.ndarray, is_out: np.ndarray) -> None:
    if rows.dtype == np.float32 and is_out.any():
        raise Float32RangeError
