"""Coloring: what the points of a projection are coloured by: clusters, frequency of words, or labels of one's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isotropy_space.embeddings import Embeddings
from isotropy_space.frequencies import word_frequencies_of

LABELS, CLUSTERS, FREQUENCY = "labels of the file", "clusters", "word frequency"
COLORINGS = (CLUSTERS, FREQUENCY, LABELS)

N_CLUSTERS = 8
"""As many as one can tell apart by colour."""

MOST_ROWS = 5000
"""That k-means is fitted on."""


def colored(embeddings: Embeddings, by: str, seed: int = 0) -> Embeddings:
    """The embeddings with the labels that were chosen.

    Args:
        embeddings: the rows.
        by: one of `COLORINGS`.
        seed: of k-means and of the rows it is fitted on.

    Raises:
        ValueError: there are no labels, or no names whose frequency could be told.
    """
    if by == LABELS:
        if embeddings.labels is None:
            raise ValueError(
                f"{embeddings.title} has no labels: choose the column that holds them, or colour by clusters"
            )
        return embeddings
    if by == FREQUENCY:
        if embeddings.names is None:
            raise ValueError(f"the rows of {embeddings.title} have no names: choose the column that holds their words")
        return replace(embeddings, labels=word_frequencies_of(embeddings.names), labels_title="log frequency (Zipf)")
    if by != CLUSTERS:
        raise ValueError(f"points are coloured by one of {', '.join(COLORINGS)}; got {by!r}")
    return replace(embeddings, labels=_clusters(embeddings.rows, seed), labels_title="cluster")


def _clusters(rows: np.ndarray, seed: int) -> np.ndarray:
    """The cluster of every row by k-means, as text: "1" for that of most rows."""
    from sklearn.cluster import KMeans

    fitted = rows
    if len(rows) > MOST_ROWS:
        fitted = rows[np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)]
    n_clusters = min(N_CLUSTERS, len(np.unique(fitted, axis=0)))
    found = KMeans(n_clusters, n_init=1, random_state=seed).fit(fitted).predict(rows)
    rank = np.argsort(np.argsort(-np.bincount(found, minlength=n_clusters), kind="stable"))
    return (rank[found] + 1).astype(str)
