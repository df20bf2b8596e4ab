"""Zero-mean: subtract the mean of the fitting rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.statistics import Moments


class Centering:
    """Subtract the mean of the rows it was fitted on.

        transform(x) = x − mean_

    Attributes:
        mean_: (n_features,), float64.

    Example:
        >>> Centering().fit([[0.0, 2.0], [2.0, 2.0]]).transform([[1.0, 5.0]]).tolist()
        [[0.0, 3.0]]
    """

    mean_: np.ndarray

    def fit(self, X: Any, y: None = None) -> Centering:
        """Fit on rows (n_samples, n_features) or on `Moments` of them; `y` is ignored. Returns self."""
        self._fit(_moments(X))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The enhanced rows (n_samples, n_features), in the dtype of the rows.

        Raises:
            ValueError: not fitted yet, another number of features, or rows that are not finite.
        """
        if not hasattr(self, "mean_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet: call fit first")
        rows, _ = as_rows(X)
        if rows.shape[1] != len(self.mean_):
            raise ValueError(f"fitted on {len(self.mean_)} features, got rows of {rows.shape[1]}")
        squared_norms(rows)
        return self._transform(rows)

    def _fit(self, moments: Moments) -> None:
        self.mean_ = moments.mean.copy()

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        return rows - self.mean_.astype(rows.dtype)


def _moments(X: Any) -> Moments:
    if isinstance(X, Moments):
        moments = X
    else:
        moments = Moments()
        moments.update(X)
    if moments.n_rows == 0:
        raise ValueError("there is no row to fit on")
    return moments
