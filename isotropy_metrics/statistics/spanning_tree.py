"""Exact Euclidean minimum spanning tree from nearest neighbours, in memory for a few blocks of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.statistics.component_edges import component_edges
from isotropy_metrics.statistics.nearest_neighbors import nearest_of_other_labels

SHARE_OF_ROWS = 0.25
"""Of all rows: to search more, and others in later rounds, takes longer than half of all products at once."""

MOST_SHARE = 1 / 25
"""Components per row that `component_edges` are faster for than searches row by row."""

MOST_UNEVEN = 4
"""Times the mean size of the components that the largest may have."""


def spanning_tree_lengths(
    rows: np.ndarray, distances: np.ndarray, indices: np.ndarray, device: Any = None
) -> np.ndarray:
    """Lengths of the edges of the Euclidean minimum spanning tree, ascending, (n_samples - 1,).

    Borůvka's rounds (1926): the shortest edge that leaves a component is an edge of the tree. The neighbours know it,
    unless a row all of whose neighbours are inside may have a shorter way out: for such rows products are formed. Not
    for those of the largest component, which would take longest and can wait until the others join it. Where they are
    many, in few components of like size, `component_edges` tell the rest.

    Args:
        rows: (n_samples, n_features); many equal rows make it slow.
        distances, indices: the neighbours of each row, nearest first, (n_samples, k); see `nearest_neighbors`.
        device: see there.
    """
    n = len(rows)
    known_to = distances[:, -1].copy()  # whatever is nearer to a row than this is among its neighbours
    # One more neighbour for what a search finds; until then the row itself, which is never outside.
    distances = np.column_stack([distances, np.full(n, np.inf)])
    indices = np.column_stack([indices, np.arange(n)])
    component = np.arange(n)
    lengths = [np.empty(0)]
    may_end = device is None
    while component.any():
        sizes = np.bincount(component)
        largest = sizes.argmax()
        open_rows = _open_rows(distances, indices, component, known_to)
        searched = open_rows[component[open_rows] != largest]
        if may_end and len(searched) > SHARE_OF_ROWS * n and _are_few_and_alike(sizes):
            edges = component_edges(rows, component)
            if edges is not None:
                lengths.append(_join(component, *edges)[1])
                break
            may_end = False
        if len(searched):
            found = nearest_of_other_labels(rows, searched, 1, labels=component, device=device)
            distances[searched, -1], indices[searched, -1] = found[0][:, 0], found[1][:, 0]
            known_to[searched] = found[0][:, 0]
        length, target = _ways_out(distances, indices, component)
        leaving = _shortest_of_each(length, component)
        if len(searched) < len(open_rows):
            leaving = leaving[component[leaving] != largest]
        component, joined = _join(component, leaving, target[leaving], length[leaving])
        lengths.append(joined)
    return np.sort(np.concatenate(lengths))


def _are_few_and_alike(sizes: np.ndarray) -> bool:
    """Whether searching between pairs of components reads few rows: not if one of them is in most of the pairs."""
    n = sizes.sum()
    return bool(len(sizes) <= MOST_SHARE * n and len(sizes) * sizes.max() <= MOST_UNEVEN * n)


def _ways_out(distances: np.ndarray, indices: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row its nearest neighbour in another component: how far, and which; infinitely far if none is known."""
    outside = component[indices] != component[:, None]
    first, each = outside.argmax(axis=1), np.arange(len(component))
    return np.where(outside.any(axis=1), distances[each, first], np.inf), indices[each, first]


def _shortest_of_each(length: np.ndarray, component: np.ndarray) -> np.ndarray:
    """The row of each component with the smallest length."""
    order = np.lexsort((length, component))
    return order[np.unique(component[order], return_index=True)[1]]


def _open_rows(distances: np.ndarray, indices: np.ndarray, component: np.ndarray, known_to: np.ndarray) -> np.ndarray:
    """The rows that may have a shorter way out of their component than any that is known."""
    length, _ = _ways_out(distances, indices, component)
    shortest = length[_shortest_of_each(length, component)]
    return np.flatnonzero(np.isinf(length) & (known_to < shortest[component]))


def _join(
    component: np.ndarray, first: np.ndarray, second: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The components that these edges make of the present ones, and the lengths of the edges that it takes.

    Where edges of equal length close a circle, one is too many: a spanning forest of the components leaves it out. It
    is sought among ranks, since a length of 0 means no edge to scipy.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    order = np.argsort(length)
    first, second = component[first[order]], component[second[order]]
    n = component.max() + 1
    forest = minimum_spanning_tree(csr_matrix((np.arange(1.0, len(order) + 1), (first, second)), shape=(n, n)))
    _, joined = connected_components(forest, directed=False)
    return joined[component], length[order[forest.data.astype(int) - 1]]
