"""Products of rows, on the processor: which rows may be near each other, and how near they are."""

from __future__ import annotations

import threading

import numpy as np

from isotropy_metrics.statistics.side_by_side import WORKER_VALUES, equal_blocks, side_by_side

BLOCK_ENTRIES = 10_000_000
"""Products held at once, by all threads together."""

PAIRS_AT_ONCE = 256
"""Rows and differences of rows in float64 held at once: so many stay in the cache."""


class Products:
    """Products of the centred rows in one precision, and what their rounding errors leave undecided.

    |xᵢ − xⱼ|² is computed as |xᵢ|² + |xⱼ|² − 2 xᵢ·xⱼ with an error of at most (d + 8) u (|xᵢ|² + |xⱼ|²), u half the
    spacing of numbers at 1: d u for the sum of d products (Higham 2002, section 3.1), the rest for rounding the rows
    after centring and the three terms. The rows are scaled to a largest entry near 1, so that nothing overflows.

    Args:
        rows: (n_samples, n_features).
        order: of the rows, (n_samples,), by their label. Places are places in this order.
        labels: of the rows as they come, (n_samples,).
    """

    def __init__(self, rows: np.ndarray, order: np.ndarray, labels: np.ndarray, dtype: type) -> None:
        self.given, self.order = rows, order
        n, d = rows.shape
        mean, scale = centre_and_scale(rows)
        self.rows = np.empty((n, d), dtype)
        self.squares = np.empty(n, dtype)
        self.block_rows = max(BLOCK_ENTRIES // n, 1)

        def fill(block: slice) -> None:
            self.rows[block] = (rows[order[block]] - mean) * scale
            self.squares[block] = np.einsum("ij,ij->i", self.rows[block], self.rows[block], dtype=np.float64)

        with side_by_side(rows.size // WORKER_VALUES) as (map_of_blocks, n_workers):
            list(map_of_blocks(fill, equal_blocks(n, PAIRS_AT_ONCE, n_workers)))
        self._of_thread = _Workspace(dtype)
        self.first_alike = np.searchsorted(labels[order], labels[order], side="left")
        self.after_alike = np.searchsorted(labels[order], labels[order], side="right")
        self.relative_error, self.absolute_error = rounding_errors(d, dtype)

    def candidates(
        self, places: np.ndarray, k: int, most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rows that may be among the k nearest of another label, for rows at these ascending places.

        Returns:
            which of `places` have at most so many candidates, (len(places),); how many each of those has; and for
            every candidate, in no order, which of those it is one of, and its own place.
        """
        nearness = self.nearness(places)
        alike, first = np.unique(self.first_alike[places], return_index=True)
        for start, stop, row, next_row in zip(alike, self.after_alike[alike], first, [*first[1:], None], strict=True):
            nearness[row:next_row, start:stop] = np.inf
        per_group = max(min(16, len(self.rows) // (8 * k)), 1)
        minima = _minima_of_groups(nearness, per_group)
        bound = np.partition(minima, k - 1, axis=1)[:, k - 1]  # seldom larger than the kth smallest, and never smaller
        own = self.squares[places]
        reach = 2 * own + 2 * np.maximum(bound + own, 0)  # |xⱼ| ≤ |xᵢ| + |xᵢ − xⱼ| of all rows within the bound
        bound += 2 * (self.relative_error * (own + reach) + self.absolute_error)
        return _at_most(nearness, np.minimum(bound, np.finfo(bound.dtype).max)[:, None], minima, per_group, most)

    def nearness(self, places: np.ndarray | slice, of: slice = slice(None)) -> np.ndarray:
        """|xⱼ|² − 2 xᵢ·xⱼ of rows i at `places` and rows j at `of`: less by |xᵢ|² than the squared distance.

        The next call in the same thread overwrites it.
        """
        rows, others = self.rows[places], self.rows[of]
        nearness = np.matmul(-2 * rows, others.T, out=self._of_thread.room(len(rows), len(others)))
        nearness += self.squares[of]
        return nearness

    def distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Euclidean distances of the rows `first` from the rows `second`, in float64 from their differences."""
        return pair_distances(self.given, first, second)


class _Workspace(threading.local):
    """Room for products, kept for the next ones of the same thread."""

    def __init__(self, dtype: type) -> None:
        self._dtype = dtype
        self._values = np.empty(0, dtype)

    def room(self, n_rows: int, n_columns: int) -> np.ndarray:
        """Uninitialised, (n_rows, n_columns)."""
        size = n_rows * n_columns
        if len(self._values) < size:
            del self._values  # before the larger ones come
            self._values = np.empty(size, self._dtype)
        return self._values[:size].reshape(n_rows, n_columns)


def _minima_of_groups(values: np.ndarray, per_group: int) -> np.ndarray:
    """The smallest of every group of so many values of each row, (n_rows, n_groups).

    Column c is of group c % n_groups; the last columns, too few for one more in each group, are of none. The minimum
    runs through a row many times faster than a partition or a comparison does.
    """
    n_groups = values.shape[1] // per_group
    return values[:, : n_groups * per_group].reshape(len(values), per_group, n_groups).min(axis=1)


def _at_most(
    values: np.ndarray, bound: np.ndarray, minima: np.ndarray, per_group: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where values are at most the bound of their row: see `Products.candidates`. Few groups have such a value."""
    n_groups = minima.shape[1]
    is_near = minima <= bound
    is_undecided = np.count_nonzero(is_near, axis=1) > most
    is_near[is_undecided] = False
    row, group = np.nonzero(is_near)
    column = group[:, None] + n_groups * np.arange(per_group)
    is_found = values[row[:, None], column] <= bound[row]
    row_of_rest, rest = np.nonzero(values[:, n_groups * per_group :] <= bound)
    row = np.concatenate([np.broadcast_to(row[:, None], column.shape)[is_found], row_of_rest])
    column = np.concatenate([column[is_found], rest + n_groups * per_group])
    n_found = np.bincount(row, minlength=len(values))
    decided = ~is_undecided & (n_found <= most)
    kept = decided[row]
    return decided, n_found[decided], (np.cumsum(decided) - 1)[row[kept]], column[kept]


def centre_and_scale(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of the rows, and the power of 2 that brings their largest deviation from it to about 1."""
    mean = rows.mean(axis=0, dtype=np.float64)
    largest = max((rows.max(axis=0) - mean).max(), (mean - rows.min(axis=0)).max())
    return mean, 2.0 ** -max(np.frexp(largest)[1], -1000)  # of subnormal numbers the inverse overflows


def rounding_errors(n_features: int, dtype: type) -> tuple[float, float]:
    """See `Products`: relative to |xᵢ|² + |xⱼ|², and absolute for numbers too small for that."""
    precision = np.finfo(dtype)
    return float((n_features + 8) * precision.eps / 2), float(n_features * precision.tiny)


def pair_distances(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows `first` from the rows `second`, in float64 from their differences."""
    squares = np.empty(len(first))
    for start in range(0, len(first), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        difference = rows[first[pairs]].astype(np.float64)
        difference -= rows[second[pairs]]
        np.einsum("ij,ij->i", difference, difference, out=squares[pairs])
    return np.sqrt(squares)
