"""All-but-the-top: subtract the mean and remove the dominant directions."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.enhancement.centering import Centering
from isotropy_metrics.statistics import Moments


class AllButTheTop(Centering):
    """Subtract the mean of the fitting rows, then remove their directions of largest variance (the global approach).

        transform(x) = (x − mean_) − V Vᵀ (x − mean_),    V the first n_directions eigenvectors of the covariance

    Mu & Viswanath (2018, https://huggingface.co/papers/1702.01417), who advise about n_features/100 directions. Rows
    are centred before they are projected, so that the fitting rows have mean zero afterwards.

    Args:
        n_directions: how many directions to remove; None for n_features/100, rounded, at least 1.

    Attributes:
        mean_: (n_features,), float64.
        directions_: (n_directions, n_features), orthonormal, largest variance first.

    Example:
        >>> import numpy as np
        >>> X = np.array([[9.0, 1.0], [-9.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
        >>> AllButTheTop(n_directions=1).fit(X).transform(X).round(6).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """

    directions_: np.ndarray

    def __init__(self, n_directions: int | None = None) -> None:
        self.n_directions = n_directions

    def _fit(self, moments: Moments) -> None:
        d = moments.n_features
        n_directions = max(1, round(d / 100)) if self.n_directions is None else self.n_directions
        most = min(d, moments.n_rows - 1)
        if not 0 <= n_directions <= most:
            raise ValueError(f"n_directions={n_directions} of {moments.n_rows} rows with {d} features: at most {most}")
        super()._fit(moments)
        self.directions_ = np.linalg.eigh(moments.scatter)[1][:, ::-1][:, :n_directions].T.copy()

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        centered = super()._transform(rows)
        directions = self.directions_.astype(rows.dtype)
        return centered - (centered @ directions.T) @ directions
