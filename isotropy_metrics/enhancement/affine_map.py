"""An enhancement, or a Pipeline of them, as one matrix and one shift."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import Normalizer

from isotropy_metrics.enhancement._steps import called, steps_of


def as_affine(enhancement: Any) -> tuple[np.ndarray, np.ndarray]:
    """W (n_features_in, n_features_out) and b (n_features_out,) of transform(x) = x @ W + b, in float64.

    Args:
        enhancement: fitted, or a Pipeline of fitted ones; all must be affine. Clusters, quantiles and a Normalizer
            are not.

    Raises:
        NotFittedError: not fitted yet.
        ValueError: a step is not affine, or cannot be carried; it is named.

    Example:
        >>> from isotropy_metrics.enhancement import Centering
        >>> matrix, shift = as_affine(Centering().fit([[0.0, 2.0], [2.0, 4.0]]))
        >>> matrix.tolist(), shift.tolist()
        ([[1.0, 0.0], [0.0, 1.0]], [-1.0, -3.0])
    """
    steps = steps_of(enhancement)
    if not steps:
        raise ValueError("this Pipeline passes rows through: it has no step that could be written as a matrix")
    for name, step in steps:
        if not is_affine(step):
            raise ValueError(
                f"{called(name, step)} is not affine: no matrix and shift can stand for it"
                + ("; leave it out, and normalise afterwards" if isinstance(step, Normalizer) else "")
            )
    matrix, shift = steps[0][1].as_affine()
    for _, step in steps[1:]:
        next_matrix, next_shift = step.as_affine()
        matrix, shift = matrix @ next_matrix, shift @ next_matrix + next_shift
    return np.ascontiguousarray(matrix), shift


def is_affine(step: Any) -> bool:
    """Whether this step alone can be written as a matrix and a shift."""
    return hasattr(step, "as_affine")
