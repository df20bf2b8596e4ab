"""Exact nearest neighbours by blocked matrix products, in memory for a few blocks.

Products in float32 name the candidates: all rows that their rounding errors leave in the running. The distances of the
candidates are then computed in float64 from differences. Rows with too many candidates get products in float64.
"""

from __future__ import annotations

import numpy as np

BLOCK_ENTRIES = 5_000_000
"""Products held at once."""

PAIRS_AT_ONCE = 256
"""Differences of rows held at once: so many stay in the cache."""

AMBIGUOUS = 100
"""More candidates than this beyond k take longer than products in float64."""


def nearest_neighbors(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row by Euclidean distance, nearest first; of equally near ones the first row.

    Args:
        rows: (n_samples, n_features), float32 or float64.
        k: how many, from 1 to n_samples - 1.

    Returns:
        distances (n_samples, k) in float64, and indices (n_samples, k).
    """
    first, copy_of = distinct_rows(rows)
    each = np.arange(len(first))
    if len(first) == len(rows):
        return nearest_of_other_labels(rows, each, k, labels=each)
    distances, indices = nearest_of_other_labels(rows[first], each, min(k, len(first) - 1), labels=each)
    return with_copies(distances, indices, copy_of, k)


def nearest_of_other_labels(
    rows: np.ndarray, which: np.ndarray, k: int, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each of the rows `which`, the k nearest rows that do not share its label; see `nearest_neighbors`.

    Args:
        rows: (n_samples, n_features); many equal rows make it slow.
        which: indices of the rows to search for.
        k: how many; so many rows of other labels there must be.
        labels: of all rows, (n_samples,).
    """
    distances, indices = np.zeros((len(which), k)), np.zeros((len(which), k), dtype=np.int64)
    if k == 0:
        return distances, indices
    order = np.argsort(labels, kind="stable")  # rows of one label side by side, to be left out as one slice
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order))
    left = np.argsort(place_of[which], kind="stable")
    for dtype, most in ((np.float32, k + AMBIGUOUS), (np.float64, len(rows))):
        products = _Products(rows, order, labels, dtype)
        undecided = []
        for start in range(0, len(left), products.block_rows):
            some = left[start : start + products.block_rows]
            is_candidate = products.candidates(place_of[which[some]], k)
            n_candidates = np.count_nonzero(is_candidate, axis=1)
            decided = n_candidates <= most
            undecided.append(some[~decided])
            if not decided.all():
                some, is_candidate, n_candidates = some[decided], is_candidate[decided], n_candidates[decided]
            row, place = np.divmod(np.flatnonzero(is_candidate), len(rows))
            column = order[place]
            distance = pair_distances(rows, which[some[row]], column)
            nearest = np.lexsort((column, distance, row))
            nearest = nearest[(np.cumsum(n_candidates) - n_candidates)[:, None] + np.arange(k)]
            distances[some], indices[some] = distance[nearest], column[nearest]
        left = np.concatenate(undecided)
        if not len(left):
            break
    return distances, indices


