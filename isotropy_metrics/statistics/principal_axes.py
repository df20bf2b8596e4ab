"""Principal axes: the directions of a cloud, longest first, each with the same sign wherever it is computed."""

from __future__ import annotations

import numpy as np


def principal_axes(scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of a scatter or covariance matrix, largest first.

    Args:
        scatter: (n_features, n_features), symmetric.

    Returns:
        eigenvalues (n_features,), none below zero; and axes (n_features, n_features), an eigenvector in each column,
        the largest entry of each positive.

    Example:
        >>> import numpy as np
        >>> values, axes = principal_axes(np.array([[1.0, 0.0], [0.0, 4.0]]))
        >>> values.tolist(), axes.tolist()
        ([4.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    values, axes = np.linalg.eigh(scatter)
    values, axes = np.clip(values[::-1], 0, None), axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return values, axes * np.sign(largest)
