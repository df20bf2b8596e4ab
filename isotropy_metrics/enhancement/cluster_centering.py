"""Cluster centring: subtract from each row the mean of its cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.enhancement._cluster_enhancement import ClusterEnhancement, members_of_each, rows_and_weight
from isotropy_metrics.statistics import RowStatistics


class ClusterCentering(ClusterEnhancement):
    """Subtract from each row the mean of its cluster (clustering + zero-mean).

        transform(x) = x − cluster_means_[c],    c the index of the nearest of cluster_centers_

    Clusters are those of k-means (k-means++, the best of four starts) on a seeded sample of the fitting rows. The
    means are not added back: clusters end up on top of each other at the origin, which Rajaee & Pilehvar (2021,
    https://huggingface.co/papers/2106.01183) found to raise isotropy far more than one mean for all. `Centering` is
    the case of one cluster, and then the mean is that of all rows.

    k-means finds one of many partitions, and one that leaves a far group of rows in a large cluster can lower the
    isotropy: try more than one `random_state`.

    What it does not tell: what the clusters meant. Rows that differ only by their cluster, such as one word in two
    languages, become alike; rows on two sides of a border are torn apart.

    Args:
        n_clusters: number of clusters; None for 27, the number of the paper, but at most one per 300 sampled rows.
        random_state: seed of the sample and of k-means, a whole number.
        sample_size: most rows that k-means sees and the means are of; None for all of them.

    Attributes:
        cluster_centers_: (n_clusters, n_features_in_), float64: rows go to the nearest.
        cluster_means_: (n_clusters, n_features_in_), float64: what is subtracted.

    Raises:
        ValueError: on fit, more clusters than rows.

    Example:
        >>> import numpy as np
        >>> X = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 7.0], [9.0, 8.0], [9.0, 9.0]])
        >>> ClusterCentering(n_clusters=2).fit(X).transform(X).tolist()
        [[0.0, -1.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """

    FITTED = ("cluster_centers_", "cluster_means_")

    def __init__(self, n_clusters: int | None = None, random_state: int = 0, sample_size: int | None = 50_000) -> None:
        self.n_clusters = n_clusters
        self.random_state = random_state
        self.sample_size = sample_size

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        centers, labels = self._centers_and_labels(statistics)
        means = centers.copy()
        if len(centers) > 1:
            for cluster, members in enumerate(members_of_each(labels, len(centers))):
                if len(members):
                    rows, weight = rows_and_weight(statistics.sample, members)
                    means[cluster] = np.average(rows, axis=0, weights=weight)
        return {"cluster_centers_": centers, "cluster_means_": means}

    def _treat(self, rows: np.ndarray, cluster: int) -> np.ndarray:
        return np.subtract(rows, self.cluster_means_[cluster].astype(rows.dtype), out=rows)
