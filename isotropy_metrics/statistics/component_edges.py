"""Component edges: the shortest edges between components of rows, from which a minimum spanning tree is made."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.statistics.nearest_neighbors import AMBIGUOUS, WORKER_ENTRIES, nearest_of_other_labels
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

    products = Products(rows, np.argsort(component, kind="stable"), component, np.float32)
    shortest, error = _square_distances(products, np.sort(component))
    at_most = squareform(shortest + error, checks=False)
    steps = squareform(cophenet(linkage(at_most, "single")))  # the longest one on the best path
    pairs = np.argwhere(np.triu(shortest - error <= steps, 1))
    if len(pairs) > MOST_EDGES * len(shortest):
        return None
    bounds = np.cumsum(np.bincount(component))
    places = [slice(start, stop) for start, stop in zip([0, *bounds[:-1]], bounds, strict=True)]
    with side_by_side(len(rows) ** 2 // WORKER_ENTRIES) as (map_of_pairs, _):
        edges = map_of_pairs(
            lambda a, b: _shortest(products, places[a], places[b], shortest[a, b] + 2 * error[a, b]), *pairs.T
        )
        first, second, length = zip(*edges, strict=True)
    return np.array(first), np.array(second), np.array(length)


def _square_distances(products: Products, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the distances of components as products tell them, and how far they may be from the truth.

    Args:
        component: of the rows in the order of the products.
    """
    squares, sizes = products.squares, np.bincount(component)
    starts = np.cumsum(sizes) - sizes
    shortest = np.full((len(sizes), len(sizes)), np.inf, np.float32)

    def shortest_of(start: int) -> tuple[tuple[np.ndarray, slice], np.ndarray]:
        """Of the rows from here on to the components that do not come before: where it belongs, and what it is."""
        block = slice(start, start + block_rows)
        nearness = products.nearness(block, slice(start, None))
        of_row = np.minimum.reduceat(nearness, np.maximum(starts[component[start] :] - start, 0), axis=1)
        of_row += squares[block, None]
        first = np.flatnonzero(np.diff(component[block], prepend=-1))
        return (component[block][first], slice(component[start], None)), np.minimum.reduceat(of_row, first, axis=0)

    with side_by_side(len(component) ** 2 // WORKER_ENTRIES) as (map_of_blocks, n_workers):
        block_rows = max(products.block_rows // n_workers, 1)
        for place, found in map_of_blocks(shortest_of, range(0, len(component), block_rows)):
            shortest[place] = np.minimum(shortest[place], found)
    shortest = np.minimum(shortest, shortest.T).astype(np.float64)
    largest = np.maximum.reduceat(squares, starts).astype(np.float64)
    error = products.relative_error * (largest[:, None] + largest) + products.absolute_error
    np.fill_diagonal(shortest, 0)
    np.fill_diagonal(error, 0)
    return shortest, error


def _shortest(products: Products, ours: slice, theirs: slice, bound: np.float64) -> tuple[int, int, float]:
    """The nearest two rows of two components, and their distance; products give its square as at most `bound`."""
    found = []
    for start in range(ours.start, ours.stop, products.block_rows):
        block = slice(start, min(start + products.block_rows, ours.stop))
        square = products.nearness(block, theirs)
        square += products.squares[block, None]
        is_near = square <= bound
        if np.count_nonzero(is_near) > AMBIGUOUS * len(square):
            of_components = (products.order[ours], products.order[theirs])
            return _shortest_by_rows(products.given, *sorted(of_components, key=len))
        row, column = np.nonzero(is_near)
        found.append((products.order[row + start], products.order[column + theirs.start]))
    first, second = (np.concatenate(each) for each in zip(*found, strict=True))
    distance = products.distances(first, second)
    nearest = distance.argmin()
    return first[nearest], second[nearest], distance[nearest]


def _shortest_by_rows(rows: np.ndarray, few: np.ndarray, many: np.ndarray) -> tuple[int, int, float]:
    """The same, where products in float32 leave too many pairs in the running: a search for each of the few rows."""
    both = np.concatenate([few, many])
    is_of_many = (np.arange(len(both)) >= len(few)).astype(int)
    distances, indices = nearest_of_other_labels(rows[both], np.arange(len(few)), 1, labels=is_of_many)
    nearest = distances[:, 0].argmin()
    return few[nearest], both[indices[nearest, 0]], distances[nearest, 0]
