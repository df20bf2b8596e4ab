"""What several measures ask of a spectrum."""

from __future__ import annotations

import numpy as np


def without_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """The eigenvalues, zero where they are no larger than the rounding errors of the largest.

    The root of a rounding error is no longer small: 1e-16 in a direction without rows would count as 1e-8.
    """
    return np.where(eigenvalues > len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max(), eigenvalues, 0.0)


def entropy(values: np.ndarray) -> float:
    """−Σ p log p of the values divided by their sum, in nats."""
    share = values[values > 0] / values.sum()
    return float(-(share * np.log(share)).sum())


def exponential_of_entropy(values: np.ndarray) -> float:
    """How many equal values would have the entropy of these."""
    return float(np.exp(entropy(values)))
