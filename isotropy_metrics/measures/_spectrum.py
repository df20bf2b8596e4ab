"""What several measures ask of a spectrum."""

from __future__ import annotations

import warnings

import numpy as np

from isotropy_metrics.statistics import Moments

SINGLE_ROUNDING = 1e-7
"""Error of a float32 product, as a share of its largest eigenvalue."""

FEW = 0.05
"""This share of the directions may lie below that error without a word, and one in any case: a LayerNorm leaves it."""


def without_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """The eigenvalues, zero where they are no larger than the rounding errors of the largest.

    The root of a rounding error is no longer small: 1e-16 in a direction without rows would count as 1e-8.
    """
    return np.where(eigenvalues > len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max(), eigenvalues, 0.0)


def warn_of_single_rounding(name: str, moments: Moments, eigenvalues: np.ndarray) -> None:
    """Warn where many eigenvalues are rounding errors of float32 products, of a measure that small ones matter to.

    They cannot be left out: beside one huge direction, as of massive activations, true ones are as small.
    """
    largest = np.trace(moments.scatter) * np.sqrt(moments.purity)  # the norm of the eigenvalues, a little more
    doubtful = (eigenvalues > 0) & (eigenvalues < SINGLE_ROUNDING * largest)
    if moments.n_single_rows and np.count_nonzero(doubtful) > max(FEW * len(eigenvalues), 1):
        warnings.warn(
            f"{name}: {np.count_nonzero(doubtful)} of {len(eigenvalues)} eigenvalues are below 1e-7 of the largest "
            "variance, where products of float32 rows leave rounding errors: pass the rows as float64",
            RuntimeWarning,
            stacklevel=4,
        )


def entropy(values: np.ndarray) -> float:
    """−Σ p log p of the values divided by their sum, in nats."""
    share = values[values > 0] / values.sum()
    return max(float(-(share * np.log(share)).sum()), 0.0)


def exponential_of_entropy(values: np.ndarray) -> float:
    """How many equal values would have the entropy of these."""
    return float(np.exp(entropy(values)))
