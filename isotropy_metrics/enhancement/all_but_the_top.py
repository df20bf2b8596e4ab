"""All-but-the-top: subtract the mean and remove the dominant directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isotropy_metrics.enhancement._affine_enhancement import AffineEnhancement
from isotropy_metrics.statistics import RowStatistics
from isotropy_metrics.statistics.principal_axes import principal_axes
from isotropy_metrics.whole_number import whole_number


class AllButTheTop(AffineEnhancement):
    """Subtract the mean of the fitting rows, then remove their directions of largest variance (the global approach).

        transform(x) = (x − mean_) − V Vᵀ (x − mean_),    V the first n_directions eigenvectors of the covariance

    Mu & Viswanath (2018, https://huggingface.co/papers/1702.01417), who advise about n_features/100 directions. Rows
    are centred before they are projected, so that the fitting rows have mean zero afterwards.

    Args:
        n_directions: how many directions to remove; None for n_features/100, rounded, at least 1.

    Attributes:
        mean_: (n_features_in_,), float64.
        directions_: (n_directions, n_features_in_), orthonormal, largest variance first, the largest entry
            of each positive.

    Raises:
        ValueError: on fit, more directions than the fitting rows span.

    Example:
        >>> import numpy as np
        >>> X = np.array([[9.0, 1.0], [-9.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
        >>> AllButTheTop(n_directions=1).fit(X).transform(X).round(6).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """

    FITTED = ("directions_",)

    def __init__(self, n_directions: int | None = None) -> None:
        self.n_directions = n_directions

    def _rows_wanted(self, n_features: int) -> int:
        return n_features

    def check_parameters(self, n_features: int) -> int:
        check_n_directions(self.n_directions, n_features)
        return n_features

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        moments = statistics.moments
        n_directions = n_directions_of(self.n_directions, moments.n_features)
        most = min(moments.n_features, max(moments.n_rows - 1, 0))
        if n_directions > most and self.n_directions is not None:
            raise ValueError(
                f"n_directions={n_directions} of {moments.n_rows} rows with {moments.n_features} features: at most "
                f"{most}"
            )
        return {"directions_": top_directions(moments.scatter, min(n_directions, most))}

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray], object]:
        directions = self.directions_.astype(dtype)
        return lambda centered, out: without_directions(centered, directions, out)


def check_n_directions(n_directions: int | None, n_features: int) -> None:
    """Refuse what is not a number of directions among so many features."""
    if n_directions is None:
        return
    whole_number("n_directions", n_directions, least=0)
    if n_directions > n_features:
        raise ValueError(f"n_directions={n_directions} of {n_features} features: at most {n_features}")


def n_directions_of(n_directions: int | None, n_features: int) -> int:
    """The number asked for, or a hundredth of the features (Mu & Viswanath)."""
    return max(1, round(n_features / 100)) if n_directions is None else n_directions


def top_directions(scatter: np.ndarray, n_directions: int) -> np.ndarray:
    """The eigenvectors of the largest eigenvalues, as rows (n_directions, n_features), largest first."""
    return principal_axes(scatter)[1][:, :n_directions].T.copy()


def without_directions(centered: np.ndarray, directions: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Rows less their projections on the directions, (n, n_features) and (k, n_features)."""
    return np.subtract(centered, (centered @ directions.T) @ directions, out=out)
