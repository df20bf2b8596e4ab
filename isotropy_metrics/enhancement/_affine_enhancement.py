"""AffineEnhancement: enhancements that are one product with a matrix and one shift, whatever they are fitted from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement

BLOCK_ROWS = 1024
"""Rows that are shifted and multiplied while they are in the processor's cache."""


class AffineEnhancement(Enhancement):
    """transform(x) = L(x − mean_), with L linear.

    The mean is subtracted before the product: in float32 a product of rows far from the origin would lose the digits
    that the difference keeps.
    """

    def as_affine(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix W (n_features_in_, n_features_out) and the shift b of transform(x) = x @ W + b, in float64."""
        check_is_fitted(self)
        matrix = self._linear_map(np.dtype(np.float64))(np.eye(self.n_features_in_))
        return matrix, -self.mean_ @ matrix

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
        """L, of rows of this dtype whose mean is subtracted, and which it may overwrite."""
        raise NotImplementedError

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        mean, linear_map = self.mean_.astype(rows.dtype), self._linear_map(rows.dtype)
        workspace = np.empty((min(BLOCK_ROWS, len(rows)), rows.shape[1]), rows.dtype)
        enhanced = None
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            done = linear_map(np.subtract(block, mean, out=workspace[: len(block)]))
            if enhanced is None:
                enhanced = np.empty((len(rows), done.shape[1]), rows.dtype)
            enhanced[start : start + len(block)] = done
            if not np.isfinite(done.sum()) and not np.isfinite(done).all():
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
        check_is_fitted(self)
        rows = check_array(X, dtype=(np.float64, np.float32))
        width = len(self.get_feature_names_out())
        if rows.shape[1] != width:
            raise ValueError(f"transform gives {width} features, got rows of {rows.shape[1]}")
        return self._inverse_linear(rows) + self.mean_.astype(rows.dtype)

    def _inverse_linear(self, rows: np.ndarray) -> np.ndarray:
        """The centred rows that L makes these rows of."""
        raise NotImplementedError
