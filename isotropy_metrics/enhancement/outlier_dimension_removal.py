"""Outlier dimension removal: set the features that are far larger than the others to zero."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.measures.outlier_dimensions import METHODS
from isotropy_metrics.statistics import RowStatistics

MEAN_SUFFICES = "hammerl"
"""The rule that looks at the mean of the rows only."""


class OutlierDimensionRemoval(Enhancement):
    """Set outlier features to zero, and leave the others as they are.

        transform(x)ᵢ = xᵢ if kept_[i] else 0

    Outliers are the features that the measure `outlier_dimensions` finds, by the same `method` and `n_std`; those of
    Hämmerl et al. (2023, https://huggingface.co/papers/2306.00458), who zero them for similarities between languages,
    follow from the mean of all fitting rows, those of the other methods from a sample of them.

    What it does not tell: what the features did. Similarities can gain by it; a model whose own layers read the
    zeroed features can be wrecked.

    Args:
        method: "hammerl", "timkey", "macocco" or "massive".
        n_std: standard deviations, for the first two.

    Attributes:
        kept_: (n_features_in_,), bool.

    Raises:
        ValueError: on fit, another `method`, sample_weight with one other than "hammerl", or a rule by which every
            feature is an outlier.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 30))
        >>> X[:, 17] += 4
        >>> np.flatnonzero(~OutlierDimensionRemoval().fit(X).kept_).tolist()
        [17]
    """

    FITTED = ("kept_",)

    def __init__(self, method: str = "hammerl", n_std: float = 3.0) -> None:
        self.method = method
        self.n_std = n_std

    @property
    def NEEDS_SAMPLE(self) -> bool:
        """The mean suffices for "hammerl"."""
        return self.method != MEAN_SUFFICES

    def as_affine(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix W (n_features_in_, n_features_in_) and the shift b of transform(x) = x @ W + b, in float64."""
        check_is_fitted(self)
        return np.diag(self.kept_.astype(np.float64)), np.zeros(self.n_features_in_)

    def check_parameters(self, n_features: int) -> int:
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: must be one of {', '.join(METHODS)}")
        if not (isinstance(self.n_std, numbers.Real) and 0 <= self.n_std < np.inf):
            raise ValueError(f"n_std={self.n_std!r}: must be a number from 0")
        return n_features

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        _, is_outlier = METHODS[self.method](self._rows_of(statistics), self.n_std)
        if is_outlier.all():
            raise ValueError(
                f"method={self.method!r}, n_std={self.n_std} takes every one of n_features={len(is_outlier)} for an "
                "outlier: use another method"
            )
        return {"kept_": ~is_outlier}

    def _rows_of(self, statistics: RowStatistics) -> np.ndarray:
        if self.method == MEAN_SUFFICES:
            return statistics.moments.mean[None]
        sample = statistics.sample
        if sample.weight is not None:
            raise ValueError(f"method={self.method!r} knows no sample_weight: use method={MEAN_SUFFICES!r}")
        if self.method == "massive" and not sample.is_complete:
            warnings.warn(
                f"massive activations are rare, and these are of {len(sample.rows):,} of {sample.n_rows:,} rows: fit "
                "on RowStatistics(size=None) of all rows",
                EnhancementWarning,
                stacklevel=5,
            )
        return sample.rows.astype(np.float64)

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        if not np.isfinite(rows.sum()):
            squared_norms(rows)
        enhanced = rows.copy()
        enhanced[:, ~self.kept_] = 0
        return enhanced
