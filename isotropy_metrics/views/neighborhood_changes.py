"""Neighbourhood changes: which rows have other nearest neighbours in a second space than in a first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.measures.comparisons.neighborhood_overlap import common_neighbors, jaccard_index
from isotropy_metrics.statistics import PairSample
from isotropy_metrics.whole_number import whole_number


@dataclass(frozen=True, eq=False)
class NeighborhoodChanges:
    """The nearest neighbours of each row before and after.

    Attributes:
        overlap: (n_samples,), Jaccard index of the neighbours of each row: 1 where they are the same, 0 where none is.
        before: (n_samples, k), the neighbours of each row in the first space, as indices, nearest first.
        after: (n_samples, k), those in the second space.
    """

    overlap: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def most_changed(self, n: int) -> np.ndarray:
        """The n rows that kept the fewest neighbours, as indices, fewest first; of equal ones the first row."""
        return np.argsort(self.overlap, kind="stable")[:n]


def neighborhood_changes(rows1: Any, rows2: Any, *, k: int = 10) -> NeighborhoodChanges:
    """What became of the k nearest neighbours of each row; the mean of `overlap` is `neighborhood_overlap`.

    All rows are searched, so that the time grows with the square of their number: of many pass a sample.

    Args:
        rows1: the rows before, (n_samples, n_features).
        rows2: the same rows after, in the same order; the number of features may differ.
        k: how many neighbours, by Euclidean distance.

    Raises:
        ValueError: other numbers of rows in the two spaces, k or fewer of them, k below 1; rows that are not finite,
            of the wrong shape, or not numbers.

    Example:
        >>> changes = neighborhood_changes([[0.0], [1.0], [3.0], [7.0]], [[0.0], [1.0], [3.0], [-2.0]], k=1)
        >>> changes.before.ravel().tolist(), changes.after.ravel().tolist()
        ([1, 0, 1, 2], [1, 0, 1, 0])
        >>> changes.overlap.tolist(), changes.most_changed(1).tolist()
        ([1.0, 1.0, 1.0, 0.0], [3])
    """
    whole_number("k", k, least=1)
    pairs = PairSample(size=None)
    pairs.update(rows1, rows2)
    if pairs.n_rows <= k:
        raise ValueError(f"{k} neighbours need at least {k + 1} rows, got {pairs.n_rows}")
    before, after = (space.neighbors(k)[1] for space in pairs.spaces)
    return NeighborhoodChanges(jaccard_index(common_neighbors(pairs, k), k), before, after)
