"""Standardization: every feature with mean zero and standard deviation one (z-score)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isotropy_metrics.enhancement._affine_enhancement import InvertibleEnhancement
from isotropy_metrics.statistics import RowStatistics


class Standardization(InvertibleEnhancement):
    """Subtract the mean of each feature and divide by its standard deviation.

        transform(x) = (x − mean_) / scale_

    Stankevičius & Lukoševičius (2024, https://huggingface.co/papers/2408.08073). Features that are constant over the
    fitting rows are centred only. Correlations between features stay: `Whitening` removes them too.

    Attributes:
        mean_: (n_features_in_,), float64.
        scale_: (n_features_in_,), standard deviations with divisor n; 1 for constant features.

    Example:
        >>> Standardization().fit([[0.0, 2.0], [4.0, 2.0]]).transform([[4.0, 5.0]]).tolist()
        [[1.0, 3.0]]
    """

    FITTED = ("scale_",)

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        moments = statistics.moments
        variance = np.diagonal(moments.scatter) / moments.weight_sum
        # a constant feature has the variance that rounding its values leaves
        precision = np.finfo(np.float32 if moments.n_single_rows else np.float64).eps
        is_constant = variance <= (10 * precision * moments.mean) ** 2
        return {"scale_": np.where(is_constant, 1.0, np.sqrt(variance))}

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray], object]:
        scale = self.scale_.astype(dtype)
        return lambda centered, out: np.divide(centered, scale, out=out)

    def _inverse_linear(self, rows: np.ndarray) -> np.ndarray:
        return rows * self.scale_.astype(rows.dtype)
