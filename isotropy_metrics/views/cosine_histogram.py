"""Cosine histogram: how alike the directions of two rows are, for many pairs of rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.views._two_rows import check_two_rows
from isotropy_metrics.whole_number import whole_number

PAIRS_AT_ONCE = 256
"""Pairs of rows whose products are formed together: so many stay in the cache."""


@dataclass(frozen=True, eq=False)
class CosineHistogram:
    """Cosines of pairs of rows, counted in bins.

    Attributes:
        edges: (n_bins + 1,), of the bins, from -1 to 1.
        shares: (n_bins,), of the pairs in each bin; they sum to 1. NaN where there is no pair.
        mean: of the cosines of these pairs.
        n_pairs: how many pairs these are.
    """

    edges: np.ndarray
    shares: np.ndarray
    mean: float
    n_pairs: int


def cosine_histogram(rows: Any, *, n_bins: int = 100, n_pairs: int = 100_000, seed: int = 0) -> CosineHistogram:
    """How the cosine is distributed over pairs of two different rows.

    A value is counted in the bin whose lower edge it reaches, and 1 in the last bin. Rows that are zero have no
    direction, and are left out. The mean is that of the pairs drawn; that of all pairs is `average_cosine_similarity`.

    Args:
        rows: (n_samples, n_features).
        n_bins: how many bins of equal width.
        n_pairs: how many pairs are drawn, uniformly and none twice; all pairs if there are no more.
        seed: of the drawing.

    Returns:
        a `CosineHistogram`; its shares and its mean are NaN, with a warning, if fewer than two rows are not zero.

    Raises:
        ValueError: fewer than two rows, rows that are not finite, of the wrong shape, or not numbers; n_bins or
            n_pairs below 1.

    Example:
        >>> histogram = cosine_histogram([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]], n_bins=4)
        >>> histogram.n_pairs, round(histogram.mean, 3), histogram.shares.round(3).tolist()
        (3, 0.333, [0.0, 0.0, 0.667, 0.333])
    """
    whole_number("n_bins", n_bins, least=1)
    whole_number("n_pairs", n_pairs, least=1)
    rows, _ = as_rows(rows)
    check_two_rows("cosine_histogram", len(rows))
    lengths = np.sqrt(squared_norms(rows))
    edges = np.linspace(-1.0, 1.0, n_bins + 1)
    has_direction = np.flatnonzero(lengths)
    if len(has_direction) < 2:
        warnings.warn("cosine_histogram is NaN: fewer than 2 rows are not zero", RuntimeWarning, stacklevel=2)
        return CosineHistogram(edges, np.full(n_bins, np.nan), float("nan"), 0)
    first, second = (has_direction[each] for each in _pairs(len(has_direction), n_pairs, seed))
    cosines = _cosines(rows, lengths, first, second)
    return CosineHistogram(edges, np.histogram(cosines, edges)[0] / len(cosines), float(cosines.mean()), len(cosines))


def _pairs(n: int, n_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of two different numbers below n, drawn without replacement; all of them if there are no more.

    Pair m is that of m mod n and the number m // n + 1 places further round the circle: the n(n − 1)/2 first m give
    every pair once.
    """
    n_all = n * (n - 1) // 2
    if n_all <= n_pairs:
        chosen = np.arange(n_all)
    else:
        chosen = np.random.default_rng(seed).choice(n_all, n_pairs, replace=False, shuffle=False)
    distance, first = np.divmod(chosen, n)
    return first, (first + distance + 1) % n


def _cosines(rows: np.ndarray, lengths: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines of the rows `first` with the rows `second`, in float64."""
    products = np.empty(len(first))
    for start in range(0, len(first), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        one, other = (rows[each[pairs]].astype(np.float64) for each in (first, second))
        products[pairs] = np.einsum("ij,ij->i", one, other)
    return np.clip(products / lengths[first] / lengths[second], -1.0, 1.0)
