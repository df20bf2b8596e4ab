"""Component edges: the shortest edges between components of rows, from which a minimum spanning tree is made."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.statistics.nearest_neighbors import WORKER_ENTRIES, nearest_of_other_labels
from isotropy_metrics.statistics.products import Products
from isotropy_metrics.statistics.side_by_side import side_by_side

MOST_EDGES = 4
"""Per component: where rounding leaves more of them in the running, searching row by row takes no longer."""


def component_edges(rows: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Edges between components, among which are those of a minimum spanning tree of the components.

    Half of all products in float32 tell how far each two components are from each other at the least and at the most.
    Two of them need no edge if a path of other components joins them whose steps are all shorter; of the others the
    nearest rows are searched exactly.

    Args:
        rows: (n_samples, n_features).
        component: of each row, (n_samples,), whole numbers from 0, each of them taken.

    Returns:
        first and second row of each edge, and its length; None if too many are in the running.
    """
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    least, most = _square_bounds(rows, component)
    steps = squareform(cophenet(linkage(squareform(most, checks=False), "single")))  # longest of the best path
    pairs = np.argwhere(np.triu(least <= steps, 1))
    if len(pairs) > MOST_EDGES * len(least):
        return None
    members = np.split(np.argsort(component, kind="stable"), np.cumsum(np.bincount(component))[:-1])
    edges = [_shortest(rows, *sorted((members[a], members[b]), key=len)) for a, b in pairs]
    first, second, length = zip(*edges, strict=True)
    return np.array(first), np.array(second), np.array(length)


def _square_bounds(rows: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the distances of components, at the least and at the most, in a unit of their own."""
    order = np.argsort(component, kind="stable")
    sizes = np.bincount(component)
    starts = np.cumsum(sizes) - sizes
    products = Products(rows, order, component, np.float32)
    squares, own = products.squares, component[order]
    shortest = np.full((len(sizes), len(sizes)), np.inf, np.float32)

    def shortest_of(start: int) -> tuple[tuple[np.ndarray, slice], np.ndarray]:
        """Of the rows from here on to the components that do not come before: where it belongs, and what it is."""
        block = slice(start, start + block_rows)
        distance = products.nearness(block, start)
        distance += squares[block, None]
        of_row = np.minimum.reduceat(distance, np.maximum(starts[own[start] :] - start, 0), axis=1)
        first = np.flatnonzero(np.diff(own[block], prepend=-1))
        return (own[block][first], slice(own[start], None)), np.minimum.reduceat(of_row, first, axis=0)

    with side_by_side(len(rows) ** 2 // WORKER_ENTRIES) as (map_of_blocks, n_workers):
        block_rows = max(products.block_rows // n_workers, 1)
        for place, found in map_of_blocks(shortest_of, range(0, len(rows), block_rows)):
            shortest[place] = np.minimum(shortest[place], found)
    shortest = np.minimum(shortest, shortest.T).astype(np.float64)
    largest = np.maximum.reduceat(squares, starts).astype(np.float64)
    error = products.relative_error * (largest[:, None] + largest) + products.absolute_error
    np.fill_diagonal(shortest, 0)
    np.fill_diagonal(error, 0)
    return shortest - error, shortest + error


def _shortest(rows: np.ndarray, few: np.ndarray, many: np.ndarray) -> tuple[int, int, float]:
    """The nearest two rows of two sets of rows, and their distance."""
    both = np.concatenate([few, many])
    is_of_many = (np.arange(len(both)) >= len(few)).astype(int)
    distances, indices = nearest_of_other_labels(rows[both], np.arange(len(few)), 1, labels=is_of_many)
    nearest = distances[:, 0].argmin()
    return few[nearest], both[indices[nearest, 0]], distances[nearest, 0]
