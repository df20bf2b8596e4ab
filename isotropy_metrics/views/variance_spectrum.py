"""Variance spectrum: how the variance is shared out among the directions of a space."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.statistics import Moments
from isotropy_metrics.views._two_rows import check_two_rows


@dataclass(frozen=True, eq=False)
class VarianceSpectrum:
    """The variance along the principal directions of a space.

    Attributes:
        shares: (n_features,), of each direction in the variance, largest first; they sum to 1. NaN where there is
            none.
    """

    shares: np.ndarray

    @property
    def cumulative(self) -> np.ndarray:
        """(n_features,), the share of the first 1, 2, 3 … directions together."""
        return np.minimum(np.cumsum(self.shares), 1.0)


def variance_spectrum(rows: Any) -> VarianceSpectrum:
    """The share of every principal direction in the variance; of `explained_variance` the whole curve.

    Args:
        rows: (n_samples, n_features), or `Moments` of them.

    Returns:
        a `VarianceSpectrum`; its shares are NaN, with a warning, if all rows are the same.

    Raises:
        ValueError: fewer than two rows, rows that are not finite, of the wrong shape, or not numbers.

    Example:
        >>> spectrum = variance_spectrum([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> spectrum.shares.round(3).tolist(), spectrum.cumulative.round(3).tolist()
        ([0.9, 0.1], [0.9, 1.0])
    """
    moments = rows
    if not isinstance(rows, Moments):
        moments = Moments()
        moments.update(rows)
    check_two_rows("variance_spectrum", moments.n_rows)
    variances = moments.eigenvalues
    if not variances[0] > 0:
        warnings.warn("variance_spectrum is NaN: all rows are the same", RuntimeWarning, stacklevel=2)
        return VarianceSpectrum(np.full(len(variances), np.nan))
    return VarianceSpectrum(variances / variances.sum())
