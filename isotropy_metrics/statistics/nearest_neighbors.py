"""Exact nearest neighbours by blocked matrix products, in memory for a few blocks.

Products in float32 name the candidates: all rows that their rounding errors leave in the running. The distances of the
candidates are then computed in float64 from differences. Rows with too many candidates get products in float64.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from isotropy_metrics.statistics.device_products import DeviceProducts
from isotropy_metrics.statistics.products import Products
from isotropy_metrics.statistics.side_by_side import side_by_side

AMBIGUOUS = 100
"""More candidates than this beyond k take longer than products in float64."""

WORKER_ENTRIES = 2**20
"""Products that are worth a thread of their own."""

ROWS_AT_ONCE = 256
"""Rows compared at once: so many stay in the cache."""


def nearest_neighbors(rows: np.ndarray, k: int, device: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row by Euclidean distance, nearest first; of equally near ones the first row.

    Args:
        rows: (n_samples, n_features), float32 or float64.
        k: how many, from 1 to n_samples - 1.
        device: of torch, to form the products on; None for the processor.

    Returns:
        distances (n_samples, k) in float64, and indices (n_samples, k).
    """
    first, copy_of = distinct_rows(rows)
    each = np.arange(len(first))
    labels = np.random.default_rng(0).permutation(each)  # rows in an order of their own, in which no period is left
    if len(first) == len(rows):
        return nearest_of_other_labels(rows, each, k, labels=labels, device=device)
    k_of_distinct = min(k, len(first) - 1)
    distances, indices = nearest_of_other_labels(rows[first], each, k_of_distinct, labels=labels, device=device)
    return with_copies(distances, indices, copy_of, k)


def nearest_of_other_labels(
    rows: np.ndarray, which: np.ndarray, k: int, labels: np.ndarray, device: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each of the rows `which`, the k nearest rows that do not share its label; see `nearest_neighbors`.

    Args:
        rows: (n_samples, n_features); many equal rows make it slow.
        which: indices of the rows to search for.
        k: how many; so many rows of other labels there must be.
        labels: of all rows, (n_samples,).
        device: see `nearest_neighbors`.
    """
    distances, indices = np.zeros((len(which), k)), np.zeros((len(which), k), dtype=np.int64)
    if k == 0:
        return distances, indices
    order = np.argsort(labels, kind="stable")  # rows of one label side by side, to be left out as one slice
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order))
    left = np.argsort(place_of[which], kind="stable")
    for dtype, most in ((np.float32, k + AMBIGUOUS), (np.float64, len(rows))):
        arguments = (rows, order, labels, dtype)
        products = Products(*arguments) if device is None else DeviceProducts(*arguments, device)
        search = partial(_decide, products, which, place_of, k, most)
        most_workers = len(left) * len(rows) // WORKER_ENTRIES if device is None else 1
        undecided = []
        with side_by_side(most_workers) as (map_of_blocks, n_workers):
            size = max(products.block_rows // n_workers, 1)
            blocks = [left[start : start + size] for start in range(0, len(left), size)]
            for decided, of_decided, undecided_of_block in map_of_blocks(search, blocks):
                distances[decided], indices[decided] = of_decided
                undecided.append(undecided_of_block)
        left = np.concatenate(undecided)
        if not len(left):
            break
    return distances, indices


def _decide(
    products: Products | DeviceProducts, which: np.ndarray, place_of: np.ndarray, k: int, most: int, block: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The nearest of the rows `which[block]` that have few candidates: those rows, what was found, and the others."""
    is_decided, n_candidates, row, place = products.candidates(place_of[which[block]], k, most)
    decided, column = block[is_decided], products.order[place]
    distance = products.distances(which[decided[row]], column)
    nearest = np.lexsort((column, distance, row))
    nearest = nearest[(np.cumsum(n_candidates) - n_candidates)[:, None] + np.arange(k)]
    return decided, (distance[nearest], column[nearest]), block[~is_decided]


def distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that equal no earlier one, as indices; and which of these each row equals, (n_samples,)."""
    as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
    order = np.argsort(as_bytes, kind="stable")
    is_new = np.ones(len(rows), dtype=bool)
    doubtful = np.flatnonzero(rows[order[1:], 0] == rows[order[:-1], 0]) + 1
    for start in range(0, len(doubtful), ROWS_AT_ONCE):
        place = doubtful[start : start + ROWS_AT_ONCE]
        is_new[place] = (rows[order[place]] != rows[order[place - 1]]).any(axis=1)
    first = order[is_new]
    copy_of = np.empty(len(rows), dtype=np.int64)
    copy_of[order] = np.argsort(np.argsort(first))[np.cumsum(is_new) - 1]
    return np.sort(first), copy_of


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