def pair_distances(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows `first` from the rows `second`, in float64 from their differences."""
    squares = np.empty(len(first))
    for start in range(0, len(first), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        difference = rows[first[pairs]].astype(np.float64)
        difference -= rows[second[pairs]]
        np.einsum("ij,ij->i", difference, difference, out=squares[pairs])
    return np.sqrt(squares)


def distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that equal no earlier one, as indices; and which of these each row equals, (n_samples,)."""
    as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
    order = np.argsort(as_bytes, kind="stable")
    is_new = np.ones(len(rows), dtype=bool)
    doubtful = np.flatnonzero(rows[order[1:], 0] == rows[order[:-1], 0]) + 1
    for start in range(0, len(doubtful), PAIRS_AT_ONCE):
        place = doubtful[start : start + PAIRS_AT_ONCE]
        is_new[place] = (rows[order[place]] != rows[order[place - 1]]).any(axis=1)
    first = order[is_new]
    copy_of = np.empty(len(rows), dtype=np.int64)
    copy_of[order] = np.argsort(np.argsort(first))[np.cumsum(is_new) - 1]
    return np.sort(first), copy_of


class _Products:
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
        n, d = rows.shape
        mean = rows.mean(axis=0, dtype=np.float64)
        largest = max((rows.max(axis=0) - mean).max(), (mean - rows.min(axis=0)).max())
        scale = 2.0 ** -max(np.frexp(largest)[1], -1000)  # of subnormal numbers the inverse overflows
        self.rows = np.empty((n, d), dtype)
        self.squares = np.empty(n, dtype)
        self.block_rows = max(BLOCK_ENTRIES // n, 1)
        for start in range(0, n, self.block_rows):
            block = slice(start, start + self.block_rows)
            self.rows[block] = (rows[order[block]] - mean) * scale
            self.squares[block] = np.einsum("ij,ij->i", self.rows[block], self.rows[block], dtype=np.float64)
        self.buffer = np.empty((min(self.block_rows, n), n), dtype)
        self.first_alike = np.searchsorted(labels[order], labels[order], side="left")
        self.after_alike = np.searchsorted(labels[order], labels[order], side="right")
        precision = np.finfo(dtype)
        self.relative_error, self.absolute_error = (d + 8) * precision.eps / 2, d * precision.tiny

    def candidates(self, places: np.ndarray, k: int) -> np.ndarray:
        """True where a row may be among the k nearest of another label, (len(places), n_samples); places ascend."""
        nearness = np.matmul(-2 * self.rows[places], self.rows.T, out=self.buffer[: len(places)])
        nearness += self.squares  # |xⱼ|² − 2 xᵢ·xⱼ, less by |xᵢ|² than the squared distance
        alike, first = np.unique(self.first_alike[places], return_index=True)
        for start, stop, row, next_row in zip(alike, self.after_alike[alike], first, [*first[1:], None], strict=True):
            nearness[row:next_row, start:stop] = np.inf
        bound = _kth_smallest_at_most(nearness, k)
        own = self.squares[places]
        reach = 2 * own + 2 * np.maximum(bound + own, 0)  # |xⱼ| ≤ |xᵢ| + |xᵢ − xⱼ| of all rows within the bound
        bound += 2 * (self.relative_error * (own + reach) + self.absolute_error)
        return nearness <= np.minimum(bound, np.finfo(bound.dtype).max)[:, None]


def _kth_smallest_at_most(values: np.ndarray, k: int) -> np.ndarray:
    """A bound from above of the kth smallest of each row: the kth smallest of the minima of groups, seldom larger.

    The minimum runs through a row many times faster than a partition does.
    """
    n = values.shape[1]
    per_group = max(min(16, n // (8 * k)), 1)
    groups = values[:, : n // per_group * per_group].reshape(len(values), per_group, -1)
    return np.partition(groups.min(axis=1), k - 1, axis=1)[:, k - 1]


def with_copies(
    distances: np.ndarray, indices: np.ndarray, copy_of: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of all rows, from the nearest of the distinct rows and which of these each row equals."""
    n_copies = np.bincount(copy_of)
    members = np.argsort(copy_of, kind="stable")
    start_of = np.cumsum(n_copies) - n_copies

    # One list for all copies of a row, of k + 1 rows with itself: at most k + 1 copies of each count.
    each = np.arange(len(n_copies))
    groups = np.column_stack([each, indices])
    sizes = np.minimum(n_copies[groups], k + 1)
    flat_sizes = sizes.ravel()
    within_group = np.arange(flat_sizes.sum()) - np.repeat(np.cumsum(flat_sizes) - flat_sizes, flat_sizes)
    row = members[np.repeat(start_of[groups].ravel(), flat_sizes) + within_group]
    distance = np.repeat(np.column_stack([np.zeros(len(each)), distances]).ravel(), flat_sizes)
    nearest = np.lexsort((row, distance, np.repeat(each, sizes.sum(axis=1))))
    nearest = nearest[(np.cumsum(sizes.sum(axis=1)) - sizes.sum(axis=1))[:, None] + np.arange(k + 1)]

    # Every copy drops itself, or the last row where it is not on the list.
    listed, listed_distance = row[nearest][copy_of], distance[nearest][copy_of]
    dropped = listed == np.arange(len(copy_of))[:, None]
    dropped[~dropped.any(axis=1), -1] = True
    return listed_distance[~dropped].reshape(-1, k), listed[~dropped].reshape(-1, k)
