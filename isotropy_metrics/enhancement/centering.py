"""Zero-mean: subtract the mean of the fitting rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isotropy_metrics.enhancement._affine_enhancement import InvertibleEnhancement
from isotropy_metrics.statistics import RowStatistics


class Centering(InvertibleEnhancement):
    """Subtract the mean of the rows it was fitted on.

        transform(x) = x − mean_

    It undoes the commonest anisotropy, a cloud far from the origin ("everything is 0.8 similar"), and cannot hurt a
    Euclidean distance, which it leaves as it was.

    Attributes:
        mean_: (n_features_in_,), float64.

    Example:
        >>> Centering().fit([[0.0, 2.0], [2.0, 2.0]]).transform([[1.0, 5.0]]).tolist()
        [[0.0, 3.0]]
    """

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        return {}

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray], object]:
        return lambda centered, out: np.copyto(out, centered)

    def _inverse_linear(self, rows: np.ndarray) -> np.ndarray:
        return rows
