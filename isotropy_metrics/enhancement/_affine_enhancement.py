"""AffineEnhancement: enhancements that are one product with a matrix and one shift, whatever they are fitted from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement

BLOCK_ROWS = 2048
"""Rows that are shifted and multiplied while they are in the processor's cache."""


class AffineEnhancement(Enhancement):
    """transform(x) = L(x − mean_), with L linear.

    The mean is subtracted before the product: in float32 a product of rows far from the origin would lose the digits
    that the difference keeps.
    """

    def as_affine(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix W (n_features_in_, n_features_out) and the shift b of transform(x) = x @ W + b, in float64."""
        check_is_fitted(self)
        matrix = np.empty((self.n_features_in_, self._n_features_out))
        self._linear_map(np.dtype(np.float64))(np.eye(self.n_features_in_), matrix)
        return matrix, -self.mean_ @ matrix

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray], object]:
        """L, of rows of this dtype whose mean is subtracted, into an array (n_samples, n_features_out)."""
        raise NotImplementedError

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        mean, linear_map = self.mean_.astype(rows.dtype), self._linear_map(rows.dtype)
        workspace = np.empty((min(BLOCK_ROWS, len(rows)), rows.shape[1]), rows.dtype)
        enhanced = np.empty((len(rows), self._n_features_out), rows.dtype)
        for start in range(0, len(rows), BLOCK_ROWS):
            block, out = rows[start : start + BLOCK_ROWS], enhanced[start : start + BLOCK_ROWS]
            linear_map(np.subtract(block, mean, out=workspace[: len(block)]), out)
            # one product finds what is not finite; it may overflow for large numbers that are
            if not np.isfinite(np.vdot(out, out)) and not np.isfinite(out).all():
                squared_norms(block, start)
                raise ValueError(f"row {start} and those after it overflow {rows.dtype}: pass them as float64")
        return enhanced


class InvertibleEnhancement(AffineEnhancement):
    """An affine enhancement that can be undone."""

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows (n_samples, n_features_in_) that `transform` makes X of; the nearest if it kept fewer features.

        Raises:
            NotFittedError: not fitted yet.
            ValueError: another number of features than `transform` gives, or rows that are not finite.
        """
        rows = self._validated_enhanced(X)
        return self._inverse_linear(rows) + self.mean_.astype(rows.dtype)

    def _inverse_linear(self, rows: np.ndarray) -> np.ndarray:
        """The centred rows that L makes these rows of."""
        raise NotImplementedError
